//! How sums become numbers: with floats, or with a multiplier of 32 bits and a shift.
//!
//! With floats, x = sum · multiplier + offset, rounded half to even. With integers, the level is
//! (sum · M + O) >> s with M = multiplier · 2^s and O = (offset + 1/2) · 2^s, of one s for all
//! channels. Both are steps that rise with the sum, so the sums at which they disagree can be
//! counted without any image.

use std::ops::AddAssign;

use super::{
    code::{finite, float},
    options::Rescale,
    stored::{Number, Stored, window_of},
};
use crate::deploy::{IntegerStep, StepWeights, WeightedStep};

/// The least shift that is used: below, floats are more exact.
const LEAST_SHIFT: u32 = 16;

/// Edges between levels, and those that integers put elsewhere than floats.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Edges {
    /// All of them, over all channels; of a sum of two values, all pairs of numbers.
    pub all: u64,
    /// Those at another sum; pairs that make another level.
    pub moved: u64,
}

impl AddAssign for Edges {
    fn add_assign(&mut self, other: Edges) {
        self.all += other.all;
        self.moved += other.moved;
    }
}

/// Multipliers and offsets of fixed point.
#[derive(Clone, Debug, PartialEq)]
struct Fixed {
    shift: u32,
    multipliers: Vec<i64>,
    offsets: Vec<i64>,
}

impl Fixed {
    /// `multipliers`, and `offsets`, of sums of at most `bound`; none where 64 bits are not enough.
    fn new(multipliers: &[f64], offsets: &[f64], bound: f64) -> Option<Fixed> {
        let largest = |values: &[f64]| values.iter().fold(0.0f64, |most, own| most.max(own.abs()));
        let (most, offset) = (largest(multipliers), largest(offsets));
        let x = bound * most + offset + 1.0;
        let fits = |shift: u32| {
            let unit = 2f64.powi(shift as i32);
            most * unit < 2_147_483_647.0 && x * unit < 2f64.powi(61)
        };
        let shift = (LEAST_SHIFT..=61).rev().find(|&shift| fits(shift))?;
        let unit = 2f64.powi(shift as i32);
        let of = |values: &[f64], half: f64| {
            values.iter().map(|own| ((own + half) * unit).round() as i64).collect()
        };
        let (multipliers, offsets) = (of(multipliers, 0.0), of(offsets, 0.5));
        (x < 2f64.powi(30)).then_some(Fixed { shift, multipliers, offsets })
    }
}

/// The ending of a step.
pub(super) struct Ending {
    to: Number,
    range: [f64; 2],
    channels: u32,
    /// Rows and columns of offsets, where these depend on the place.
    places: Option<[Vec<u8>; 2]>,
    multipliers: Vec<f32>,
    offsets: Vec<f32>,
    fixed: Option<Fixed>,
}

/// An array of constants: its name, its type and its values.
pub(super) struct Table {
    pub name: &'static str,
    pub kind: &'static str,
    pub values: Vec<String>,
}

impl Table {
    pub fn new<T>(
        name: &'static str,
        kind: &'static str,
        values: &[T],
        text: impl Fn(&T) -> String,
    ) -> Table {
        Table { name, kind, values: values.iter().map(text).collect() }
    }

    /// Bytes of all values.
    pub fn bytes(&self) -> u64 {
        let size = match self.kind {
            "int64_t" => 8,
            "int16_t" => 2,
            "uint8_t" => 1,
            _ => 4,
        };
        size * self.values.len() as u64
    }
}

