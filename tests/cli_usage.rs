//! The command line for a user: help, mistakes, exit codes. Needs no GPU and no data set.

use std::process::Output;

use assert_cmd::Command;

fn saliq(arguments: &[&str]) -> Output {
    let mut command = Command::cargo_bin("saliq").expect("the program is built");
    command.env_remove("SALIQ_ADAPTER").env_remove("SALIQ_DATA_DIR").env("COLUMNS", "200");
    command.args(arguments).output().expect("the program starts")
}

/// Runs a command with a mistake. It must exit with code 2, with empty standard output and one line
/// `error: …`, which is returned without the prefix.
fn refused(arguments: &[&str]) -> String {
    let output = saliq(arguments);
    let error = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {error}");
    assert!(output.stdout.is_empty(), "{arguments:?}");
    assert_eq!(error.lines().count(), 1, "{arguments:?}: {error}");
    error
        .trim_end()
        .strip_prefix("error: ")
        .unwrap_or_else(|| panic!("no `error: `: {error}"))
        .to_string()
}

fn refused_file(content: &str, more: &[&str]) -> String {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("run.toml");
    std::fs::write(&path, content).expect("written");
    let path = path.to_str().expect("UTF-8");
    let message = refused(&[&["train", "--config", path], more].concat());
    message.replace(path, "run.toml")
}

fn help(arguments: &[&str]) -> String {
    let output = saliq(arguments);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn version_and_help() {
    assert_eq!(help(&["--version"]).trim_end(), format!("saliq {}", env!("CARGO_PKG_VERSION")));
    let overview = help(&["--help"]);
    for command in [
        "demo", "devices", "data", "networks", "train", "quantize", "eval", "explain", "export",
        "cost", "check", "bench", "search",
    ] {
        assert!(overview.contains(&format!("\n  {command} ")), "{command}: {overview}");
        assert!(help(&[command, "--help"]).contains("--adapter"), "{command}");
    }
    for command in [["data", "list"], ["data", "fetch"]] {
        assert!(help(&[command[0], command[1], "--help"]).contains("--data-dir"), "{command:?}");
    }
    let nothing = saliq(&[]);
    assert_eq!(nothing.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&nothing.stderr).contains("Usage: saliq"));
}

#[test]
fn completions_and_man_pages_know_the_commands() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = help(&["completions", shell]);
        assert!(script.contains("explain") && script.contains("mask-ratio"), "{shell}");
    }
    assert!(refused(&["completions", "csh"]).contains("possible values: bash"));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = folder.path().join("man");
    let said = help(&["man", "--out", out.to_str().expect("UTF-8"), "--json"]);
    let said: serde_json::Value = serde_json::from_str(&said).expect("JSON");
    let pages: Vec<&str> =
        said["pages"].as_array().expect("a list").iter().filter_map(|page| page.as_str()).collect();
    assert!(pages.contains(&"saliq.1") && pages.contains(&"saliq-data-list.1"), "{pages:?}");
    let train = std::fs::read_to_string(out.join("saliq-train.1")).expect("a page");
    for expected in [".TH saliq-train 1", "mask\\-ratio", "Saliency guided training; ", "Examples:"]
    {
        assert!(train.contains(expected), "{expected}: {train}");
    }
}

