//! The C header: compiled by gcc without a warning, checked by its sanitizers, and of the same mind
//! as integer inference.

mod networks;
mod together;

use std::{
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use saliq::{
    config::{
        ActivationQuantizer, AveragePool, LayerConfig, NetworkConfig, PactKind, QuantizationConfig,
        Shape, WeightQuantizer,
    },
    deploy::{ActivationGrid, CProgram, DeployableModel, Encoding, IntegerPlan, c_header},
    model::Model,
    reference::integer_network::integer_network,
    train::{Start, Trainer},
};

use crate::{
    common::{Random, Silent, activation, conv, gpu, in_colour, random_model},
    support::{self, SMALL_NETWORK, run_config, succeed, text},
};

/// Reads images from standard input; writes the class, the scores and, last, what the macros say of
/// RAM and ROM.
const MAIN: &str = r#"
#include <stdio.h>
#include "PREFIX.h"

int main(void) {
    static PREFIX_workspace workspace;
    static uint8_t pixels[UPPER_CHANNELS * UPPER_HEIGHT * UPPER_WIDTH];
    float scores[UPPER_CLASSES];
    if (TABLES != UPPER_ROM_BYTES) { return 2; }
    while (fread(pixels, 1, sizeof pixels, stdin) == sizeof pixels) {
        printf("%d", PREFIX_classify(pixels, &workspace, scores));
        for (int c = 0; c < UPPER_CLASSES; c++) { printf(" %.9g", (double)scores[c]); }
        printf("\n");
    }
    printf("%lu %lu %lu %s\n", (unsigned long)sizeof workspace, (unsigned long)UPPER_RAM_BYTES,
           (unsigned long)UPPER_ROM_BYTES, PREFIX_class_names[0]);
    return 0;
}
"#;

/// Compiles a header of names that start with `prefix` and runs `images` through it: (class,
/// scores) an image, and the last line.
fn run_c(
    folder: &Path,
    prefix: &str,
    options: &[&str],
    images: &[u8],
) -> (Vec<(usize, Vec<f64>)>, String) {
    let source = folder.join("main.c");
    let main = MAIN.replace("PREFIX", prefix).replace("UPPER", &prefix.to_ascii_uppercase());
    std::fs::write(&source, main.replace("TABLES", &tables(folder, prefix))).unwrap();
    let program = folder.join("main");
    let strict =
        ["-std=c99", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror", "-pedantic", "-O2"];
    let compiled = Command::new("gcc")
        .args(strict)
        .args(options)
        .args([&source])
        .arg("-o")
        .arg(&program)
        .args(needs_math(folder, prefix).then_some("-lm"))
        .output()
        .expect("gcc is installed");
    assert!(
        compiled.status.success(),
        "{options:?}: {}",
        String::from_utf8_lossy(&compiled.stderr)
    );
    let mut running = Command::new(&program)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = running.stdin.take().unwrap();
    let images = images.to_vec();
    let writer = std::thread::spawn(move || input.write_all(&images));
    let output = running.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).unwrap();
    let mut lines: Vec<&str> = text.lines().collect();
    let last = lines.pop().unwrap_or_default().to_string();
    let parse = |line: &&str| {
        let mut numbers = line.split(' ');
        let class = numbers.next().and_then(|class| class.parse().ok()).unwrap();
        (class, numbers.map(|score| score.parse().unwrap()).collect())
    };
    (lines.iter().map(parse).collect(), last)
}

/// The bytes of all arrays of constants of the header in `folder`, in C; names of classes are none.
fn tables(folder: &Path, prefix: &str) -> String {
    let text = std::fs::read_to_string(folder.join(format!("{prefix}.h"))).unwrap();
    let declarations = text.lines().filter_map(|line| line.strip_prefix("static const "));
    let name =
        |line: &str| line.split('[').next().unwrap().split(' ').next_back().unwrap().to_string();
    let names = declarations.map(name).filter(|name| !name.ends_with("_class_names"));
    names.fold("0".into(), |sum, name| format!("{sum} + sizeof {name}"))
}

/// Whether the header in `folder` says that it needs a library.
fn needs_math(folder: &Path, prefix: &str) -> bool {
    let text = std::fs::read_to_string(folder.join(format!("{prefix}.h"))).unwrap();
    let [includes, says_so, says_not] =
        ["#include <math.h>", "-lm", "needs no library"].map(|text_of| text.contains(text_of));
    assert_eq!([says_so, says_not], [includes, !includes]);
    includes
}

/// Fails where gcc cannot link a program with its sanitizers, and says how to install them.
fn require_sanitizers(folder: &Path) {
    let source = folder.join("probe.c");
    std::fs::write(&source, "int main(void) { return 0; }\n").unwrap();
    let probe = Command::new("gcc")
        .args(SANITIZERS)
        .arg(&source)
        .arg("-o")
        .arg(folder.join("probe"))
        .output();
    let probe = probe.expect("gcc is installed");
    assert!(
        probe.status.success(),
        "gcc has no sanitizers to link; install them: `apt install gcc` (it depends on libasan and \
         libubsan) on Debian and Ubuntu, `dnf install gcc libasan libubsan` on Fedora. gcc says: \
         {}",
        String::from_utf8_lossy(&probe.stderr)
    );
}

const SANITIZERS: [&str; 2] = ["-fsanitize=undefined,address", "-fno-sanitize-recover=all"];

/// A model trained for seconds, on the 1,000 test images of the embedded set: every prediction is
/// that of `eval --engine integer`.
#[test]
fn predictions_are_those_of_integer_inference() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = saliq::data::load("mnist-mini", None).unwrap();
    let run = folder.path().join("run");
    let settings = "train-limit = 1000\n\
                    test-limit = 10\n\
                    batch-size = 50\nepochs = 4\nlr = 0.1\nsgt = false\nbits = \"4,2\"\n";
    let config = run_config(&format!("{settings}{SMALL_NETWORK}"), &dataset, &run);
    let mut trainer = Trainer::new(gpu(), &config, &dataset).unwrap();
    pollster::block_on(trainer.run(Start::New, &mut Silent)).unwrap();

    let header = folder.path().join("2 digits!.h");
    let told = succeed(&["export", text(&run), "--format", "c", "--out", text(&header)]);
    assert!(told.contains("RAM"), "{told}");
    std::fs::rename(&header, folder.path().join("model_2_digits.h")).unwrap();
    let csv = folder.path().join("predictions.csv");
    let evaluated = support::json(&[
        "eval",
        text(&run),
        "--engine",
        "integer",
        "--predictions",
        text(&csv),
        "--compare-levels",
    ]);
    assert!(evaluated["accuracy"].as_f64().unwrap() > 0.3, "{evaluated}");
    let agreement = &evaluated["agreement"];
    assert_eq!(agreement["images"], evaluated["images"]);
    assert_eq!(agreement["predictions_different"], 0, "{agreement}");
    for layer in agreement["layers"].as_array().unwrap() {
        assert_eq!(layer["unexplained"], 0, "{agreement}");
    }
    let csv = std::fs::read_to_string(csv).unwrap();
    let expected: Vec<usize> =
        csv.lines().skip(1).map(|line| line.split(',').nth(2).unwrap().parse().unwrap()).collect();
    assert!(expected.len() >= 1000, "{} images", expected.len());
    let (made, last) = run_c(folder.path(), "model_2_digits", &[], &dataset.test.images);
    let classes: Vec<usize> = made.iter().map(|(class, _)| *class).collect();
    assert_eq!(classes, expected);
    let numbers: Vec<u64> = last.split(' ').take(3).map(|number| number.parse().unwrap()).collect();
    assert_eq!(numbers[0], numbers[1], "RAM: {last}");
}