/// Outputs along `axis` in classes: those of a class have the same taps inside the image. Returns
/// the class of every output, counted from 0 in their order, and the first output of every class.
fn classes(step: &IntegerStep, weighted: &WeightedStep, axis: usize) -> (Vec<u8>, Vec<u32>) {
    let window = window_of(step, weighted);
    let size = [step.input.height, step.input.width][axis];
    let outputs = [step.output.height, step.output.width][axis];
    let inside = |at: u32| -> Vec<bool> {
        let place = |tap: u32| at * window.stride[axis] + tap * window.dilation[axis];
        let is_inside = |tap: u32| {
            place(tap).checked_sub(window.padding[axis]).is_some_and(|place| place < size)
        };
        (0..window.kernel[axis]).map(is_inside).collect()
    };
    let mut found: Vec<(Vec<bool>, u32)> = Vec::new();
    let mut numbers = Vec::new();
    for at in 0..outputs {
        let own = inside(at);
        let number = found.iter().position(|(other, _)| *other == own).unwrap_or_else(|| {
            found.push((own, at));
            found.len() - 1
        });
        numbers.push(number as u8);
    }
    (numbers, found.into_iter().map(|(_, at)| at).collect())
}

impl Ending {
    /// The ending of `step` into `to`.
    pub fn new(
        step: &IntegerStep,
        weighted: &WeightedStep,
        to: &Stored,
        rescale: Rescale,
    ) -> Ending {
        let multipliers = weighted.multiplier.iter().map(|&value| value as f32).collect();
        let (mut exact, mut offsets) = (weighted.offset.clone(), Vec::new());
        let mut places = None;
        match &weighted.border {
            None => offsets = exact.iter().map(|&value| value as f32).collect(),
            Some(border) => {
                let ((rows, of_rows), (columns, of_columns)) =
                    (classes(step, weighted, 0), classes(step, weighted, 1));
                exact.clear();
                for (row, column) in of_rows
                    .iter()
                    .flat_map(|&row| of_columns.iter().map(move |&column| (row, column)))
                {
                    for (channel, border) in border.iter().enumerate() {
                        let sum = weights_inside(step, weighted, channel, [row, column]);
                        offsets.push(sum * *border as f32 + weighted.offset[channel] as f32);
                        exact.push(f64::from(sum) * border + weighted.offset[channel]);
                    }
                }
                places = Some([rows, columns]);
            }
        }
        let bound = step.from.range().map_or(0, |range| weighted.bound(range)) as f64;
        let is_integer = matches!(weighted.weights, StepWeights::Integer { .. });
        let fixed = (rescale == Rescale::Integer && is_integer && to.number != Number::Float)
            .then(|| Fixed::new(&weighted.multiplier, &exact, bound))
            .flatten();
        let channels = step.output.channels;
        Ending {
            to: to.number,
            range: weighted.range,
            channels,
            places,
            multipliers,
            offsets,
            fixed,
        }
    }

