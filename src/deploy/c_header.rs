//! One C99 header that runs a model on a microcontroller: constants and tables around the functions
//! of `c_header.h`.

use std::{collections::BTreeSet, fmt::Write};

use super::{DeployableModel, Encoding, IntegerPlan, IntegerStep, StepOperation, StepWeights};
use crate::{
    Error, Result,
    config::{ActivationFunction, Shape, Window},
    graph::{Lifetime, place},
    quant::pack_codes,
};

/// A header, and what it costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CHeader {
    /// The file's text: ASCII.
    pub text: String,
    /// Bytes of the workspace that the caller provides.
    pub ram_bytes: u64,
    /// Bytes of constants.
    pub rom_bytes: u64,
}

/// The arrays of constants, filled step by step.
#[derive(Default)]
struct Constants {
    codes: Vec<u8>,
    pivots: Vec<i32>,
    floats: Vec<f32>,
    steps: String,
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
/// [`Error::Model`] for a network whose tables would not fit 32-bit offsets, or with means over
/// padding that differs from side to side.
pub fn c_header(model: &DeployableModel, prefix: &str) -> Result<CHeader> {
    let plan = IntegerPlan::new(model);
    for step in &plan.steps {
        if let StepOperation::AveragePool { pool, .. } = &step.operation {
            let [top, left, bottom, right] = pool.window.padding;
            if pool.count_include_pad && [top, left] != [bottom, right] {
                return Err(Error::Model(format!(
                    "{}: means that count padding are written to C headers where it is the same on \
                     opposite sides",
                    step.name
                )));
            }
        }
    }
    let mut constants = Constants::default();
    let (places, words) = places(&plan);
    let ram_words = words.max(1);
    let mut plane_words = 1u64;
    for (index, step) in plan.steps.iter().enumerate() {
        let second = step.reads.get(1).map(|&read| (plan.encoding(read), plan.shape(read)));
        constants.add((index, step), &places, second);
        if matches!(step.operation, StepOperation::Weighted(_)) {
            plane_words = plane_words.max(u64::from(step.output.pixels()));
        }
    }
    // Codes are read two bytes at a time.
    constants.codes.extend([0, 0]);
    let Constants { codes, pivots, floats, .. } = &constants;
    let bits = codes.len() as u64 * 8;
    if bits.max(floats.len() as u64).max(4 * ram_words) > u64::from(u32::MAX) {
        return Err(Error::Model("the network is too large for a C header".into()));
    }
    const STEP_BYTES: u64 = 104;
    let ram_bytes = 4 * (ram_words + plane_words);
    // No array is empty.
    let rom_bytes = codes.len() as u64
        + 4 * (floats.len().max(1) + pivots.len().max(1)) as u64
        + STEP_BYTES * plan.steps.len() as u64;
    let names: Vec<String> = (0..model.classes as usize)
        .map(|class| {
            model.class_names.get(class).map_or_else(|| class.to_string(), |name| escaped(name))
        })
        .collect();
    let substitutions = [
        (
            "summary",
            format!("{prefix}.h: {} classes of {}", model.classes, printable(&model.dataset)),
        ),
        ("constants", constants.text(&names)),
        ("channels", plan.input.channels.to_string()),
        ("height", plan.input.height.to_string()),
        ("width", plan.input.width.to_string()),
        ("classes", plan.classes.to_string()),
        ("steps", plan.steps.len().to_string()),
        ("ram_words", ram_words.to_string()),
        ("plane_words", plane_words.to_string()),
        ("RAM", ram_bytes.to_string()),
        ("ROM", rom_bytes.to_string()),
        ("PREFIX", prefix.to_ascii_uppercase()),
        ("prefix", prefix.to_string()),
    ];
    let mut text = with_parts(include_str!("c_header.h"), &parts(&plan));
    for (name, value) in substitutions {
        text = text.replace(&format!("@{name}@"), &value);
    }
    Ok(CHeader { text, ram_bytes, rom_bytes })
}

/// Names of the parts of the template that only some networks need: `functions`, each function by
/// its name, and `math`, or `no_math`.
fn parts(plan: &IntegerPlan) -> BTreeSet<&'static str> {
    let of = |step: &IntegerStep| match step.operation {
        StepOperation::Function(function) => Some(function.name()),
        _ => None,
    };
    let mut parts: BTreeSet<&str> = plan.steps.iter().filter_map(of).collect();
    if !parts.is_empty() {
        parts.insert("functions");
    }
    parts.insert(if needs_math(plan) { "math" } else { "no_math" });
    parts
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

/// The first word of what every step makes in the workspace, and the words of all. The image and
/// the scores, which the last step makes, are the caller's.
fn places(plan: &IntegerPlan) -> (Vec<u64>, u64) {
    let lifetime = |(index, step): (usize, &IntegerStep)| {
        let bytes = u64::from(step.output.elements()) * u64::from(step.to.bytes());
        let is_last = index + 1 == plan.steps.len();
        let size = if is_last { 0 } else { bytes.div_ceil(4) };
        Lifetime { size, first: index, last: plan.readers(index).last().unwrap_or(index) }
    };
    let lifetimes: Vec<Lifetime> = plan.steps.iter().enumerate().map(lifetime).collect();
    place(&lifetimes)
}

/// `text` for a comment: what could end it or start anything is a question mark... without one: a
/// dot.
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

/// An array of constants; C has none without elements.
fn array(declaration: &str, values: impl Iterator<Item = String>) -> String {
    let mut values: Vec<String> = values.collect();
    if values.is_empty() {
        values.push("0".into());
    }
    let lines: Vec<String> =
        values.chunks(16).map(|line| format!("    {},\n", line.join(", "))).collect();
    format!("static const {declaration}[] = {{\n{}}};\n", lines.concat())
}

/// A float with all its digits.
fn float(value: f32) -> String {
    format!("{value:e}f")
}

/// What `function` is called in the header.
fn function_name(function: ActivationFunction) -> String {
    format!("@PREFIX@_{}", function.name().replace('-', "_").to_ascii_uppercase())
}

fn stored(encoding: &Encoding) -> &'static str {
    match encoding {
        Encoding::Float => "@PREFIX@_FLOAT",
        Encoding::Levels(grid) if grid.is_signed() => "@PREFIX@_I8",
        Encoding::Levels(_) | Encoding::Pixels => "@PREFIX@_U8",
    }
}

