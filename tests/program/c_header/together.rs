//! Many networks in one program: every kind of network at every width, with every option.

use std::{
    fmt::Write,
    path::Path,
    process::{Command, Stdio},
};

use saliq::{
    config::{ActivationQuantizer, PactKind, QuantizationConfig, WeightQuantizer},
    deploy::{
        COptions, CProgram, DeployableModel, Edges, Encoding, IntegerPlan, PixelOrder, Rescale,
        c_header_with,
    },
    reference::integer_network::integer_network,
};

use super::networks::{NETWORKS, network};
use crate::common::{Random, in_colour, random_model};

/// Images a network.
const IMAGES: usize = 2;

/// The class count of [`network`].
const CLASSES: usize = 5;

/// The widths and quantizers that networks have in turns.
fn quantizations() -> [(&'static str, QuantizationConfig); 8] {
    use WeightQuantizer::{Affine, Binary, Dorefa, Lsq, Sawb, Symmetric};
    [
        ("w1a1", Binary, PactKind::Unsigned, ActivationQuantizer::Pact),
        ("w2a2", Sawb, PactKind::Unsigned, ActivationQuantizer::Pact),
        ("w3a4", Lsq, PactKind::Signed, ActivationQuantizer::Pact),
        ("w4a4", Symmetric, PactKind::Signed, ActivationQuantizer::LsqPlus),
        ("w5a8", Affine, PactKind::SignedAfterRelu, ActivationQuantizer::Pact),
        ("w6a3", Dorefa, PactKind::Unsigned, ActivationQuantizer::Lsq),
        ("w7a7", Affine, PactKind::Unsigned, ActivationQuantizer::LsqPlus),
        ("w8a8", Sawb, PactKind::Signed, ActivationQuantizer::Pact),
    ]
    .map(|(bits, weight_quant, pact, act_quant)| {
        let per_channel = bits.len() % 2 == 0 && weight_quant != Binary;
        let quantization =
            QuantizationConfig { weight_quant, per_channel, pact, act_quant, ..Default::default() };
        (bits, quantization)
    })
}

/// Network `number` with quantization `turn`.
fn model(number: usize, turn: usize) -> DeployableModel {
    let (bits, quantization) = quantizations()[turn % 8].clone();
    let mut model = random_model(network(NETWORKS[number].1), bits, quantization, 23);
    if (number + turn) % 4 == 1 {
        model = in_colour(model);
    }
    DeployableModel::new(&model).unwrap()
}

/// Images [channel][row][column] of `plan`.
fn images(plan: &IntegerPlan) -> Vec<u8> {
    let mut random = Random(5);
    let size = plan.input.elements() as usize;
    (0..IMAGES * size).map(|_| random.below(256) as u8).collect()
}

/// `image` in `order`.
fn ordered(plan: &IntegerPlan, image: &[u8], order: PixelOrder) -> Vec<u8> {
    let (channels, pixels) = (plan.input.channels as usize, plan.input.pixels() as usize);
    match order {
        PixelOrder::Chw => image.to_vec(),
        PixelOrder::Hwc => {
            (0..image.len()).map(|at| image[at % channels * pixels + at / channels]).collect()
        }
    }
}

/// What `source` prints, compiled with `flags`.
fn printed(folder: &Path, flags: &[&str]) -> String {
    let program = folder.join("together");
    let compiled = Command::new("gcc")
        .args(["-std=c99", "-Wall", "-Wextra", "-Wconversion", "-Wsign-conversion", "-Wshadow"])
        .args(["-Wcast-align", "-Wcast-qual", "-Wdouble-promotion", "-Wundef", "-Werror"])
        .args(["-pedantic"])
        .args(flags)
        .arg(folder.join("together.c"))
        .arg("-o")
        .arg(&program)
        .arg("-lm")
        .output()
        .expect("gcc is installed");
    let said = String::from_utf8_lossy(&compiled.stderr);
    assert!(compiled.status.success(), "{flags:?}: {said}");
    let output = Command::new(&program).stderr(Stdio::piped()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{flags:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

/// Whether gcc makes programs of 32 bits here.
fn has_32_bits(folder: &Path) -> bool {
    let source = folder.join("probe32.c");
    std::fs::write(&source, "#include <stdint.h>\nint main(void) { return 0; }\n").unwrap();
    let mut probe = Command::new("gcc");
    probe.arg("-m32").arg(&source).arg("-o").arg(folder.join("probe32"));
    probe.output().is_ok_and(|output| output.status.success())
}

/// Scores of floats in exact arithmetic; the same bytes of a program of 32 bits, whose registers
/// are wider than floats, of one without optimisation, and of one under sanitizers.
#[test]
fn all_widths_and_orders_of_pixels_have_the_scores_of_exact_arithmetic() {
    let folder = tempfile::tempdir().unwrap();
    super::require_sanitizers(folder.path());
    let (mut source, mut calls) = ("#include <stdio.h>\n".to_string(), String::new());
    let mut expected: Vec<(String, Vec<f64>)> = Vec::new();
    // Whether a network calls functions of the library, which have bits of their own on 32 bits.
    let mut calls_library = Vec::new();
    for (number, (name, _)) in NETWORKS.into_iter().enumerate() {
        let turn = number + 1;
        let model = model(number, turn);
        let plan = IntegerPlan::new(&model);
        let pixels = if number % 2 == 0 { PixelOrder::Hwc } else { PixelOrder::Chw };
        let prefix = format!("net_{number}_{turn}");
        let options = COptions { pixels, ..COptions::default() };
        let header = c_header_with(&model, &prefix, options).unwrap();
        let file = format!("{prefix}.h");
        calls_library.push(header.text.contains("#include <math.h>"));
        std::fs::write(folder.path().join(&file), &header.text).unwrap();
        let images = images(&plan);
        let bytes: Vec<String> = images
            .chunks_exact(plan.input.elements() as usize)
            .flat_map(|image| ordered(&plan, image, pixels))
            .map(|byte| byte.to_string())
            .collect();
        let _ = write!(
            source,
            "#include \"{file}\"\nstatic const uint8_t {prefix}_images[] = {{ {} }};\n",
            bytes.join(", ")
        );
        let _ = write!(
            calls,
            "    for (uint32_t i = 0; i < {IMAGES}; i++) {{\n\
                 \x20       static {prefix}_workspace workspace;\n\
                 \x20       float scores[{CLASSES}];\n\
                 \x20       {prefix}_classify({prefix}_images + i * {}, &workspace, scores);\n\
                 \x20       for (int c = 0; c < {CLASSES}; c++) \
                 {{ printf(\"%a \", (double)scores[c]); }}\n\
                 \x20       printf(\"%.9g\\n\", (double)scores[0]);\n    }}\n",
            plan.input.elements()
        );
        let what = format!("{name} {}", quantizations()[turn % 8].0);
        let scores = integer_network(&plan, &images).pop().unwrap();
        expected.push((what, scores));
    }
    let _ = write!(source, "int main(void) {{\n{calls}    return 0;\n}}\n");
    std::fs::write(folder.path().join("together.c"), source).unwrap();
    let made = printed(folder.path(), &["-O2"]);
    let of_line = |line: &str| -> Vec<f64> { line.split(' ').map(hexadecimal).collect() };
    let made_scores: Vec<Vec<f64>> = made.lines().map(of_line).collect();
    assert_eq!(made_scores.len(), expected.len() * IMAGES);
    for ((what, scores), made) in expected.iter().zip(made_scores.chunks_exact(IMAGES)) {
        let largest = scores.iter().fold(0.0f64, |most, score| most.max(score.abs()));
        for (score, made) in scores.iter().zip(made.iter().flat_map(|line| &line[..CLASSES])) {
            assert!((score - made).abs() <= 3e-6 * largest, "{what}: {made}, not {score}");
        }
    }
    let sanitized = printed(folder.path(), &["-O0", super::SANITIZERS[0], super::SANITIZERS[1]]);
    assert_eq!(sanitized, made);
    if has_32_bits(folder.path()) {
        let narrow = printed(folder.path(), &["-O2", "-m32"]);
        for (line, (narrow, made)) in narrow.lines().zip(made.lines()).enumerate() {
            let network = line / IMAGES;
            assert!(calls_library[network] || narrow == made, "{}", expected[network].0);
        }
    }
}

/// A number as `%a` or `%.9g` write it.
fn hexadecimal(text: &str) -> f64 {
    let (sign, rest) = text.strip_prefix('-').map_or((1.0, text), |rest| (-1.0, rest));
    let Some((mantissa, exponent)) = rest.strip_prefix("0x").and_then(|rest| rest.split_once('p'))
    else {
        return text.parse().unwrap();
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let scale = exponent.parse::<i32>().unwrap() - 4 * fraction.len() as i32;
    sign * u64::from_str_radix(&digits, 16).unwrap() as f64 * 2f64.powi(scale)
}

/// Levels without floats: those of exact arithmetic but for the edge between two, where there are
/// few.
#[test]
fn levels_without_floats_differ_at_edges_alone() {
    let (mut all, mut levels, mut different) = (Edges::default(), 0u64, 0u64);
    for (number, turn) in [(0, 7), (1, 3), (4, 1), (7, 5)] {
        let model = model(number, turn);
        let plan = IntegerPlan::new(&model);
        let options = COptions { pixels: PixelOrder::Hwc, rescale: Rescale::Integer };
        let header = c_header_with(&model, "net", options).unwrap();
        let edges = header.edges.unwrap();
        all.all += edges.all;
        all.moved += edges.moved;
        let images = images(&plan);
        let size = plan.input.elements() as usize;
        let steps = integer_network(&plan, &images);
        let own: Vec<Vec<Vec<i32>>> = (0..IMAGES)
            .map(|image| {
                let quantized = plan.steps.iter().zip(&steps).filter_map(|(step, made)| {
                    let Encoding::Levels(grid) = &step.to else { return None };
                    let count = step.output.elements() as usize;
                    let own = &made[image * count..][..count];
                    let level = |number: &f64| *number as i32 - grid.zero_point;
                    step.activation.as_ref().map(|_| own.iter().map(level).collect())
                });
                quantized.collect()
            })
            .collect();
        let borrowed: Vec<Vec<&[i32]>> =
            own.iter().map(|own| own.iter().map(Vec::as_slice).collect()).collect();
        let pairs: Vec<(&[u8], &[&[i32]])> =
            images.chunks_exact(size).zip(borrowed.iter().map(Vec::as_slice)).collect();
        let program = CProgram::compile_with(&header.text, "net", &model, options).unwrap();
        for (finding, own) in program.run(&pairs).unwrap().iter().zip(&own) {
            for (made, own) in finding.levels.iter().flatten().zip(own.iter().flatten()) {
                levels += 1;
                different += u64::from(made != own);
                assert!((made - own).abs() <= 1, "{}: {made}, not {own}", NETWORKS[number].0);
            }
        }
    }
    assert!(levels > 1000 && different * 200 <= levels, "{different} of {levels} levels");
    assert!(all.all > 1000 && all.moved * 20 < all.all, "{all:?}");
}