    /// Parameters of the function that ends so.
    pub fn parameters(&self) -> impl Iterator<Item = &'static str> {
        let scales = match self.fixed {
            Some(_) => ["const int32_t *multipliers", "const int64_t *offsets"],
            None => ["const float *multipliers", "const float *offsets"],
        };
        let places =
            self.places.iter().flat_map(|_| ["const uint8_t *rows", "const uint8_t *columns"]);
        scales.into_iter().chain(places)
    }

    /// What [`Self::parameters`] are, in their order.
    pub fn tables(&self) -> Vec<Table> {
        let mut tables = match &self.fixed {
            Some(fixed) => vec![
                Table::new("multipliers", "int32_t", &fixed.multipliers, i64::to_string),
                Table::new("offsets", "int64_t", &fixed.offsets, |value| {
                    format!("INT64_C({value})")
                }),
            ],
            None => vec![
                Table::new("multipliers", "float", &self.multipliers, |&value| float(value)),
                Table::new("offsets", "float", &self.offsets, |&value| float(value)),
            ],
        };
        if let Some([rows, columns]) = &self.places {
            tables.push(Table::new("rows", "uint8_t", rows, u8::to_string));
            tables.push(Table::new("columns", "uint8_t", columns, u8::to_string));
        }
        tables
    }

    /// What `sum` of output `channel` at the place (y, x) makes.
    pub fn value(&self, sum: &str, channel: &str, (y, x): (&str, &str), is_float: bool) -> String {
        let x = x.trim_start_matches('(').trim_end_matches(')');
        let offset = match &self.places {
            None => format!("offsets[{channel}]"),
            Some([_, columns]) => {
                let count = columns.iter().max().map_or(1, |&last| u32::from(last) + 1);
                let place = format!("(uint32_t)rows[{y}] * {count} + (uint32_t)columns[{x}]");
                format!("offsets[({place}) * {} + {channel}]", self.channels)
            }
        };
        let multiplier = format!("multipliers[{channel}]");
        if let Some(fixed) = &self.fixed {
            let [low, high] = self.range;
            return format!(
                "({})@prefix@_rescaled({sum}, {multiplier}, {offset}, {}, {low}, {high})",
                self.to.name(),
                fixed.shift
            );
        }
        let sum = match (is_float, sum.contains(' ')) {
            (true, _) => sum.to_string(),
            (false, false) => format!("(float){sum}"),
            (false, true) => format!("(float)({sum})"),
        };
        ended(self.to, self.range, &format!("@prefix@_scaled({sum}, {multiplier}, {offset})"))
    }

    /// The edges between levels, and those that integers move.
    pub fn edges(&self, step: &IntegerStep, weighted: &WeightedStep) -> Edges {
        let mut edges = Edges::default();
        let (Some(fixed), Some(range)) = (&self.fixed, step.from.range()) else { return edges };
        let bound = weighted.bound(range);
        let [low, high] = self.range.map(|end| end as i64);
        for (at, (&offset, &fixed_offset)) in self.offsets.iter().zip(&fixed.offsets).enumerate() {
            let channel = at % self.channels as usize;
            let (multiplier, own) = (self.multipliers[channel], fixed.multipliers[channel]);
            let by_float = |sum: i64| level_of(sum as f32 * multiplier + offset, self.range);
            let by_integer = |sum: i64| (sum * own + fixed_offset) >> fixed.shift;
            for edge in low + 1..=high {
                let first = |level: &dyn Fn(i64) -> i64| {
                    let (mut below, mut above) = (-bound - 1, bound + 1);
                    while below + 1 < above {
                        let middle = (below + above).div_euclid(2);
                        if level(middle) >= edge { above = middle } else { below = middle }
                    }
                    above
                };
                edges.all += 1;
                edges.moved += u64::from(first(&by_float) != first(&by_integer));
            }
        }
        edges
    }
}

/// Σw of output `channel` over the taps inside the image at an output, as floats of 32 bits.
fn weights_inside(
    step: &IntegerStep,
    weighted: &WeightedStep,
    channel: usize,
    output: [u32; 2],
) -> f32 {
    let window = window_of(step, weighted);
    let taps = window.taps() as usize;
    let inside: Vec<bool> =
        (0..taps).map(|tap| window.pixel(step.input, output, tap as u32).is_some()).collect();
    let is_inside = |at: &usize| inside[at % taps];
    match &weighted.weights {
        StepWeights::Integer { values, .. } => {
            let row = values.len() / weighted.channels();
            let own = &values[channel * row..][..row];
            (0..row).filter(is_inside).map(|at| own[at]).sum::<i32>() as f32
        }
        StepWeights::Float(values) => {
            let row = values.len() / weighted.channels();
            let own = &values[channel * row..][..row];
            (0..row).filter(is_inside).fold(0.0, |sum, at| sum + own[at])
        }
    }
}

/// The level of `x` as the header's function makes it.
fn level_of(x: f32, [low, high]: [f64; 2]) -> i64 {
    x.clamp(low as f32, high as f32).round_ties_even() as i64
}

