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
/// Direct3D. Exit 0: all pass; 1: a shader fails; 2: the check could not run.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(flatten)]
    check: CheckArgs,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments.check, arguments.json) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

fn run(args: &CheckArgs, is_json: bool) -> Result<()> {
    saliq::panics::pass_over_caught_panics();
    if let Some(text) = args.requirements.explanation() {
        return print(&text?);
    }
    if args.paths.is_empty() {
        return Err(Error::Usage("name WGSL files, or folders with such files".into()));
    }
    check::run_files(args, is_json, print)
}

fn print(text: &str) -> Result<()> {
    let written = writeln!(std::io::stdout(), "{}", text.trim_end());
    written.map_err(Error::io("cannot write", "standard output"))
}
