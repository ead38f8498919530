//! The help: commands in groups, `-h` on one screen, examples with `--help`.

use clap::{Arg, ArgAction, Command, CommandFactory};

use super::args::Cli;

/// The commands by what they are for. Commands in no group follow under "More".
const GROUPS: [(&str, &[&str]); 5] = [
    ("Start", &["demo", "devices", "data", "networks"]),
    ("Train", &["train", "sweep", "runs", "watch", "search", "quantize"]),
    ("Explain and judge", &["explain", "drop", "compare", "eval", "cost", "bench"]),
    ("Deploy", &["export", "import", "check"]),
    ("The paper, the shell", &["reproduce", "report", "completions", "man", "help"]),
];

/// The flags that `-h` shows, for commands with more than a screen of them; some with fewer words
/// than `--help` has.
const BRIEF: [(&str, &[&str]); 8] = [
    (
        "train",
        &[
            "dataset=A named data set, or a folder or file [default: mnist-mini]",
            "augment=none, or a list of shift, crop, hflip, cutout [default: none]",
            "bits=Bits a layer: one value, or a list in order [default: 32]",
            "init=Start from a trained model",
            "network=A network from `saliq networks`, or a TOML file",
            "sgt=Saliency guided training; `false` is plain training [default: true]",
            "mask_ratio=Share of the features that is masked [default: 0.5]",
            "lambda=Weight of the KL divergence [default: 1]",
            "optimizer=Update rule [default: sgd]",
            "lr=Learning rate [default: 0.2; 0.1 for the Fashion sets]",
            "schedule",
            "batch_size",
            "epochs",
            "seed=Seed of every random number [default: 0]",
            "out",
            "config=TOML file with any of these settings; flags win",
            "resume=Continue the run in --out from its last checkpoint",
            "force",
        ],
    ),
    (
        "explain",
        &[
            "models",
            "method",
            "indices=Images by number, or by the end of their files' paths",
            "count",
            "image",
            "target",
            "samples=Samples an image, in methods that average [default: 50, rise 1000]",
            "steps",
            "keep=Share of the features that the masked picture keeps",
            "out=Folder for grid.png and the arrays",
            "dataset",
            "split",
            "bits",
        ],
    ),
    (
        "drop",
        &[
            "models",
            "method",
            "fill=Values that replace removed features",
            "step=Percent of the features between two points",
            "roar",
            "count",
            "dataset",
            "split",
            "network",
            "bits",
            "seed",
            "target",
            "out=Folder for the tables and figures",
        ],
    ),
    (
        "compare",
        &[
            "reference",
            "models",
            "method",
            "randomisation",
            "masks=Folder of masks, with a picture for each image",
            "count",
            "dataset",
            "split",
            "network",
            "bits",
            "seed",
            "target",
            "out=Folder for the tables and figures",
        ],
    ),
    (
        "search",
        &[
            "model",
            "network",
            "widths",
            "budget",
            "objective",
            "tied",
            "plan",
            "images",
            "recover=Epochs of training with the chosen bits",
            "dataset",
            "normalize",
            "test_limit=Measure on the first N test images only [default: all]",
            "out",
            "force",
        ],
    ),
    (
        "reproduce",
        &[
            "preset",
            "seeds",
            "shard",
            "plan",
            "config",
            "dataset=Data set [default: the preset's]",
            "bits=Bits of the quantized models [default: those of the paper]",
            "sgt=Models with it alone, or without it alone [default: both]",
            "epochs=Passes over the training images [default: the preset's]",
            "out=Folder of the study [default: runs/reproduce-PRESET]",
        ],
    ),
    ("export", &["model", "format", "out", "verify", "fold_batch_norm", "dataset", "network"]),
    (
        "check",
        &[
            "paths=WGSL files, folders, patterns, - for standard input [default: saliq's own]",
            "format=Format of the report",
            "targets=Targets whose failures fail a shader [default: all but gles]",
            "features=Features of the device, as `f16,subgroups`",
            "explain=Explain a rule by its id, or list `all`",
            "define=Define a name of conditions",
            "prelude=Put this file in front of those that use it",
            "package=Folder of a package that shaders import",
            "deny=Let warnings fail a shader",
            "config=Configuration [default: saliq-check.toml]",
            "watch=Check again whenever a file changes",
        ],
    ),
];