/// Every quantizer, padding, strides, batch norms, activations alone, float layers, three channels;
/// names that try to break out.
#[test]
fn odd_networks_survive_the_sanitizers() {
    let folder = tempfile::tempdir().unwrap();
    require_sanitizers(folder.path());
    use WeightQuantizer::{Affine, Binary, Dorefa, Lsq, Sawb, Symmetric};
    let cases = [
        (Affine, true, PactKind::Signed, "w3a4,w8a3,w8a32", false),
        (Dorefa, false, PactKind::Unsigned, "w1a8,w8a8,w5a32", false),
        (Sawb, true, PactKind::SignedAfterRelu, "w8a6,w2a2,w32a32", false),
        (Symmetric, false, PactKind::Unsigned, "w32a7,w7a3,w8a32", false),
        (Lsq, true, PactKind::Signed, "w6a32,w3a5,w4a32", false),
        (Binary, false, PactKind::Unsigned, "w1a1,w32a4,w1a32", false),
        (Sawb, false, PactKind::Unsigned, "w32a32,w32a32,w32a32", false),
        (Sawb, false, PactKind::Unsigned, "w4a4,w4a3,w8a32", true),
        (Symmetric, true, PactKind::Signed, "w8a5,w4a4,w32a32", true),
        (Sawb, false, PactKind::Unsigned, "w32a32,w32a32,w32a32", true),
    ];
    let pact = cases.map(|case| (ActivationQuantizer::Pact, case));
    let offsets = [
        (Affine, true, PactKind::Signed, "w3a4,w8a3,w8a32", false),
        (Sawb, false, PactKind::Unsigned, "w8a1,w2a8,w32a32", false),
        (Symmetric, false, PactKind::Signed, "w8a8,w4a4,w32a32", true),
    ]
    .map(|case| (ActivationQuantizer::LsqPlus, case));
    for (act_quant, (weight_quant, per_channel, pact, bits, averages)) in
        pact.into_iter().chain(offsets)
    {
        let quantization =
            QuantizationConfig { weight_quant, per_channel, pact, act_quant, ..Default::default() };
        let model = DeployableModel::new(&hostile_model(bits, quantization, averages)).unwrap();
        let header = c_header(&model, "odd").unwrap();
        assert!(header.text.is_ascii() && !header.text.contains('@'), "{bits}");
        std::fs::write(folder.path().join("odd.h"), &header.text).unwrap();
        let plan = IntegerPlan::new(&model);
        let mut random = Random(3);
        let images: Vec<u8> =
            (0..6 * plan.input.elements()).map(|_| random.below(256) as u8).collect();
        let expected = integer_network(&plan, &images);
        let expected = expected.last().unwrap();
        let (made, last) = run_c(folder.path(), "odd", &SANITIZERS, &images);
        assert_eq!(
            last,
            format!("{0} {0} {1} a\"\\??/*/", header.ram_bytes, header.rom_bytes),
            "{bits}"
        );
        assert_eq!(made.len(), 6, "{bits}");
        let largest = expected.iter().fold(0.0f64, |most, score| most.max(score.abs()));
        for ((class, scores), expected) in made.iter().zip(expected.chunks_exact(5)) {
            let best = (1..5)
                .fold(0, |best, class| if scores[class] > scores[best] { class } else { best });
            assert_eq!(*class, best, "{bits}");
            for (score, expected) in scores.iter().zip(expected) {
                assert!(
                    (score - expected).abs() <= 3e-6 * largest,
                    "{weight_quant:?} {bits}: {score}, not {expected}"
                );
            }
        }
    }
}

