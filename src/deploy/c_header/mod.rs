//! One C99 header that runs a model on a microcontroller: constants, a function of loops for each
//! shape of layer, and the steps that call them (`template.h`).

mod code;
mod elements;
mod ending;
mod layout;
mod options;
mod packing;
mod pools;
mod steps;
mod stored;
mod weighted;

use std::{collections::BTreeSet, fmt::Write};

pub use ending::Edges;
pub(super) use layout::Layout;
pub use options::{COptions, PixelOrder, Rescale};

use code::array;
use steps::Program;

use super::{DeployableModel, IntegerPlan, IntegerStep, StepOperation};
use crate::{Error, Result, config::ActivationFunction};

/// A header, and what it costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CHeader {
    /// The file's text: ASCII.
    pub text: String,
    /// Bytes of the workspace that the caller provides.
    pub ram_bytes: u64,
    /// Bytes of constants.
    pub rom_bytes: u64,
    /// Of [`Rescale::Integer`], which edges between levels differ from those of floats.
    pub edges: Option<Edges>,
}

/// A name for C: `text` in letters, digits and underscores, such as a file's stem; `model` where
/// nothing is left.
pub fn c_identifier(text: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
    let name: String = text.chars().map(plain).take(48).collect();
    let name = name.trim_matches('_');
    match name.chars().next() {
        None => "model".into(),
        Some(first) if first.is_ascii_digit() => format!("model_{name}"),
        // Words of the language are no names; with a suffix none is one.
        Some(_) => name.to_string(),
    }
}

/// The C header of `model`; every name in it starts with `prefix`, as [`c_identifier`] makes them.
///
/// # Errors
/// [`Error::Model`] for a network whose tables would not fit 32-bit offsets.
pub fn c_header(model: &DeployableModel, prefix: &str) -> Result<CHeader> {
    c_header_with(model, prefix, COptions::default())
}

/// [`c_header`] with `options`.
///
/// # Errors
/// As [`c_header`].
pub fn c_header_with(model: &DeployableModel, prefix: &str, options: COptions) -> Result<CHeader> {
    let plan = IntegerPlan::new(model);
    let layout = Layout::new(&plan, options.pixels);
    let ram_bytes = 4 * layout.words;
    if ram_bytes > u64::from(u32::MAX) {
        return Err(Error::Model("the network is too large for a C header".into()));
    }
    let program = Program::new(&plan, &layout, options);
    let names: Vec<String> = (0..model.classes as usize)
        .map(|class| {
            model.class_names.get(class).map_or_else(|| class.to_string(), |name| escaped(name))
        })
        .collect();
    let edges = (options.rescale == Rescale::Integer).then_some(program.edges);
    let input = plan.input;
    let (order, pixels) = match options.pixels {
        PixelOrder::Chw => ("[channel][row][column]", [input.channels, input.height, input.width]),
        PixelOrder::Hwc => ("[row][column][channel]", [input.height, input.width, input.channels]),
    };
    let class_names = array(
        "char *const @prefix@_class_names",
        names.iter().map(|name| format!("\"{name}\"")).collect(),
    );
    let rom_bytes = program.rom_bytes;
    let mut parts = program.parts;
    parts.insert(if needs_math(&plan) { "math" } else { "no_math" });
    let substitutions = [
        (
            "summary",
            format!("{prefix}.h: {} classes of {}", model.classes, printable(&model.dataset)),
        ),
        ("functions", program.functions),
        ("constants", format!("{class_names}\n{}", program.constants)),
        ("calls", program.calls.trim_end().to_string()),
        ("edges", edges.map_or_else(String::new, said)),
        ("order", order.to_string()),
        ("pixels", pixels.map(|size| size.to_string()).join(" x ")),
        ("channels", input.channels.to_string()),
        ("height", input.height.to_string()),
        ("width", input.width.to_string()),
        ("classes", plan.classes.to_string()),
        ("steps", layout.steps().to_string()),
        ("words", layout.words.to_string()),
        ("RAM", ram_bytes.to_string()),
        ("ROM", rom_bytes.to_string()),
        ("PREFIX", prefix.to_ascii_uppercase()),
        ("prefix", prefix.to_string()),
    ];
    let mut text = with_parts(include_str!("template.h"), &parts);
    for (name, value) in substitutions {
        text = text.replace(&format!("@{name}@"), &value);
    }
    Ok(CHeader { text, ram_bytes, rom_bytes, edges })
}

/// The sentence about edges.
fn said(edges: Edges) -> String {
    format!(
        "Of {} edges between levels, {} lie at another sum than with floats.",
        edges.all, edges.moved
    )
}

/// Whether the header of `plan` calls functions of `<math.h>`.
pub(super) fn needs_math(plan: &IntegerPlan) -> bool {
    use ActivationFunction::{Sigmoid, Silu, Tanh};
    let calls = |step: &IntegerStep| {
        matches!(step.operation, StepOperation::Function(Tanh | Sigmoid | Silu))
    };
    plan.steps.iter().any(calls)
}

/// `template` with those of its parts, from a line `@if NAME@` to a line `@end@`, that are among
/// `parts`. A part can hold others.
fn with_parts(template: &str, parts: &BTreeSet<&str>) -> String {
    let mut text = String::new();
    let mut open = Vec::new();
    for line in template.lines() {
        if let Some(name) = line.strip_prefix("@if ").and_then(|rest| rest.strip_suffix('@')) {
            open.push(parts.contains(name));
        } else if line == "@end@" {
            open.pop();
        } else if open.iter().all(|&is_there| is_there) {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

/// `text` for a comment: what could end it or start anything is a dot.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_ascii_alphanumeric() || " ._-".contains(c) { c } else { '.' })
        .collect()
}

/// `text` in a string literal: anything unusual as three octal digits.
fn escaped(text: &str) -> String {
    let mut literal = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b' ' | b'.' | b'_' | b'-' => {
                literal.push(char::from(byte))
            }
            _ => {
                let _ = write!(literal, "\\{byte:03o}");
            }
        }
    }
    literal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_break_out() {
        assert_eq!(c_identifier("../My Model*/"), "my_model");
        assert_eq!(c_identifier("2-bit"), "model_2_bit");
        assert_eq!(c_identifier("\u{fc}*/"), "model");
        assert_eq!(escaped("a\"\\??/\n\u{e9}1"), "a\\042\\134\\077\\077\\057\\012\\303\\2511");
        assert_eq!(printable("x */ #error @prefix@ \n"), "x .. .error .prefix. .");
    }

    #[test]
    fn parts_are_there_for_those_who_need_them() {
        let template = "a\n@if x@\nb\n@if y@\nc\n@end@\nd\n@end@\n@if y@\ne\n@end@\nf\n";
        for (parts, expected) in [
            (&[][..], "a\nf\n"),
            (&["x"], "a\nb\nd\nf\n"),
            (&["y"], "a\ne\nf\n"),
            (&["x", "y"], "a\nb\nc\nd\ne\nf\n"),
        ] {
            assert_eq!(with_parts(template, &parts.iter().copied().collect()), expected);
        }
    }
}