#[test]
fn train_has_every_promised_flag() {
    let text = help(&["train", "--help"]);
    for flag in [
        "config",
        "dataset",
        "data-dir",
        "bits",
        "sgt",
        "mask-ratio",
        "mask-fill",
        "mask-rank",
        "lambda",
        "teacher",
        "distill",
        "align",
        "align-target",
        "teacher-cache",
        "weight-quant",
        "per-channel",
        "pact",
        "optimizer",
        "lr",
        "schedule",
        "weight-decay",
        "dropout",
        "augment",
        "normalize",
        "batch-size",
        "epochs",
        "steps",
        "train-limit",
        "test-limit",
        "seed",
        "no-shuffle",
        "init",
        "out",
        "resume",
        "log-every",
        "checkpoint-every",
        "force",
        "momentum",
        "nesterov",
        "alpha-decay",
        "alpha-lr-factor",
        "alpha-init",
        "weight-init",
        "warmup-steps",
        "gamma",
        "step-epochs",
        "betas",
        "epsilon",
        "rho",
        "saliency-target",
        "stop-gradient",
        "validation-share",
        "snapshot-every",
        "adapter",
        "quiet",
        "verbose",
        "json",
        "color",
    ] {
        assert!(text.contains(&format!("--{flag}")), "{flag}");
    }
    for heading in [
        "Data:",
        "Network & quantization:",
        "Saliency guided training:",
        "Optimiser:",
        "Run:",
        "Global:",
    ] {
        assert!(text.contains(&format!("\n{heading}\n")), "{heading}");
    }
}

#[test]
fn misspelt_arguments_get_a_suggestion() {
    assert!(refused(&["trian"]).contains("'train'"));
    assert!(refused(&["train", "--epoch", "3"]).contains("'--epochs'"));
    assert!(refused(&["train", "--optimizer", "adm"]).contains("'adam'"));
    assert!(refused(&["train", "--mask-fill", "zeros"]).contains("'zero'"));
    assert!(refused(&["train", "--augment", "shfit"]).contains("`shift`"));
    assert!(refused(&["explain", "model", "--method", "gradeint"]).contains("`gradient`"));
    assert!(refused(&["explain", "model", "--samples", "9"]).contains("no effect"));
    assert!(
        refused(&["data", "fetch", "--data-dri", "x"]).ends_with("(see `saliq data fetch --help`)")
    );
    assert!(refused(&["train", "--bits", "9"]).ends_with("(see `saliq train --help`)"));
    assert!(refused(&["explain"]).contains("<MODEL>"));
    assert!(refused(&["replicate", "model"]).contains("unrecognized subcommand 'replicate'"));
}

#[test]
fn words_of_other_tools_get_what_is_here_instead() {
    for (arguments, expected) in [
        (&["train", "--device", "cuda"][..], "`--adapter`"),
        (&["explain", "model", "--gpu", "0"], "`--adapter`"),
        (&["train", "--learning_rate", "0.1"], "`--lr`"),
        (&["train", "--wd", "0.1"], "`--weight-decay`"),
        (&["train", "--optimizer", "rmsprop"], "`adam` is nearest"),
        (&["train", "--optimizer", "Adam"], "`adam`"),
        (&["train", "--schedule", "CosineAnnealingLR"], "`cosine`"),
        (&["export", "model", "--format", "tflite"], "export `onnx` and convert"),
        (&["export", "model", "--format", "torchscript"], "`safetensors`"),
        (&["explain", "model", "--method", "saliency"], "it is called `gradient`"),
        (&["explain", "model", "--method", "gradient,ig"], "it is called `integrated-gradients`"),
        (&["explain", "model", "--method", "InputXGradient"], "`input-x-gradient`"),
        (&["drop", "model", "--method", "gradcam"], "`grad-cam`"),
        (&["evaluate", "model"], "`saliq eval`"),
    ] {
        let message = refused(arguments);
        assert!(
            message.contains(expected) && !message.contains("similar"),
            "{arguments:?}: {message}"
        );
    }
    for (name, said) in [
        ("svhn", "not built in; give a folder"),
        ("CIFAR-100", "it is called `cifar-100` here; `saliq data fetch cifar-100` gets it"),
        ("emnist", "such as `emnist-letters`"),
        ("kmnist", "Get it with `saliq data fetch kmnist`"),
    ] {
        let output = saliq(&["train", "--dataset", name]);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.contains(name) && error.contains(said), "{error}");
    }
    assert!(
        refused_file("seed = 1\noptimizer = \"rmsprop\"\n", &[])
            .contains("run.toml:2: optimizer: ")
    );
    assert!(refused_file("optimizer = \"rmsprop\"\n", &[]).contains("`adam` is nearest"));
    assert!(refused_file("device = \"cuda\"\n", &[]).contains("`--adapter`"));
}