/// Sums, whose values wait in the workspace while a block is computed.
#[test]
fn sums_are_right_under_sanitizers() {
    let folder = tempfile::tempdir().unwrap();
    let add = LayerConfig::add;
    let layers = vec![
        conv("conv1", 5, [3, 1, 1]),
        activation("act1"),
        conv("conv2", 5, [3, 1, 1]),
        add("add1", &["act1", "conv2", "act1"]),
        activation("act2"),
        LayerConfig::max_pool(2, 2),
        LayerConfig::linear("fc1", 5),
    ];
    let network = NetworkConfig { input: Shape::new(3, 9, 8), classes: 5, layers };
    for (bits, pact) in [("8,4,8", PactKind::Unsigned), ("4,8,32", PactKind::Signed)] {
        let quantization = QuantizationConfig { pact, ..Default::default() };
        let model = random_model(network.clone(), bits, quantization, 17);
        let model = DeployableModel::new(&model).unwrap();
        let header = c_header(&model, "sums").unwrap();
        std::fs::write(folder.path().join("sums.h"), &header.text).unwrap();
        let plan = IntegerPlan::new(&model);
        let mut random = Random(3);
        let images: Vec<u8> =
            (0..6 * plan.input.elements()).map(|_| random.below(256) as u8).collect();
        let expected = integer_network(&plan, &images);
        let (made, _) = run_c(folder.path(), "sums", &SANITIZERS, &images);
        let scores: Vec<f64> = made.iter().flat_map(|(_, scores)| scores.clone()).collect();
        let expected = expected.last().unwrap();
        let largest = expected.iter().fold(0.0f64, |most, score| most.max(score.abs()));
        assert_eq!(scores.len(), expected.len());
        for (score, expected) in scores.iter().zip(expected) {
            assert!((score - expected).abs() <= 3e-6 * largest, "{bits}: {score}, not {expected}");
        }
    }
}

