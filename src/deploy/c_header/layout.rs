//! Which steps of a plan run as one, and where the values between them lie.
//!
//! A value is rows of pixels of channels. The zeros that padded convolutions read around it are
//! stored with it, so that their loops know no borders.

use super::{
    options::PixelOrder,
    stored::{Number, Place, Stored, window_of},
    weighted::{Loops, MOST_TAPS},
};
use crate::{
    config::{MaxPool, Shape, Window},
    deploy::{IntegerPlan, IntegerStep, StepOperation, StepWeights},
    graph::{Lifetime, place},
};

/// What runs as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// Copies the image into the workspace, pixel by pixel, with zeros around.
    Image,
    /// A step, and the maxima of 2 × 2 behind it.
    Step { step: usize, pool: Option<usize> },
}

impl Unit {
    /// The step whose value it makes.
    pub fn makes(self) -> Option<usize> {
        match self {
            Unit::Image => None,
            Unit::Step { step, pool } => Some(pool.unwrap_or(step)),
        }
    }
}

/// The memory of a plan.
pub(in crate::deploy) struct Layout {
    /// First to last.
    pub(super) units: Vec<Unit>,
    /// What those that read the image read.
    image: Stored,
    /// What every step makes; that of a step whose maxima alone are stored has no place.
    values: Vec<Stored>,
    /// The word of the row of weights that a unit unpacks, where it does.
    pub(super) rows: Vec<Option<u64>>,
    /// Words of all.
    pub(super) words: u64,
}

/// A quantized activation in the workspace of a header.
pub(in crate::deploy) struct StoredLevels {
    /// The step of the header that makes it.
    pub step: usize,
    /// Bytes from the workspace's beginning to the first level.
    pub first: u64,
    /// Bytes from a row to the next.
    pub row: u32,
    /// What is stored.
    pub shape: Shape,
    /// Whether these are the maxima of a pool behind the layer.
    pub are_maxima: bool,
}

/// The 2 × 2 max-pool behind step `index` that can be computed with it: the maximum of sums makes
/// the maximum of levels, as the multiplier is not negative.
fn joined_pool(plan: &IntegerPlan, index: usize) -> Option<usize> {
    let step = &plan.steps[index];
    let StepOperation::Weighted(weighted) = &step.operation else { return None };
    let pool = plan.readers(index).next()?;
    let behind = &plan.steps[pool];
    let is_two = matches!(
        behind.operation,
        StepOperation::MaxPool(MaxPool { window, .. }) if window == Window::plain([2, 2, 0])
    );
    let is_whole = 2 * behind.output.height <= step.output.height
        && 2 * behind.output.width <= step.output.width;
    let joins = plan.readers(index).count() == 1
        && is_two
        && is_whole
        && weighted.border.is_none()
        && matches!(weighted.weights, StepWeights::Integer { .. })
        && weighted.multiplier.iter().all(|&multiplier| multiplier >= 0.0);
    joins.then_some(pool)
}

/// The units of `plan` but for that of the image.
fn units_of(plan: &IntegerPlan) -> Vec<Unit> {
    let pools: Vec<Option<usize>> =
        (0..plan.steps.len()).map(|index| joined_pool(plan, index)).collect();
    (0..plan.steps.len())
        .filter(|&index| !pools.contains(&Some(index)))
        .map(|step| Unit::Step { step, pool: pools[step] })
        .collect()
}

/// The zeros that the readers of a value of `shape` need around it.
fn halo_of<'a>(shape: Shape, readers: impl Iterator<Item = &'a IntegerStep>) -> [u32; 4] {
    let mut halo = [0; 4];
    for step in readers {
        let StepOperation::Weighted(weighted) = &step.operation else { continue };
        let window = window_of(step, weighted);
        let outputs = [step.output.height, step.output.width];
        for (axis, size) in [shape.height, shape.width].into_iter().enumerate() {
            let before = window.padding[axis];
            let read = (outputs[axis] - 1) * window.stride[axis] + window.extent()[axis];
            halo[axis] = before.max(halo[axis]);
            halo[axis + 2] = halo[axis + 2].max(read.saturating_sub(before + size));
        }
    }
    halo
}