impl Constants {
    /// Adds step `index` of a plan whose steps put what they make at `places`. `second` is what the
    /// second value that it reads is stored as, and its shape.
    fn add(
        &mut self,
        (index, step): (usize, &IntegerStep),
        places: &[u64],
        second: Option<(Encoding, Shape)>,
    ) {
        let mut input = step.input;
        let mut window: Window = [1, 1, 0].into();
        let mut groups = 1;
        let mut function = "0".to_string();
        let mut kind = "ACTIVATION";
        let [mut bits, mut spacing, mut pivot_stride] = [0, 0, 0];
        let [mut border, mut counts_padding] = [false; 2];
        let range = match &step.operation {
            StepOperation::Weighted(weighted) => weighted.range,
            StepOperation::MaxPool(_)
            | StepOperation::AveragePool { .. }
            | StepOperation::Function(_)
            | StepOperation::Multiply
            | StepOperation::Concat => [f64::NEG_INFINITY, f64::INFINITY],
            StepOperation::Activation { range, .. } | StepOperation::Add { range, .. } => *range,
        };
        let [mut weights, pivots] = [self.codes.len(), self.pivots.len()];
        if let StepOperation::Weighted(weighted) = &step.operation {
            match weighted.window {
                Some(own) => window = own,
                None => input = Shape::new(input.elements(), 1, 1),
            }
            groups = weighted.groups;
            match &weighted.weights {
                StepWeights::Integer { levels, .. } => {
                    kind = "INTEGERS";
                    let grid = levels.grid;
                    self.codes.extend(pack_codes(&levels.codes(), grid.bits));
                    self.pivots.extend(levels.zero_points.iter().map(|zero| grid.lowest - zero));
                    [bits, spacing, pivot_stride] =
                        [grid.bits, grid.spacing as u32, u32::from(levels.zero_points.len() > 1)];
                }
                StepWeights::Float(values) => {
                    kind = "FLOATS";
                    weights = self.floats.len();
                    self.floats.extend(values);
                }
            }
        }
        let is_broadcast =
            second.as_ref().is_some_and(|(_, shape)| shape.pixels() != step.output.pixels());
        let scales = self.floats.len();
        match &step.operation {
            StepOperation::Weighted(weighted) => {
                let own =
                    [Some(&weighted.multiplier), Some(&weighted.offset), weighted.border.as_ref()];
                self.floats.extend(own.into_iter().flatten().flatten().map(|&value| value as f32));
                border = weighted.border.is_some();
            }
            StepOperation::MaxPool(pool) => {
                kind = "MAXIMA";
                window = pool.window;
            }
            StepOperation::AveragePool { pool, scale, zero } => {
                kind = "MEANS";
                window = pool.window;
                counts_padding = pool.count_include_pad;
                self.floats.extend([*scale as f32, *zero as f32]);
            }
            StepOperation::Add { multipliers, offset, .. } => {
                kind = "ADD";
                self.floats.extend(multipliers.iter().chain([offset]).map(|&value| value as f32));
            }
            StepOperation::Activation { multiplier, offset, .. } => {
                self.floats.extend([*multiplier as f32, *offset as f32]);
            }
            StepOperation::Function(own) => {
                kind = "FUNCTION";
                function = function_name(*own);
                if let ActivationFunction::LeakyRelu { slope } = own {
                    self.floats.push(*slope);
                }
            }
            StepOperation::Multiply => kind = if is_broadcast { "SCALE" } else { "MULTIPLY" },
            StepOperation::Concat => kind = "CONCAT",
        }
        let [from, to] = [&step.from, &step.to].map(stored);
        let word = |read: Option<usize>| match read {
            None => "@PREFIX@_PIXELS".to_string(),
            Some(read) => format!("{}u", places[read]),
        };
        let other = step.reads.get(1).copied().flatten();
        let reads = format!("{}, {}, {}u", word(step.reads[0]), word(other), places[index]);
        let second_from = second.map_or(from, |(encoding, _)| stored(&encoding));
        let [lowest, highest] =
            range.map(|end| float(end.clamp(f64::from(f32::MIN), f64::from(f32::MAX)) as f32));
        let axis = |axis: usize, size: u32, out: u32| {
            let Window { kernel, stride, dilation, padding } = window;
            let [kernel, stride, dilation] = [kernel, stride, dilation].map(|pair| pair[axis]);
            format!("{{ {size}, {out}, {kernel}, {stride}, {dilation}, {} }}", padding[axis])
        };
        let _ = writeln!(
            self.steps,
            "    /* {} */ {{ @PREFIX@_{kind}, {function}, {from}, {second_from}, {to}, {bits}, \
             {spacing}, {pivot_stride}, {}, {}, {}, {}, {groups}, {}, {}, {weights}, {pivots}, \
             {scales}, {reads}, {lowest}, {highest} }},",
            step.name,
            u8::from(border),
            u8::from(counts_padding),
            input.channels,
            step.output.channels,
            axis(0, input.height, step.output.height),
            axis(1, input.width, step.output.width),
        );
    }

    fn text(&self, class_names: &[String]) -> String {
        let names = class_names.iter().map(|name| format!("\"{name}\""));
        [
            array("char *const @prefix@_class_names", names),
            "/* Packed codes of the quantized weights, layer by layer, [out][in][row][column]. \
             */\n"
                .into(),
            array("uint8_t @prefix@_codes", self.codes.iter().map(u8::to_string)),
            array("int32_t @prefix@_pivots", self.pivots.iter().map(i32::to_string)),
            "/* Multipliers, offsets, and what is not quantized. */\n".into(),
            array("float @prefix@_floats", self.floats.iter().map(|&value| float(value))),
            format!("static const @prefix@_step @prefix@_steps[] = {{\n{}}};\n", self.steps),
        ]
        .join("\n")
    }
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

    #[test]
    fn floats_keep_all_their_digits() {
        for value in [0.0, 1.0, -1e-7, 0.1, f32::MAX, f32::MIN_POSITIVE] {
            let text = float(value);
            assert_eq!(text.trim_end_matches('f').parse::<f32>().ok(), Some(value));
            assert!(text.contains('e'), "{text} is an integer to C");
        }
    }
}