/// Every network of [`networks::NETWORKS`] with `bits` against exact arithmetic: scores of images
/// alone, and the levels of every activation. With this seed no sum of floats is near an edge.
fn check_networks(bits: &str, quantization: &QuantizationConfig) {
    let folder = tempfile::tempdir().unwrap();
    require_sanitizers(folder.path());
    for (number, (name, text)) in networks::NETWORKS.into_iter().enumerate() {
        let what = format!("{name}, {bits}");
        let mut model = random_model(networks::network(text), bits, quantization.clone(), 19);
        // Every third network has constants for each of its channels.
        if number % 3 == 1 {
            model = in_colour(model);
        }
        let model = DeployableModel::new(&model).unwrap();
        let header = c_header(&model, "net").unwrap();
        assert!(header.text.is_ascii() && !header.text.contains('@'), "{what}");
        std::fs::write(folder.path().join("net.h"), &header.text).unwrap();
        let plan = IntegerPlan::new(&model);
        let mut random = Random(3);
        let size = plan.input.elements() as usize;
        let images: Vec<u8> = (0..6 * size).map(|_| random.below(256) as u8).collect();
        let steps = integer_network(&plan, &images);
        let expected = steps.last().unwrap();
        let largest = expected.iter().fold(0.0f64, |most, score| most.max(score.abs()));
        let assert_scores = |made: &[f64], expected: &[f64]| {
            for (score, expected) in made.iter().zip(expected) {
                assert!(
                    (score - expected).abs() <= 3e-6 * largest,
                    "{what}: {score}, not {expected}"
                );
            }
        };
        let (made, last) = run_c(folder.path(), "net", &SANITIZERS, &images);
        assert_eq!(last, format!("{0} {0} {1} 0", header.ram_bytes, header.rom_bytes), "{what}");
        assert_eq!(made.len(), 6, "{what}");
        for ((_, scores), expected) in made.iter().zip(expected.chunks_exact(5)) {
            assert_scores(scores, expected);
        }
        // Levels by image and activation, which the program is given for those that it made.
        let activations: Vec<(&[f64], usize, &ActivationGrid)> = plan
            .steps
            .iter()
            .zip(&steps)
            .filter_map(|(step, made)| match &step.to {
                Encoding::Levels(grid) if step.activation.is_some() => {
                    Some((&made[..], step.output.elements() as usize, grid))
                }
                _ => None,
            })
            .collect();
        assert_eq!(activations.is_empty(), bits == "32", "{what}");
        for &(made, ..) in &activations {
            assert!(made.iter().any(|number| *number != made[0]), "{what}: all are {}", made[0]);
        }
        let levels: Vec<Vec<Vec<i32>>> = (0..6)
            .map(|image| {
                let of = |&(made, count, grid): &(&[f64], usize, &ActivationGrid)| {
                    let own = &made[image * count..][..count];
                    own.iter().map(|&number| number as i32 - grid.zero_point).collect()
                };
                activations.iter().map(of).collect()
            })
            .collect();
        let borrowed: Vec<Vec<&[i32]>> =
            levels.iter().map(|own| own.iter().map(Vec::as_slice).collect()).collect();
        let pairs: Vec<(&[u8], &[&[i32]])> =
            images.chunks_exact(size).zip(borrowed.iter().map(Vec::as_slice)).collect();
        let program = CProgram::compile(&header.text, "net", &model).unwrap();
        for (at, finding) in program.run(&pairs).unwrap().into_iter().enumerate() {
            assert_eq!(finding.levels, levels[at], "{what}");
            assert_scores(&finding.scores, &expected[at * 5..]);
            assert_scores(&finding.alone, &expected[at * 5..]);
            assert_eq!(finding.class, made[at].0, "{what}");
        }
    }
}