impl Layout {
    pub fn new(plan: &IntegerPlan, pixels: PixelOrder) -> Layout {
        let mut units = units_of(plan);
        let reads = |step: &&IntegerStep, read: Option<usize>| step.reads.contains(&read);
        let readers = |read: Option<usize>| plan.steps.iter().filter(move |step| reads(step, read));
        let mut image = Stored {
            place: Place::Pixels,
            number: Number::U8,
            shape: plan.input,
            halo: halo_of(plan.input, readers(None)),
            order: pixels,
        };
        if plan.input.channels == 1 || plan.input.pixels() == 1 {
            image.order = PixelOrder::Hwc;
        }
        let takes_planes = |step: &IntegerStep| match &step.operation {
            StepOperation::Weighted(weighted) => {
                let taps = window_of(step, weighted).taps();
                weighted.groups == plan.input.channels && taps <= MOST_TAPS
            }
            _ => false,
        };
        if image.has_halo() || image.order == PixelOrder::Chw && !readers(None).all(takes_planes) {
            units.insert(0, Unit::Image);
            (image.order, image.place) = (PixelOrder::Hwc, Place::Word(0));
        }
        let values = plan.steps.iter().enumerate().map(|(index, step)| Stored {
            place: Place::Word(0),
            number: Number::of(&step.to),
            shape: step.output,
            halo: halo_of(step.output, readers(Some(index))),
            order: PixelOrder::Hwc,
        });
        let values = values.collect();
        let mut layout = Layout { units, image, values, rows: Vec::new(), words: 0 };
        layout.place(plan);
        layout
    }

    /// Gives values and rows of weights their places, by their lifetimes.
    fn place(&mut self, plan: &IntegerPlan) {
        let unit_of = |step: usize| {
            let is_of = |unit: &Unit| match *unit {
                Unit::Image => false,
                Unit::Step { step: own, pool } => own == step || pool == Some(step),
            };
            self.units.iter().position(is_of).unwrap_or(0)
        };
        let last = plan.steps.len() - 1;
        // What each unit makes, in their order.
        let mut lifetimes: Vec<Lifetime> = Vec::new();
        for (first, unit) in self.units.iter().enumerate() {
            let made = unit.makes();
            let readers =
                plan.steps.iter().enumerate().filter(|(_, step)| step.reads.contains(&made));
            let until = readers.map(|(reader, _)| unit_of(reader)).max().unwrap_or(first);
            let size = match made {
                Some(step) if step == last => 0,
                made => self.value(made).bytes().div_ceil(4),
            };
            lifetimes.push(Lifetime { size, first, last: until.max(first) });
        }
        let rows: Vec<u64> = (0..self.units.len()).map(|unit| self.row_words(plan, unit)).collect();
        // Rows of weights lie where there is room during their unit, or behind all values: what is
        // less in the end.
        let largest = rows.iter().copied().max().unwrap_or(0);
        let (mut places, words) = place(&lifetimes);
        self.words = words + largest;
        let row_lifetimes =
            rows.iter().enumerate().map(|(unit, &size)| Lifetime { size, first: unit, last: unit });
        let all: Vec<Lifetime> = lifetimes.iter().copied().chain(row_lifetimes).collect();
        let (together, all_words) = place(&all);
        if all_words < self.words {
            places = together;
            self.words = all_words;
        } else {
            places.extend(rows.iter().map(|_| words));
        }
        self.words = self.words.max(1);
        for (unit, &at) in self.units.clone().iter().zip(&places) {
            match unit.makes() {
                None => self.image.place = Place::Word(at),
                Some(step) if step == last => self.values[step].place = Place::Scores,
                Some(step) => self.values[step].place = Place::Word(at),
            }
        }
        let of = |(unit, &size): (usize, &u64)| (size > 0).then(|| places[self.units.len() + unit]);
        self.rows = rows.iter().enumerate().map(of).collect();
    }

    /// Words of the weights that a unit unpacks.
    fn row_words(&self, plan: &IntegerPlan, unit: usize) -> u64 {
        let Unit::Step { step, pool } = self.units[unit] else { return 0 };
        let step = &plan.steps[step];
        let StepOperation::Weighted(weighted) = &step.operation else { return 0 };
        let from = self.value(step.reads[0]);
        let to = self.value(self.units[unit].makes());
        Loops::new(step, weighted, (from, to), pool.is_some()).unpacked().div_ceil(2)
    }

    /// The steps of the header.
    pub fn steps(&self) -> usize {
        self.units.len()
    }

    /// Where the levels that step `index` of the plan makes are.
    pub fn levels(&self, index: usize) -> StoredLevels {
        let of = |(number, unit): (usize, &Unit)| match *unit {
            Unit::Step { step, pool } if step == index => Some((number, pool)),
            _ => None,
        };
        let (step, pool) = self.units.iter().enumerate().find_map(of).unwrap_or_default();
        let value = self.value(self.units[step].makes());
        let Place::Word(word) = value.place else { unreachable!("levels are no scores") };
        StoredLevels {
            step,
            first: 4 * word + u64::from(value.first([0, 0])),
            row: value.row(),
            shape: value.shape,
            are_maxima: pool.is_some(),
        }
    }

    /// The value of step `read`, or the image.
    pub(super) fn value(&self, read: Option<usize>) -> &Stored {
        read.map_or(&self.image, |step| &self.values[step])
    }
}
