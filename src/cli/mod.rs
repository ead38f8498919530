//! The command line: arguments, output, signals, and one thin function per command in [`commands`].

pub mod args;
pub mod commands;
mod help;
mod logger;
mod npz;
pub mod output;
pub mod progress;
pub mod signals;
mod tuning;
mod words;

use std::{
    ffi::{OsStr, OsString},
    io::Write,
    process::ExitCode,
};

use clap::{
    ColorChoice, FromArgMatches,
    error::{ContextKind, ContextValue, ErrorKind},
};

use crate::{Error, Result, config::pointers};
use args::{Cli, Command, GlobalArgs};

/// The main function: parses the arguments, runs the command, and reports an error as one line
/// `error: …` on standard error. Exit codes: 0, 2 for usage, 130 and 143 after Ctrl-C and SIGTERM,
/// 1 otherwise.
pub fn main() -> ExitCode {
    crate::panics::pass_over_caught_panics();
    let arguments = join_switch_values(std::env::args_os());
    let mut command = help::command().color(color_choice(&arguments));
    let parsed = command
        .try_get_matches_from_mut(&arguments)
        .and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => return argument_error(&error, &arguments),
    };
    logger::start(cli.global.verbose, cli.global.quiet);
    match dispatch(&cli.command, &cli.global) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if output::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            report(&format!("{}{}", words::worded(&error), what_next(&cli.command, &error)));
            ExitCode::from(error.exit_code())
        }
    }
}

fn dispatch(command: &Command, global: &GlobalArgs) -> Result<()> {
    match command {
        Command::Demo(args) => commands::demo::run(args, global),
        Command::Devices(args) => commands::devices::run(args, global),
        Command::Data(args) => commands::data::run(args, global),
        Command::Networks(args) => commands::networks::run(args, global),
        Command::Train(args) => commands::train::run(args, global),
        Command::Quantize(args) => commands::quantize::run(args, global),
        Command::Search(args) => commands::search::run(args, global),
        Command::Eval(args) => commands::eval::run(args, global),
        Command::Explain(args) => commands::explain::run(args, global),
        Command::Cost(args) => commands::cost::run(args, global),
        Command::Export(args) => commands::export::run(args, global),
        Command::Import(args) => commands::import::run(args, global),
        Command::Drop(args) => commands::drop::run(args, global),
        Command::Compare(args) => commands::compare::run(args, global),
        Command::Sweep(args) => commands::sweep::run(args, global),
        Command::Runs(args) => commands::runs::run(args, global),
        Command::Watch(args) => commands::watch::run(args, global),
        Command::Reproduce(args) => commands::reproduce::run(args, global),
        Command::Report(args) => commands::reproduce::report(args, global),
        Command::Check(args) => commands::check::run(args, global),
        Command::Bench(args) => commands::bench::run(args, global),
        Command::Completions(args) => commands::shell::completions(args, global),
        Command::Man(args) => commands::shell::man(args, global),
    }
}

/// Advice after `error`, which depends on the command, because not all commands can continue where
/// they stopped.
fn what_next(command: &Command, error: &Error) -> &'static str {
    match (error, command) {
        (Error::Interrupted { .. }, Command::Train(_)) => {
            "; go on from the last checkpoint with --resume"
        }
        (Error::Interrupted { .. }, Command::Watch(_)) => "",
        (Error::Interrupted { .. }, Command::Reproduce(_) | Command::Sweep(_)) => {
            "; the same command goes on with what is left"
        }
        (Error::Interrupted { .. }, _) => "; run again, the command starts over",
        (Error::DeviceLost(_), Command::Train(_)) => {
            "; run the command again, with --resume to go on from the last checkpoint"
        }
        (Error::DeviceLost(_), _) => "; run the command again",
        _ => "",
    }
}

/// Joins `--per-channel true` to `--per-channel=true`. Some commands take file names after the
/// switch, which clap would otherwise take for its value.
fn join_switch_values(arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut joined: Vec<OsString> = Vec::new();
    for argument in arguments {
        let is_value = argument == "true" || argument == "false";
        match joined.last_mut() {
            Some(last) if is_value && (last == "--per-channel" || last == "--all-layers") => {
                last.push("=");
                last.push(argument);
            }
            _ => joined.push(argument),
        }
    }
    joined
}

/// Prints the message on one line, whatever line breaks a library's message has. A closed standard
/// error does not cause a panic.
fn report(message: &str) {
    let line = message
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join("; ");
    // A file or its name may contain control sequences for the terminal.
    let _ = writeln!(std::io::stderr(), "error: {}", crate::plain(&line));
}

/// Prints help and version as clap does, and an error with clap's suggestion on one line.
fn argument_error(error: &clap::Error, arguments: &[OsString]) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp
        | ErrorKind::DisplayVersion
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
            ExitCode::from(if error.use_stderr() { 2 } else { 0 })
        }
        _ => {
            let pointer = pointer(error);
            report(&one_line(
                &error.render().to_string(),
                pointer.as_deref(),
                &command_name(arguments),
            ));
            ExitCode::from(Error::Usage(String::new()).exit_code())
        }
    }
}