/// The float `x` as what is stored.
pub(super) fn ended(to: Number, [low, high]: [f64; 2], x: &str) -> String {
    let range = format!("{}, {}", finite(low), finite(high));
    match to {
        Number::Float if low == f64::NEG_INFINITY && high == f64::INFINITY => x.to_string(),
        Number::Float => format!("@prefix@_clipped({x}, {range})"),
        Number::U8 => format!("(uint8_t)@prefix@_level({x}, {range})"),
        Number::I8 => format!("(int8_t)@prefix@_signed_level({x}, {range})"),
    }
}

/// An ending of values without weights, x = Σ n·multiplier + offset, of one or two.
pub(super) struct PlainEnding {
    fixed: Option<Fixed>,
    multipliers: Vec<f64>,
    offset: f64,
    range: [f64; 2],
    to: Number,
}

impl PlainEnding {
    pub fn new(
        from: &[Option<[i32; 2]>],
        multipliers: &[f64],
        offset: f64,
        (to, range): (Number, [f64; 2]),
        rescale: Rescale,
    ) -> PlainEnding {
        let are_integers = from.iter().all(Option::is_some) && to != Number::Float;
        let fixed = (are_integers && rescale == Rescale::Integer)
            .then(|| Fixed::new(multipliers, &[offset], 256.0 * from.len() as f64))
            .flatten();
        PlainEnding { fixed, multipliers: multipliers.to_vec(), offset, range, to }
    }

    /// What the numbers in C make: statements, and the value.
    pub fn value(&self, numbers: &[(String, Number)]) -> (Vec<String>, String) {
        if let Some(fixed) = &self.fixed {
            let [low, high] = self.range;
            let all: Vec<String> = numbers
                .iter()
                .zip(&fixed.multipliers)
                .map(|((number, _), multiplier)| format!("INT64_C({multiplier}) * {number}"))
                .collect();
            let sum = format!("{} + INT64_C({})", all.join(" + "), fixed.offsets[0]);
            let value = format!(
                "({})@prefix@_shifted({sum}, {}, {low}, {high})",
                self.to.name(),
                fixed.shift
            );
            return (Vec::new(), value);
        }
        let as_float = |(number, kind): &(String, Number)| match kind {
            Number::Float => number.clone(),
            _ => format!("(float){number}"),
        };
        // Number `at` times its multiplier, and `offset`.
        let scaled = |at: usize, offset: &str| {
            let multiplier = float(self.multipliers[at] as f32);
            format!("@prefix@_scaled({}, {multiplier}, {offset})", as_float(&numbers[at]))
        };
        let offset = float(self.offset as f32);
        let (statements, x) = match numbers.len() {
            1 => (Vec::new(), scaled(0, &offset)),
            _ => {
                let other = format!("const float other = {};", scaled(1, &offset));
                let x = format!("const float x = {};", scaled(0, "other"));
                (vec![other, x], "x".to_string())
            }
        };
        (statements, ended(self.to, self.range, &x))
    }

    /// The pairs of numbers, or numbers, of `from`, and those of which integers make another level.
    pub fn edges(&self, from: &[Option<[i32; 2]>]) -> Edges {
        let mut edges = Edges::default();
        let Some(fixed) = &self.fixed else { return edges };
        let range = |at: usize| from.get(at).copied().flatten().unwrap_or([0, 0]);
        let scale = |at: usize| (self.multipliers[at] as f32, fixed.multipliers[at]);
        for first in range(0)[0]..=range(0)[1] {
            for second in range(1)[0]..=range(1)[1] {
                let offset = self.offset as f32;
                let (mut x, mut fixed_x) = (offset, fixed.offsets[0]);
                if from.len() > 1 {
                    x = second as f32 * scale(1).0 + offset;
                    fixed_x += i64::from(second) * scale(1).1;
                }
                x += first as f32 * scale(0).0;
                fixed_x += i64::from(first) * scale(0).1;
                let [low, high] = self.range.map(|end| end as i64);
                let level = (fixed_x >> fixed.shift).clamp(low, high);
                edges.all += 1;
                edges.moved += u64::from(level != level_of(x, self.range));
            }
        }
        edges
    }
}
