//! The `saliq-check` program: only `saliq check` for the user's own shaders, without the libraries
//! of a GPU.

#![forbid(unsafe_code)]

use std::{io::Write, process::ExitCode};

use clap::Parser;
use saliq::{
    Error, Result,
    check::{self, CheckArgs},
};

/// Validate WGSL files without a GPU: parsed, validated, and translated for Vulkan, Metal and
/// Direct3D.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(flatten)]
    check: CheckArgs,
}

fn main() -> ExitCode {
    match run(&Arguments::parse().check) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

fn run(args: &CheckArgs) -> Result<()> {
    if let Some(text) = args.requirements.explanation() {
        return print(&text?);
    }
    if args.paths.is_empty() {
        return Err(Error::Usage("name WGSL files, or folders with such files".into()));
    }
    let reports = check::check_paths_for(&args.paths, &args.requirements.options()?)?;
    if let Some(folder) = &args.spirv {
        check::write_spirv_of_paths(&args.paths, folder)?;
    }
    let text = check::render(&reports, args.format);
    print(&text)?;
    check::verdict(&reports)
}

fn print(text: &str) -> Result<()> {
    let written = writeln!(std::io::stdout(), "{}", text.trim_end());
    written.map_err(Error::io("cannot write", "standard output"))
}