/// Examples of commands whose definitions have none.
const EXAMPLES: [(&str, &str); 15] = [
    (
        "demo",
        "  saliq demo                      four models, figures and report.html in runs/demo
  saliq demo --out /tmp/demo --quiet",
    ),
    (
        "devices",
        "  saliq devices                   every adapter, and which one is picked
  saliq devices --json            the same for programs
  saliq devices --adapter llvm    what --adapter llvm would pick",
    ),
    (
        "data",
        "  saliq data list                 what is built in, and what was found where
  saliq data fetch mnist
  saliq data info photos --image-size 64,64
  saliq data convert photos --image-size 64,64 --out photos.safetensors",
    ),
    (
        "list",
        "  saliq data list
  saliq data list --data-dir ~/data --json",
    ),
    (
        "fetch",
        "  saliq data fetch mnist fashion-mnist
  saliq data fetch mnist --data-dir ~/data",
    ),
    (
        "info",
        "  saliq data info mnist-mini
  saliq data info photos --image-size 64,64 --test-share 0.2 --json",
    ),
    (
        "convert",
        "  saliq data convert photos --image-size 64,64 --out photos.safetensors
  saliq train --dataset photos.safetensors",
    ),
    (
        "eval",
        "  saliq eval runs/first                          on the images that it was trained for
  saliq eval runs/first --json | jq .accuracy
  saliq eval runs/first --predictions predictions.csv
  saliq eval model.onnx --dataset mnist-mini --normalize unit",
    ),
    (
        "explain",
        "  saliq explain runs/first --method gradient --count 8
  saliq explain runs/float runs/4-2 --method integrated-gradients,grad-cam --indices 0,5,7-20
  saliq explain runs/first --method lrp --target 3 --out maps",
    ),
    (
        "drop",
        "  saliq drop runs/float runs/4-2 --method gradient,random --count 500
  saliq drop runs/first --method lrp --out drop --json",
    ),
    (
        "compare",
        "  saliq compare runs/float runs/4-2 runs/2-2 --count 200
  saliq compare runs/float runs/4-2 --method grad-cam --out compare --json",
    ),
    (
        "report",
        "  saliq report runs/reproduce-quick
  saliq report /shared/study --json",
    ),
    (
        "check",
        "  saliq check                                    saliq's own shaders
  saliq check shaders --targets vulkan,metal
  saliq check shaders --format sarif > check.sarif
  cat a.wgsl | saliq check -",
    ),
    (
        "bench",
        "  saliq bench                                    the step, its kernels, the peaks
  saliq bench --json --batch-size 64
  saliq bench --autotune                         measures tile sizes and keeps them",
    ),
    ("help", "  saliq help train"),
];

/// Fewer words for flags of every command.
const GLOBAL: [(&str, &str); 3] = [
    ("adapter", "Adapter to run on"),
    ("quiet", "Print results and errors only"),
    ("json", "Print the result as JSON, with =lines an object a line"),
];

/// Flags of every command that `-h` leaves to `--help`.
const RARE: [&str; 3] = ["tiles", "verbose", "color"];

/// Flags that many commands take and few people give: `-h` leaves them to `--help`.
const DETAILS: [&str; 19] = [
    "act_quant",
    "all_layers",
    "batch_size",
    "color",
    "data_dir",
    "first_last",
    "grad_cam_relu",
    "image_size",
    "layer",
    "lrp_rule",
    "noise",
    "pact",
    "per_channel",
    "samples",
    "steps",
    "test_share",
    "transpose",
    "verbose",
    "weight_quant",
];

/// The command line as pages of a manual: nothing is left out.
pub(super) fn manual() -> Command {
    fn shown(mut command: Command) -> Command {
        let flags: Vec<String> =
            command.get_arguments().map(|own| own.get_id().to_string()).collect();
        for flag in flags {
            command = command.mut_arg(&flag, |argument| {
                let help = argument.get_long_help().or(argument.get_help()).cloned();
                argument.hide_short_help(false).help(help.unwrap_or_default())
            });
        }
        let inner: Vec<String> =
            command.get_subcommands().map(|own| own.get_name().into()).collect();
        inner.iter().fold(command, |command, name| command.mut_subcommand(name, shown))
    }
    shown(command().disable_help_subcommand(true))
}

/// The command line with all help texts.
pub(super) fn command() -> Command {
    let mut root = Cli::command();
    for flag in RARE {
        root = root.mut_arg(flag, |argument| argument.hide_short_help(true));
    }
    for (flag, words) in GLOBAL {
        root = root.mut_arg(flag, |argument| brief(argument, words.into()));
    }
    let names: Vec<String> = root.get_subcommands().map(|own| own.get_name().into()).collect();
    for name in names {
        root = root.mut_subcommand(&name, |own| with_help(own, &format!("saliq {name}")));
    }
    let begin = root.get_after_help().map(ToString::to_string).unwrap_or_default();
    let groups = groups(&root);
    with_help_flag(root)
        .help_template(format!(
            "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{groups}\nGlobal:\n\
             {{options}}{{after-help}}"
        ))
        .after_help("Begin with `saliq demo`. Details and examples: saliq --help")
        .after_long_help(begin)
}