/// For every mistake in a layer, the message names the file, the line and the layer.
#[test]
fn errors_in_layers_name_line_and_layer() {
    let layers = |second: &str, third: &str| {
        let first = "seed = 1\n\
                     \n\
                     [[network.layers]]\n\
                     type = \"conv\"\nname = \"first\"\nout_channels = 2\nkernel = 3\n";
        format!("{first}\n[[network.layers]]\n{second}\n\n[[network.layers]]\n{third}\n")
    };
    let (conv, linear) = (
        "type = \"conv\"\nname = \"second\"\nout_channels = 2\nkernel = ",
        "type = \"linear\"\nname = \"last\"\nout_features = ",
    );
    let average = "type = \"average-pool\"\nkernel = ";
    let (good_conv, good_linear) = (format!("{conv}3"), format!("{linear}10"));
    for (second, third, line, expected) in [
        (format!("{conv}\"big\""), good_linear.clone(), 13, ["layer 2 (`second`)", "big"]),
        (format!("{conv}3\nstrid = 2"), good_linear.clone(), 14, ["layer 2 (`second`)", "strid"]),
        (format!("{conv}99"), good_linear.clone(), 9, ["layer 2 (`second`)", "does not fit"]),
        (
            good_conv.replace("second", "first"),
            good_linear.clone(),
            9,
            ["layer 2 (`first`)", "taken by an earlier layer"],
        ),
        (
            good_conv.replace("second", "a/b"),
            good_linear.clone(),
            9,
            ["layer 2 (`a/b`)", "letters, digits"],
        ),
        (
            good_conv.replace("\"conv\"", "\"Conv2d\""),
            good_linear.clone(),
            9,
            ["layer 2 (`second`)", "Conv2d"],
        ),
        (
            "type = \"max-pool\"\nkernel = 16\nstride = 1".into(),
            good_linear.clone(),
            9,
            ["layer 2: ", "at most 15"],
        ),
        (
            format!("{average}3\npadding = 2"),
            good_linear.clone(),
            9,
            ["layer 2: ", "more than half"],
        ),
        (format!("{average}99"), good_linear.clone(), 9, ["layer 2: ", "does not fit"]),
        (format!("{average}0"), good_linear.clone(), 9, ["layer 2: ", "at least 1"]),
        (format!("{average}2\nstrid = 2"), good_linear.clone(), 12, ["layer 2: ", "strid"]),
        (format!("{average}-2"), good_linear.clone(), 11, ["layer 2: ", "-2"]),
        ("type = \"dropout\"\nrate = 1.5".into(), good_linear, 9, ["layer 2: ", "not in [0, 1)"]),
        (
            good_conv.clone(),
            "type = \"linear\"\nname = \"last\"".into(),
            15,
            ["layer 3 (`last`)", "out_features"],
        ),
        (good_conv, format!("{linear}7"), 15, ["layer 3 (`last`)", "classes (10)"]),
    ] {
        let message = refused_file(
            &layers(&second, &third),
            &["--dataset", "mnist-mini", "--out", "/nowhere/out"],
        );
        assert!(
            message.starts_with(&format!("run.toml:{line}: network: {}", expected[0])),
            "{message}"
        );
        assert!(message.contains(expected[1]), "{message}");
    }
    let inline = "[network]\n\
                  layers = [\n  \
                  { type = \"conv\", name = \"a\", out-channels = 2, kernel = 3 },\n  \
                  { type = \"linear\", name = \"b\" },\n]\n";
    assert!(refused_file(inline, &[]).starts_with("run.toml:4: network: layer 2 (`b`): "));
}