#[test]
fn networks_of_all_kinds_in_floats() {
    check_networks("32", &QuantizationConfig::default());
}

#[test]
fn networks_of_all_kinds_at_4_bits() {
    let quantization = QuantizationConfig { per_channel: true, ..Default::default() };
    check_networks("w4a4", &quantization);
}

#[test]
fn networks_of_all_kinds_at_8_bits() {
    let (weight_quant, act_quant) = (WeightQuantizer::Affine, ActivationQuantizer::LsqPlus);
    let quantization = QuantizationConfig {
        weight_quant,
        act_quant,
        pact: PactKind::Signed,
        ..Default::default()
    };
    check_networks("w8a8", &quantization);
}

/// The header includes what its network needs, and no more.
#[test]
fn libraries_are_only_for_those_who_call_them() {
    let text = |network: &str| {
        let quantization = QuantizationConfig::default();
        let model = random_model(networks::network(network), "32", quantization, 1);
        c_header(&DeployableModel::new(&model).unwrap(), "net").unwrap().text
    };
    for (name, network) in networks::NETWORKS {
        let text = text(network);
        let calls = text.contains("expf(") || text.contains("tanhf(");
        assert_eq!(text.contains("#include <math.h>"), calls, "{name}");
        let expected = ["squeeze and excite", "functions", "levels at the end"].contains(&name);
        assert_eq!(calls, expected, "{name}");
        assert_eq!(text.contains("tanhf("), name == "functions", "{name}");
    }
}

/// Whose names want out of their strings and comments. With `averages` there are average-pools of
/// pixels, of levels and of what an average-pool makes.
fn hostile_model(bits: &str, quantization: QuantizationConfig, averages: bool) -> Model {
    let mut layers = vec![
        conv("conv1", 5, [3, 2, 1]),
        LayerConfig::batch_norm("bn1"),
        activation("act1"),
        conv("conv2", 7, [2, 1, 1]),
        LayerConfig::max_pool(3, 2),
        activation("act2"),
        LayerConfig::dropout(0.2),
        LayerConfig::linear("fc1", 5),
    ];
    if averages {
        let pools = [(0, 2, 1, true), (4, 3, 2, false), (8, 2, 2, true), (8, 2, 1, false)];
        for (place, kernel, stride, count_include_pad) in pools {
            let (padding, ceil_mode) = (1, true);
            let pool = AveragePool {
                window: [kernel, stride, padding].into(),
                ceil_mode,
                count_include_pad,
            };
            layers.insert(place, LayerConfig::average_pool(pool));
        }
    }
    let mut model = random_model(
        NetworkConfig { input: Shape::new(3, 9, 8), classes: 5, layers },
        bits,
        quantization,
        17,
    );
    model.config.dataset = "*/ #error @prefix@ \n".into();
    model.config.class_names =
        ["a\"\\??/*/", "%s%n", "\u{e9}\u{1f600}", "", "\n"].map(String::from).to_vec();
    model
}