/// `command` with a flag for its help that its help need not name: the last line of `-h` does.
fn with_help_flag(command: Command) -> Command {
    let flag = Arg::new("help").short('h').long("help").action(ArgAction::Help);
    let flag = flag.help("Print help (see a summary with '-h')").hide_short_help(true);
    command.disable_help_flag(true).arg(flag)
}

/// `command` with its examples, and those of its own commands.
fn with_help(command: Command, path: &str) -> Command {
    let name = command.get_name().to_string();
    let texts = [command.get_after_long_help(), command.get_after_help()];
    let own = texts.into_iter().flatten().map(ToString::to_string).next().unwrap_or_default();
    let examples = EXAMPLES.iter().find(|(of, _)| *of == name);
    let long = match examples {
        Some((_, examples)) if own.is_empty() => format!("Examples:\n{examples}"),
        Some((_, examples)) if !own.contains("Examples:") => {
            format!("{own}\n\nExamples:\n{examples}")
        }
        _ => own,
    };
    let shown = BRIEF.iter().find(|(of, _)| *of == name).map(|(_, flags)| *flags);
    let flags: Vec<String> = command.get_arguments().map(|own| own.get_id().to_string()).collect();
    let mut command = command;
    for flag in flags {
        let own = shown.into_iter().flatten();
        let own = own.copied().find(|own| own.split('=').next() == Some(flag.as_str()));
        command = command.mut_arg(&flag, |argument| match own.map(|own| own.split_once('=')) {
            None if shown.is_some() || DETAILS.contains(&flag.as_str()) => {
                argument.hide_short_help(true)
            }
            Some(Some((_, words))) => brief(argument, words.into()),
            _ => {
                let words = argument.get_help().map(|help| first_words(&help.to_string()));
                brief(argument, words.unwrap_or_default())
            }
        });
    }
    let inner: Vec<String> = command.get_subcommands().map(|own| own.get_name().into()).collect();
    for name in inner {
        command = command.mut_subcommand(&name, |own| with_help(own, &format!("{path} {name}")));
    }
    let more = format!("All flags, details and examples: {path} --help");
    with_help_flag(command).after_help(more).after_long_help(long)
}

/// `argument` with `words` for `-h` and all of its help for `--help`.
fn brief(argument: Arg, words: String) -> Arg {
    match argument.get_long_help().or(argument.get_help()).cloned() {
        Some(long) => argument.help(words).long_help(long),
        None => argument,
    }
}

/// The beginning of a help text, without what explains it, and its default.
fn first_words(help: &str) -> String {
    let (words, default) = match help.rfind(" [default: ") {
        Some(place) => help.split_at(place),
        None => (help, ""),
    };
    let marks = ["; ", ": ", " (", ", such as ", ", a comma"];
    let end = marks.iter().filter_map(|mark| words.find(mark)).min();
    let default = if default.len() > 40 { "" } else { default };
    format!("{}{default}", &words[..end.unwrap_or(words.len())])
}