#[test]
fn values_out_of_range_name_flag_value_and_range() {
    for (flag, value, expected) in [
        ("--mask-ratio", "1.5", "from 0 to 1"),
        ("--mask-ratio", "nan", "not a finite number"),
        ("--bits", "9", "1 to 8"),
        ("--bits", "4,x", "1 to 8"),
        ("--bits", "1", "binary"),
        ("--bits", "6,2", "sawb"),
        ("--batch-size", "0", "from 1 to 65536"),
        ("--batch-size", "ten", "not a whole number"),
        ("--epochs", "-1", "from 1 to"),
        ("--lr", "0", "above 0"),
        ("--lr", "inf", "not a finite number"),
        ("--lambda", "-1", "0 or more"),
        ("--momentum", "1", "below 1"),
        ("--dropout", "1", "below 1"),
        ("--normalize", "0.5,0", "above 0"),
        ("--checkpoint-every", "5d", "30s"),
        ("--betas", "0.9", "two numbers"),
        ("--seed", "-3", "from 0 to"),
    ] {
        let message = refused(&["train", flag, value]);
        assert!(
            message.contains(flag) && message.contains(value) && message.contains(expected),
            "{flag} {value}: {message}"
        );
    }
    assert!(refused(&["train", "--bits", "w2a1", "--pact", "signed"]).contains("--pact unsigned"));
    assert!(
        refused(&["train", "--optimizer", "sgd", "--momentum", "0.9"])
            .contains("--optimizer momentum")
    );
    assert!(refused(&["train", "--betas", "0.9,0.99"]).contains("adam"));
    assert!(refused(&["train", "--epochs", "1", "--steps", "5"]).contains("cannot be used with"));
    assert!(refused(&["eval", "model", "--count", "0"]).contains("--count"));
    assert!(refused(&["explain", "model", "--keep", "2"]).contains("from 0 to 1"));
    assert!(refused(&["explain", "model", "--indices", "5-1"]).contains("ends before it starts"));
    assert!(
        refused(&["explain", "model", "--indices", "1", "--count", "2"])
            .contains("cannot be used with")
    );
}

#[test]
fn configuration_files_are_judged_by_line() {
    let unknown = refused_file("dataset = \"mnist\"\nmask-ration = 0.5\n", &[]);
    assert!(
        unknown.starts_with("run.toml:2: unknown key `mask-ration`; did you mean `mask-ratio`?"),
        "{unknown}"
    );
    assert!(
        refused_file("seed = 1\n\nepochs = \"many\"\n", &[]).starts_with("run.toml:3: epochs: ")
    );
    assert!(
        refused_file("lr = 0.1\nmask-ratio = 1.5\n", &[])
            .starts_with("run.toml:2: mask-ratio = 1.5: must be from 0 to 1")
    );
    assert!(refused_file("lr = = 1\n", &[]).starts_with("run.toml:1: "));
    assert!(refused_file("[network]\nlayers = 3\n", &[]).starts_with("run.toml:2: network: "));
    assert!(refused_file(&"#".repeat((1 << 20) + 1), &[]).contains("at most 1 MiB"));
    assert!(refused_file("optimizer = \"adam\"\n", &["--momentum", "0.5"]).contains("--momentum"));
    let binary = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(binary.path(), [0xff, 0xfe, 0x00]).expect("written");
    assert!(
        refused(&["train", "--config", binary.path().to_str().expect("UTF-8")])
            .contains("not UTF-8")
    );
}

#[test]
fn a_missing_configuration_file_is_not_a_usage_error() {
    let output = saliq(&["train", "--config", "/nowhere/run.toml"]);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(
        error.starts_with("error: /nowhere/run.toml: cannot read the configuration"),
        "{error}"
    );
    assert_eq!(error.lines().count(), 1);
}

/// Runs in this process, because nothing else in it uses signals.
#[test]
fn an_interrupt_is_noticed() {
    use saliq::cli::signals;
    signals::install();
    assert_eq!(signals::interrupted(), None);
    signal_hook::low_level::raise(signal_hook::consts::SIGINT).expect("raised");
    assert_eq!(signals::interrupted(), Some(2));
}