/// The equivalent in saliq of another tool's word.
fn pointer(error: &clap::Error) -> Option<String> {
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    match error.kind() {
        ErrorKind::UnknownArgument => {
            pointers::of_flag(context(ContextKind::InvalidArg)?).as_ref().map(words::phrased)
        }
        ErrorKind::InvalidSubcommand => {
            pointers::of_command(context(ContextKind::InvalidSubcommand)?).map(Into::into)
        }
        ErrorKind::InvalidValue => {
            // `--optimizer <RULE>`
            let flag = context(ContextKind::InvalidArg)?
                .trim_start_matches('-')
                .split([' ', '='])
                .next()?;
            let known = match error.get(ContextKind::ValidValue) {
                Some(ContextValue::Strings(known)) => known.as_slice(),
                _ => &[],
            };
            pointers::of_value(
                flag,
                context(ContextKind::InvalidValue)?,
                known.iter().map(String::as_str),
            )
            .as_ref()
            .map(words::phrased)
        }
        _ => None,
    }
}

/// Folds clap's paragraphs (`error: …`, indented names, `tip: …`, `Usage: …`) into one sentence
/// with a pointer to the help. saliq's own advice replaces clap's guess.
fn one_line(rendered: &str, pointer: Option<&str>, command: &str) -> String {
    let mut line = String::new();
    for part in rendered.lines().map(str::trim).filter(|part| !part.is_empty()) {
        if part.starts_with("Usage: ") || part.starts_with("For more information") {
            break;
        } else if part.starts_with("tip: ") && pointer.is_some() {
            continue;
        } else if line.is_empty() {
            line.push_str(part.strip_prefix("error: ").unwrap_or(part));
        } else {
            let joint = if line.ends_with(':') || part.starts_with('[') { " " } else { "; " };
            line.push_str(joint);
            line.push_str(part.strip_prefix("tip: ").unwrap_or(part));
        }
    }
    let pointer = pointer.map_or(String::new(), |pointer| format!("; {pointer}"));
    format!("{line}{pointer} (see `{command} --help`)")
}

/// The command in the arguments, such as `saliq data fetch`, whose help is referred to.
fn command_name(arguments: &[OsString]) -> String {
    let root = help::command();
    let mut command = &root;
    let mut name = command.get_name().to_string();
    for argument in arguments.iter().skip(1) {
        if let Some(inner) = command.find_subcommand(argument) {
            name = format!("{name} {}", inner.get_name());
            command = inner;
        }
    }
    name
}

/// `--color` must be known before the arguments are parsed, because it also applies to help and
/// errors.
fn color_choice(arguments: &[OsString]) -> ColorChoice {
    let mut chosen = ColorChoice::Auto;
    for (index, argument) in arguments.iter().enumerate() {
        let value = match argument.to_str() {
            Some("--color") => arguments.get(index + 1).and_then(|next| next.to_str()),
            Some(text) => text.strip_prefix("--color="),
            None => None,
        };
        chosen = match value {
            Some("always") => ColorChoice::Always,
            Some("never") => ColorChoice::Never,
            _ => chosen,
        };
        if argument == OsStr::new("--") {
            break;
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[test]
    fn definitions_are_consistent() {
        help::command().debug_assert();
    }

    #[test]
    fn only_training_is_told_to_resume() {
        let said = |arguments: &[&str]| {
            let cli = Cli::try_parse_from([&["saliq"], arguments].concat()).unwrap();
            let errors = [
                Error::Interrupted { signal: 2 },
                Error::DeviceLost(crate::Loss::new("reset")),
                Error::Usage("no".into()),
            ];
            errors.map(|error| format!("{error}{}", what_next(&cli.command, &error)))
        };
        let [interrupted, lost, usage] = said(&["train"]);
        assert!(
            interrupted.contains("--resume") && lost.contains("--resume"),
            "{interrupted} {lost}"
        );
        assert_eq!(usage, "no");
        for arguments in [&["demo"][..], &["reproduce"], &["eval", "model"], &["explain", "model"]]
        {
            let [interrupted, lost, _] = said(arguments);
            assert!(
                !interrupted.contains("--resume") && !lost.contains("--resume"),
                "{interrupted} {lost}"
            );
            assert!(lost.contains("run the command again"), "{lost}");
        }
    }

    #[test]
    fn errors_fold_into_one_line() {
        let fold = |arguments: &[&str]| {
            let error =
                help::command().try_get_matches_from(arguments).expect_err("must not parse");
            let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
            one_line(
                &error.render().to_string(),
                pointer(&error).as_deref(),
                &command_name(&arguments),
            )
        };
        assert_eq!(
            fold(&["saliq", "eval"]),
            "the following required arguments were not provided: <MODEL> (see `saliq eval --help`)"
        );
        let typo = fold(&["saliq", "train", "--epoch", "3"]);
        assert_eq!(
            typo,
            "unexpected argument '--epoch' found; a similar argument exists: '--epochs' (see \
             `saliq train --help`)"
        );
        let value = fold(&["saliq", "train", "--optimizer", "adm"]);
        assert!(
            value.contains("[possible values: sgd,")
                && value.contains("a similar value exists: 'adam'"),
            "{value}"
        );
        let other = fold(&["saliq", "train", "--device", "cuda"]);
        let said = "unexpected argument '--device' found; the adapter is chosen with `--adapter` \
                    (`saliq devices` lists them)";
        assert_eq!(other, format!("{said} (see `saliq train --help`)"));
    }
}