/// The commands of `root` under the headings of their groups.
fn groups(root: &Command) -> String {
    let line = |command: &Command| {
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        format!("  {:<12} {about}\n", command.get_name())
    };
    let mut text = String::new();
    for (heading, names) in GROUPS {
        let found = names.iter().filter_map(|name| root.find_subcommand(name));
        let lines: String = found.map(line).collect();
        if !lines.is_empty() {
            text += &format!("{heading}:\n{lines}");
        }
    }
    let listed = |command: &&Command| {
        GROUPS.iter().any(|(_, names)| names.contains(&command.get_name())) || command.is_hide_set()
    };
    let rest: String = root.get_subcommands().filter(|own| !listed(own)).map(line).collect();
    if rest.is_empty() { text } else { format!("{text}More:\n{rest}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The commands below `command` with their paths.
    fn all(command: &Command, path: &str) -> Vec<(String, Command)> {
        let is_shown = |own: &&Command| !own.is_hide_set() && own.get_name() != "help";
        let inner = command.get_subcommands().filter(is_shown);
        inner
            .flat_map(|own| {
                let path = format!("{path} {}", own.get_name());
                [(path.clone(), own.clone())].into_iter().chain(all(own, &path))
            })
            .collect()
    }

    #[test]
    fn every_command_has_examples_that_parse() {
        let mut root = command();
        root.build();
        for (path, mut own) in all(&root, "saliq") {
            let help = own.render_long_help().to_string();
            let Some((_, examples)) = help.split_once("Examples:\n") else {
                panic!("{path}: no examples")
            };
            let parts: Vec<&str> = examples.split("\\\n").map(str::trim_start).collect();
            let examples = parts.concat();
            let lines = examples.lines().map(str::trim);
            let lines = lines.filter_map(|line| line.strip_prefix("saliq "));
            let mut count = 0;
            for line in lines {
                // Two spaces begin the explanation; the rest is for a shell.
                let line = line.split("  ").next().unwrap_or_default();
                let line = line.split([';', '|', '>', '&', '\\']).next().unwrap_or_default();
                let words = std::iter::once("saliq").chain(line.split_whitespace());
                let words = words.map(|word| word.trim_matches(['\'', '"']));
                if let Err(error) = command().try_get_matches_from(words) {
                    let is_help = error.kind() == clap::error::ErrorKind::DisplayHelp;
                    assert!(is_help, "{path}: `saliq {line}`: {error}");
                }
                count += 1;
            }
            assert!(count > 0, "{path}: no example begins with saliq");
        }
    }

    /// `words` in lines of at most 100 columns, all but the first indented.
    fn wrapped(words: &str) -> String {
        let (mut text, mut width) = (String::new(), 0);
        for word in words.split_whitespace() {
            let own = word.chars().count();
            if width + own + 1 > 100 {
                text += "\n  ";
                width = 2;
            } else if width > 0 {
                text.push(' ');
                width += 1;
            }
            text += word;
            width += own;
        }
        text
    }

    /// The page of all settings of a training.
    fn page() -> String {
        let root = command();
        let train = root.find_subcommand("train").cloned().unwrap_or_default();
        let mut text = [
            "# Settings\n",
            "Every flag of `saliq train` is a key of its TOML files, without dashes: `--lr 0.1` is",
            "`lr = 0.1`. The tables `[network]` ([networks](../networks.md)) and",
            "`[quantization.bits]` ([quantize](quantize.md)) are keys alone; `config`, `force` and",
            "`resume` are flags alone. A test compares this page with the program.\n",
        ]
        .join("\n");
        let mut heading = "";
        for own in train.get_arguments().filter(|own| own.get_help_heading().is_some()) {
            let (Some(long), Some(own_heading)) = (own.get_long(), own.get_help_heading()) else {
                continue;
            };
            if own_heading != heading {
                heading = own_heading;
                text += &format!("\n## {heading}\n\n");
            }
            let value = own.get_value_names().map_or_else(String::new, |names| {
                let names: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
                format!(" {}", names.join(" "))
            });
            let value = if own.get_action().takes_values() { value } else { String::new() };
            let help = own.get_long_help().or(own.get_help()).map(ToString::to_string);
            let possible: Vec<String> =
                own.get_possible_values().iter().map(|own| own.get_name().into()).collect();
            let is_listed = !possible.is_empty() && !own.is_hide_possible_values_set();
            let possible = match is_listed && own.get_action().takes_values() {
                true => format!(" One of {}.", possible.join(", ")),
                false => String::new(),
            };
            let escaped = help.unwrap_or_default().replace(['<'], "\\<").replace("[[", "\\[\\[");
            text += &wrapped(&format!("- `{long}{value}`: {escaped}{possible}"));
            text.push('\n');
        }
        text
    }

    #[test]
    fn the_page_of_settings_is_that_of_the_program() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/book/settings.md");
        if std::env::var_os("SALIQ_WRITE_SETTINGS").is_some() {
            std::fs::write(&path, page()).expect("docs/book/settings.md is written");
        }
        assert_eq!(
            std::fs::read_to_string(&path).expect("docs/book/settings.md"),
            page(),
            "docs/book/settings.md is old: run this test with SALIQ_WRITE_SETTINGS=1"
        );
    }

    #[test]
    fn short_help_fits_a_screen() {
        let mut root = command().term_width(100);
        root.build();
        let mut found = all(&root, "saliq");
        found.push(("saliq".into(), root));
        for (path, own) in found {
            let help = own.term_width(100).render_help().to_string();
            assert!(help.lines().count() <= 40, "{path}: {} lines\n{help}", help.lines().count());
            let widest = help.lines().map(|line| line.chars().count()).max();
            assert!(widest <= Some(100), "{path}: {widest:?} columns\n{help}");
        }
        let flags = |name: &str| -> Vec<String> {
            let own = command().find_subcommand(name).cloned().unwrap_or_default();
            own.get_arguments().map(|own| own.get_id().to_string()).collect()
        };
        for (name, shown) in BRIEF {
            let known = flags(name);
            for flag in shown {
                let flag = flag.split('=').next().unwrap_or_default();
                assert!(known.iter().any(|own| own == flag), "{name}: no flag {flag}");
            }
        }
    }
}
