//! `saliq completions` and `saliq man`.

use clap::Command;
use clap_mangen::Man;
use serde::Serialize;

use crate::{
    Error, Result,
    cli::{
        args::{CompletionsArgs, GlobalArgs, ManArgs},
        help,
    },
    files::write_atomically,
};

/// Prints the completions of a shell.
///
/// # Errors
/// [`Error::Io`] if standard output cannot be written.
pub fn completions(args: &CompletionsArgs, global: &GlobalArgs) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut help::command(), "saliq", &mut script);
    let text = String::from_utf8_lossy(&script);
    // The script is a program, not a result: it is the same with --json.
    global.output().raw(text.trim_end())
}

/// The JSON of `saliq man --json`.
#[derive(Serialize)]
struct Pages {
    out: std::path::PathBuf,
    pages: Vec<String>,
}

/// Writes the man pages.
///
/// # Errors
/// [`Error::Io`].
pub fn man(args: &ManArgs, global: &GlobalArgs) -> Result<()> {
    super::refuse_file(&args.out)?;
    super::prepare_folder(&args.out)?;
    let mut root = help::manual();
    root.build();
    let mut pages = Vec::new();
    write(&root, "saliq", args, &mut pages)?;
    let written = Pages { out: args.out.clone(), pages };
    global
        .output()
        .result(&written, || format!("{} pages in {}", written.pages.len(), written.out.display()))
}

/// Writes the page of `command` and those of the commands in it.
fn write(command: &Command, name: &str, args: &ManArgs, pages: &mut Vec<String>) -> Result<()> {
    let file = format!("{name}.1");
    let path = args.out.join(&file);
    let mut page = Vec::new();
    let source = format!("saliq {}", env!("CARGO_PKG_VERSION"));
    let titled = command.clone().display_name(name);
    Man::new(titled)
        .title(name)
        .source(source)
        .manual("saliq manual")
        .render(&mut page)
        .map_err(Error::io("cannot write", &path))?;
    write_atomically(&path, &page)?;
    pages.push(file);
    for inner in command.get_subcommands().filter(|own| !own.is_hide_set()) {
        write(inner, &format!("{name}-{}", inner.get_name()), args, pages)?;
    }
    Ok(())
}
