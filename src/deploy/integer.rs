//! A model as a list of steps on integers: what the GPU engine, its exact reference and the C
//! export compute alike.
//!
//! Between layers there are integer levels of a byte each wherever an activation is quantized;
//! images are their own bytes. A step with quantized weights sums products of integers, exactly,
//! and makes the next level of the sum with two floats a channel:
//!
//! ```text
//! sum = Σ (w − z)·a                           integers; a = 0 outside the image
//! x = sum·multiplier + offset                 in units of the output's scale
//! level = clamp(round(x), lowest, highest)    half to even
//! ```
//!
//! with multiplier = s_w·s_a/s_out and offset = bias/s_out. A pixel p stands for (p/255 −
//! mean)/deviation = s·(p − μ) with s = 1/(255·deviation) and μ = 255·mean; the share −s·μ·Σ(w − z)
//! over the taps inside the image joins the offset. Where nothing is padded that is all taps and a
//! constant; else [`WeightedStep::border`] says how the offset depends on the place. So zero
//! padding stays exact, and the first layer is as integer as the others. Where every channel has
//! its own mean and deviation, the sums of the first layer have no scale in common: a step in front
//! makes floats of the pixels, and the first layer is one of floats. Levels with a zero point
//! (LSQ+) are numbers n that stand for s·(n − z), which is the same with μ = z; where they are
//! made, z is part of the offset.
//!
//! A mean of levels is no level: an average-pool makes floats, (Σn − pixels·zero)·scale over the
//! pixels of the mean. Σn is exact. Functions other than ReLU and ReLU6, products of two values,
//! and concatenations of values that are stored in different ways are of floats: a step in front
//! makes them of levels.
//!
//! Steps with float weights sum floats and end alike. The only roundings are those of x:
//! [`WeightedStep::margin`] says whether they matter.

use super::{
    ActivationGrid, DeployableActivation, DeployableLayer, DeployableModel, DeployableWeights,
    Operation, WeightLevels,
};
use crate::config::{ActivationFunction, AveragePool, MaxPool, PixelNormalization, Shape, Window};

/// What the bytes or floats of a tensor stand for.
#[derive(Clone, Debug, PartialEq)]
pub enum Encoding {
    /// Bytes of an image.
    Pixels,
    /// A level a byte, as level + zero point; unsigned where the grid has no negative ones.
    Levels(ActivationGrid),
    /// Floats.
    Float,
}

impl Encoding {
    /// (scale, zero point) of what a number n stands for: scale · (n − zero point). Where every
    /// channel has its own normalisation, pixels stand for themselves, and the first step makes
    /// floats of them.
    pub fn scale(&self, normalization: PixelNormalization) -> (f64, f64) {
        match self {
            Encoding::Pixels => match normalization.for_all() {
                Some((mean, deviation)) => {
                    (1.0 / (255.0 * f64::from(deviation)), 255.0 * f64::from(mean))
                }
                None => (1.0, 0.0),
            },
            Encoding::Levels(grid) => (f64::from(grid.scale), f64::from(grid.zero_point)),
            Encoding::Float => (1.0, 0.0),
        }
    }

    /// The zero point of levels, else 0.
    fn zero_point(&self) -> f64 {
        match self {
            Encoding::Levels(grid) => f64::from(grid.zero_point),
            Encoding::Pixels | Encoding::Float => 0.0,
        }
    }

    /// Lowest and highest number, where they are integers.
    pub fn range(&self) -> Option<[i32; 2]> {
        match self {
            Encoding::Pixels => Some([0, 255]),
            Encoding::Levels(grid) => Some(grid.numbers()),
            Encoding::Float => None,
        }
    }

    /// Bytes of a number.
    pub fn bytes(&self) -> u32 {
        if *self == Encoding::Float { 4 } else { 1 }
    }
}

/// One step.
#[derive(Clone, Debug, PartialEq)]
pub struct IntegerStep {
    /// The layer's name.
    pub name: String,
    /// The name of the activation that it ends with, if it has one.
    pub activation: Option<String>,
    /// The steps that it reads, by number; none for the image.
    pub reads: Vec<Option<usize>>,
    /// Shape of what goes in first.
    pub input: Shape,
    /// Shape of what comes out.
    pub output: Shape,
    /// What goes in first.
    pub from: Encoding,
    /// Output, in the same layout.
    pub to: Encoding,
    /// What it computes.
    pub operation: StepOperation,
}

/// What a step computes.
#[derive(Clone, Debug, PartialEq)]
pub enum StepOperation {
    /// A convolution or fully connected layer with the activation behind it.
    Weighted(Box<WeightedStep>),
    /// Maxima of the numbers as they are.
    MaxPool(MaxPool),
    /// Means of what the numbers stand for, scale · (n − zero); padded pixels are 0.
    AveragePool {
        /// The windows.
        pool: AveragePool,
        /// What a unit stands for.
        scale: f64,
        /// The number that stands for 0.
        zero: f64,
    },
    /// The sum of two values: x = n₁·multiplier₁ + (n₂·multiplier₂ + offset), and on as in a
    /// [`WeightedStep`].
    Add {
        /// To units of the output, of both.
        multipliers: [f64; 2],
        /// Added.
        offset: f64,
        /// Ends of the range of x.
        range: [f64; 2],
    },
    /// An activation on its own: x = n·multiplier + offset, and on as in a [`WeightedStep`].
    Activation {
        /// To units of the output.
        multiplier: f64,
        /// Added.
        offset: f64,
        /// Ends of the range of x.
        range: [f64; 2],
    },
    /// A function of floats.
    Function(ActivationFunction),
    /// The product of two values of floats, the second with as many pixels or with one, which meets
    /// all of the first's.
    Multiply,
    /// The channels of the second value behind those of the first, stored alike.
    Concat,
}

/// A step with weights.
#[derive(Clone, Debug, PartialEq)]
pub struct WeightedStep {
    /// The window; a fully connected layer has none.
    pub window: Option<Window>,
    /// Groups of channels that are summed on their own; 1 of a fully connected layer.
    pub groups: u32,
    /// The weights.
    pub weights: StepWeights,
    /// An output channel each.
    pub multiplier: Vec<f64>,
    /// An output channel each.
    pub offset: Vec<f64>,
    /// What is added to the offset for every unit of Σ(w − z) over the taps inside the image, an
    /// output channel each; only where pixels are padded.
    pub border: Option<Vec<f64>>,
    /// Ends of the range of x, ±∞ where it has none.
    pub range: [f64; 2],
}

/// Weights, [out, in / groups, kernel height, kernel width] or [out, in].
#[derive(Clone, Debug, PartialEq)]
pub enum StepWeights {
    /// Quantized, over integers: integer sums of at most 31 bits.
    Integer {
        /// Codes and their meaning, for packing.
        levels: WeightLevels,
        /// level − zero point: −255 … 255.
        values: Vec<i32>,
    },
    /// Not quantized, or over floats.
    Float(Vec<f32>),
}

impl StepWeights {
    fn sums(&self, channels: usize) -> Vec<f64> {
        let sum = |weights: &mut dyn Iterator<Item = f64>| weights.sum();
        match self {
            StepWeights::Integer { values, .. } => values
                .chunks_exact(values.len() / channels)
                .map(|own| sum(&mut own.iter().map(|&w| f64::from(w))))
                .collect(),
            StepWeights::Float(values) => values
                .chunks_exact(values.len() / channels)
                .map(|own| sum(&mut own.iter().map(|&w| f64::from(w))))
                .collect(),
        }
    }
}

/// How close sums can come to where a level changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct Margin {
    /// Places between two levels, over all channels.
    pub edges: u64,
    /// Those that some sum comes closer to than the rounding of x in f32 can move it: only there
    /// can an implementation differ.
    pub close: u64,
    /// The least distance of a sum from a place, in multiples of what rounding can move x by there.
    pub least: f64,
}

/// What f32 makes of sum·multiplier + offset is off by at most this share of |sum·multiplier| +
/// |offset| + |x|: four roundings of 2^−24 (sum, multiplier, offset, product or sum), of which at
/// most two apply to a term, with or without a fused multiply-add.
const ROUNDING: f64 = 3.0 / (1 << 24) as f64;

impl WeightedStep {
    /// Output channels.
    pub fn channels(&self) -> usize {
        self.offset.len()
    }

    /// The largest |sum| that inputs of `range` can make.
    pub fn bound(&self, range: [i32; 2]) -> i64 {
        let StepWeights::Integer { values, .. } = &self.weights else { return 0 };
        largest_sum(values, self.channels(), range)
    }

    /// Offsets of every pixel and output channel, [row, column, channel], where `border` has
    /// weights' shares: in f32, offset + Σ(w − z)·border over the taps inside the image, one
    /// product and one sum.
    pub fn offsets_by_place(&self, border: &[f64], input: Shape, output: Shape) -> Vec<f32> {
        let window = self.window.unwrap_or([1, 1, 0].into());
        let taps = window.taps() as usize;
        let mut offsets = Vec::new();
        for (row, column) in
            (0..output.height).flat_map(|row| (0..output.width).map(move |column| (row, column)))
        {
            let inside = |tap: usize| window.pixel(input, [row, column], tap as u32).is_some();
            for (channel, border) in border.iter().enumerate() {
                let sum: f32 = match &self.weights {
                    StepWeights::Integer { values, .. } => {
                        let own = &values[channel * values.len() / self.channels()..]
                            [..values.len() / self.channels()];
                        own.iter()
                            .enumerate()
                            .filter(|(at, _)| inside(at % taps))
                            .map(|(_, &w)| w)
                            .sum::<i32>() as f32
                    }
                    StepWeights::Float(values) => {
                        let own = &values[channel * values.len() / self.channels()..]
                            [..values.len() / self.channels()];
                        own.iter()
                            .enumerate()
                            .filter(|(at, _)| inside(at % taps))
                            .fold(0.0, |sum, (_, &w)| sum + w)
                    }
                };
                offsets.push(sum * *border as f32 + self.offset[channel] as f32);
            }
        }
        offsets
    }

    /// How close the sums of any image can come to where a level changes; `None` where sums or
    /// outputs are no integers, or offsets depend on the place. `levels` are the output's lowest
    /// and highest number.
    pub fn margin(&self, levels: [i32; 2]) -> Option<Margin> {
        if !matches!(self.weights, StepWeights::Integer { .. }) || self.border.is_some() {
            return None;
        }
        let mut margin = Margin { least: f64::INFINITY, ..Margin::default() };
        for (&multiplier, &offset) in self.multiplier.iter().zip(&self.offset) {
            for level in levels[0]..levels[1] {
                let edge = f64::from(level) + 0.5;
                let place = (edge - offset) / multiplier;
                // The sums on both sides of the place, and the place itself where it is a sum: a
                // tie.
                let distance = [place.floor(), place.ceil()].map(|sum| {
                    let x = sum * multiplier + offset;
                    (x - edge).abs()
                        / (ROUNDING * ((sum * multiplier).abs() + offset.abs() + x.abs()))
                });
                let least = distance[0].min(distance[1]);
                margin.edges += 1;
                margin.close += u64::from(least <= 1.0);
                margin.least = margin.least.min(least);
            }
        }
        Some(margin)
    }
}

fn largest_sum(values: &[i32], channels: usize, [low, high]: [i32; 2]) -> i64 {
    let extreme = |own: &[i32]| {
        let sum = |of: &dyn Fn(i64) -> i64| own.iter().map(|&w| of(i64::from(w))).sum::<i64>();
        let (low, high) = (i64::from(low), i64::from(high));
        let most = sum(&|w| (w * low).max(w * high).max(0));
        let least = sum(&|w| (w * low).min(w * high).min(0));
        most.max(-least)
    };
    values.chunks_exact(values.len() / channels).map(extreme).max().unwrap_or(0)
}

/// The steps of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct IntegerPlan {
    /// Shape of an image.
    pub input: Shape,
    /// Number of classes.
    pub classes: u32,
    /// First to last.
    pub steps: Vec<IntegerStep>,
}

impl IntegerPlan {
    /// The steps of `model`.
    pub fn new(model: &DeployableModel) -> IntegerPlan {
        let model = &model.without_prelus();
        let normalization = model.normalization;
        let mut planner =
            Planner { input: model.input, normalization, image: None, steps: Vec::new() };
        planner.normalize();
        // The step that makes what each layer does.
        let mut made: Vec<Option<usize>> = vec![None; model.layers.len()];
        for (index, layer) in model.layers.iter().enumerate() {
            // An activation that is part of the step in front is there already.
            if made[index].is_some() {
                continue;
            }
            let image = planner.image;
            let step_of = |read: &Option<usize>| read.map_or(image, |layer| made[layer]);
            let reads = layer.reads.iter().map(step_of).collect();
            let takes_activation =
                layer.operation.weights().is_some() || layer.operation == Operation::Add;
            let behind = model.behind(index).filter(|_| takes_activation).and_then(|behind| {
                match &model.layers[behind].operation {
                    Operation::Activation(activation) if activation.is_clip() => {
                        Some((behind, activation))
                    }
                    _ => None,
                }
            });
            let activation =
                behind.map(|(behind, activation)| (&model.layers[behind].name[..], activation));
            made[index] = planner.layer(layer, reads, activation);
            if let Some((behind, _)) = behind {
                made[behind] = made[index];
            }
        }
        planner.scores();
        IntegerPlan { input: model.input, classes: model.classes, steps: planner.steps }
    }

    /// The steps that read what step `index` makes, in order.
    pub fn readers(&self, index: usize) -> impl Iterator<Item = usize> {
        let reads = move |step: &IntegerStep| step.reads.contains(&Some(index));
        (0..self.steps.len()).filter(move |&other| reads(&self.steps[other]))
    }

    /// What the numbers that step `index` makes stand for; those of the image for none.
    pub fn encoding(&self, index: Option<usize>) -> Encoding {
        encoding(&self.steps, index)
    }

    /// The shape of what step `index` makes; that of the image for none.
    pub fn shape(&self, index: Option<usize>) -> Shape {
        index.map_or(self.input, |index| self.steps[index].output)
    }

    /// Steps whose sums are integers.
    pub fn integer_steps(&self) -> usize {
        let is_integer = |step: &&IntegerStep| match &step.operation {
            StepOperation::Weighted(weighted) => {
                matches!(weighted.weights, StepWeights::Integer { .. })
            }
            _ => false,
        };
        self.steps.iter().filter(is_integer).count()
    }
}

fn encoding(steps: &[IntegerStep], index: Option<usize>) -> Encoding {
    index.map_or(Encoding::Pixels, |index| steps[index].to.clone())
}

/// A plan in the making. What a step reads is the number of a step, or none for the image.
struct Planner {
    input: Shape,
    normalization: PixelNormalization,
    /// The step that makes the normalised image, where there is one.
    image: Option<usize>,
    steps: Vec<IntegerStep>,
}

impl Planner {
    /// Where every channel is normalised in its own way, adds the step that does it: sums over
    /// channels of pixels have no scale in common.
    fn normalize(&mut self) {
        if self.normalization.for_all().is_some() {
            return;
        }
        let (channels, pairs) = (self.input.channels, self.normalization.pairs());
        let multiplier: Vec<f64> =
            pairs.iter().map(|&(_, deviation)| 1.0 / (255.0 * f64::from(deviation))).collect();
        let offset = pairs
            .iter()
            .map(|&(mean, deviation)| -f64::from(mean) / f64::from(deviation))
            .collect();
        let operation = StepOperation::Weighted(Box::new(WeightedStep {
            window: Some([1, 1, 0].into()),
            groups: channels,
            weights: StepWeights::Float(vec![1.0; channels as usize]),
            multiplier,
            offset,
            border: None,
            range: [f64::NEG_INFINITY, f64::INFINITY],
        }));
        let made = (Encoding::Float, operation);
        self.image = Some(self.push("normalize".into(), None, vec![None], self.input, made));
    }

    /// Adds the steps of `layer`, which reads `reads` and ends with `activation`, which has a name.
    /// Returns the last one.
    fn layer(
        &mut self,
        layer: &DeployableLayer,
        reads: Vec<Option<usize>>,
        activation: Option<(&str, &DeployableActivation)>,
    ) -> Option<usize> {
        let kind = activation.map(|(_, kind)| kind);
        let mut name = activation.map(|(name, _)| name.to_string());
        let reads = self.prepared(layer, reads);
        let from = self.encoding(reads[0]);
        let (scale, zero) = from.scale(self.normalization);
        let (to, operation) = match &layer.operation {
            Operation::Convolution { weights, window, groups } => {
                weighted(weights, (Some(*window), *groups), &from, (scale, zero), kind)
            }
            Operation::FullyConnected { weights } => {
                weighted(weights, (None, 1), &from, (scale, zero), kind)
            }
            &Operation::MaxPool(pool) => (from, StepOperation::MaxPool(pool)),
            &Operation::AveragePool(pool) => {
                (Encoding::Float, StepOperation::AveragePool { pool, scale, zero })
            }
            Operation::Activation(alone) => {
                name = Some(layer.name.clone());
                match alone {
                    &DeployableActivation::Function(function) if !alone.is_clip() => {
                        (Encoding::Float, StepOperation::Function(function))
                    }
                    _ => self.rescaled(&from, Some(alone)),
                }
            }
            Operation::Add => self.sum([reads[0], reads[1]], kind),
            Operation::Multiply => (Encoding::Float, StepOperation::Multiply),
            // It is other operations by now.
            Operation::Prelu { .. } => return reads[0],
            Operation::Concat => (from, StepOperation::Concat),
        };
        Some(self.push(layer.name.clone(), name, reads, layer.output, (to, operation)))
    }

    /// Adds the step that makes floats of what the last one makes, where these are none: scores are
    /// floats.
    fn scores(&mut self) {
        let last = self.steps.len().checked_sub(1);
        let (from, shape) = (self.encoding(last), self.shape(last));
        if from != Encoding::Float {
            let made = self.rescaled(&from, None);
            self.push("scores".into(), None, vec![last], shape, made);
        }
    }

    /// What `layer` is to read in place of `reads`: a step adds, multiplies or joins two values,
    /// some of them stored alike or as floats. Adds the steps that make them.
    fn prepared(
        &mut self,
        layer: &DeployableLayer,
        mut reads: Vec<Option<usize>>,
    ) -> Vec<Option<usize>> {
        let before = self.steps.len();
        let name =
            |planner: &Planner| format!("{}_{}", layer.name, planner.steps.len() - before + 1);
        let all_floats = |planner: &mut Planner, reads: &mut [Option<usize>]| {
            for read in reads {
                let (from, shape) = (planner.encoding(*read), planner.shape(*read));
                if from != Encoding::Float {
                    let made = planner.rescaled(&from, None);
                    let own = vec![*read];
                    *read = Some(planner.push(name(planner), None, own, shape, made));
                }
            }
        };
        match &layer.operation {
            Operation::Activation(alone) if !alone.is_clip() => all_floats(self, &mut reads),
            // The terms of a longer sum are added up in front, as floats.
            Operation::Add => {
                while let [first, second, _, ..] = reads[..] {
                    let (own, made) = (vec![first, second], self.sum([first, second], None));
                    let made = self.push(name(self), None, own, layer.output, made);
                    reads.splice(..2, [Some(made)]);
                }
            }
            Operation::Multiply => {
                all_floats(self, &mut reads);
                // The one that has all pixels comes first.
                let pixels = |read: &Option<usize>| std::cmp::Reverse(self.shape(*read).pixels());
                reads.sort_by_key(pixels);
            }
            Operation::Concat => {
                let first = self.encoding(reads[0]);
                if reads.iter().any(|&read| self.encoding(read) != first) {
                    all_floats(self, &mut reads);
                }
                while let [first, second, _, ..] = reads[..] {
                    let channels = self.shape(first).channels + self.shape(second).channels;
                    let shape = Shape { channels, ..layer.output };
                    let made = (self.encoding(first), StepOperation::Concat);
                    let made = self.push(name(self), None, vec![first, second], shape, made);
                    reads.splice(..2, [Some(made)]);
                }
            }
            _ => {}
        }
        reads
    }

    /// Adds a step. Returns its number.
    fn push(
        &mut self,
        name: String,
        activation: Option<String>,
        reads: Vec<Option<usize>>,
        output: Shape,
        (to, operation): (Encoding, StepOperation),
    ) -> usize {
        let (input, from) = (self.shape(reads[0]), self.encoding(reads[0]));
        self.steps.push(IntegerStep {
            name,
            activation,
            reads,
            input,
            output,
            from,
            to,
            operation,
        });
        self.steps.len() - 1
    }

    fn shape(&self, read: Option<usize>) -> Shape {
        read.map_or(self.input, |index| self.steps[index].output)
    }

    fn encoding(&self, read: Option<usize>) -> Encoding {
        encoding(&self.steps, read)
    }

    /// Numbers of `from` as floats, or with `activation` on its own.
    fn rescaled(
        &self,
        from: &Encoding,
        activation: Option<&DeployableActivation>,
    ) -> (Encoding, StepOperation) {
        let (scale, zero) = from.scale(self.normalization);
        let (to, unit, range) = ending(activation);
        let multiplier = scale / unit;
        let offset = to.zero_point() - multiplier * zero;
        (to, StepOperation::Activation { multiplier, offset, range })
    }

    /// The sum of two values, with `activation` at its end.
    fn sum(
        &self,
        terms: [Option<usize>; 2],
        activation: Option<&DeployableActivation>,
    ) -> (Encoding, StepOperation) {
        let (to, unit, range) = ending(activation);
        let scales = terms.map(|read| self.encoding(read).scale(self.normalization));
        let multipliers = scales.map(|(scale, _)| scale / unit);
        let zeros = scales.iter().zip(multipliers).map(|((_, zero), multiplier)| zero * multiplier);
        let offset = to.zero_point() - zeros.sum::<f64>();
        (to, StepOperation::Add { multipliers, offset, range })
    }
}

/// (encoding, its unit, range of x) of what ends with `activation`.
fn ending(activation: Option<&DeployableActivation>) -> (Encoding, f64, [f64; 2]) {
    match activation {
        None => (Encoding::Float, 1.0, [f64::NEG_INFINITY, f64::INFINITY]),
        Some(DeployableActivation::Function(function)) => {
            let highest = match function {
                ActivationFunction::Relu6 => 6.0,
                _ => f64::INFINITY,
            };
            (Encoding::Float, 1.0, [0.0, highest])
        }
        Some(DeployableActivation::Quantized(grid)) => {
            let range = grid.numbers().map(f64::from);
            (Encoding::Levels(grid.clone()), f64::from(grid.scale), range)
        }
    }
}

fn weighted(
    weights: &DeployableWeights,
    (window, groups): (Option<Window>, u32),
    from: &Encoding,
    (scale, zero): (f64, f64),
    activation: Option<&DeployableActivation>,
) -> (Encoding, StepOperation) {
    let channels = weights.channels();
    let (to, unit, range) = ending(activation);
    let integers = weights.levels.as_ref().zip(from.range()).and_then(|(levels, range)| {
        let per_channel = levels.levels.len() / channels;
        let of = |(index, &level): (usize, &i16)| {
            i32::from(level) - levels.zero_point(index / per_channel)
        };
        let values: Vec<i32> = levels.levels.iter().enumerate().map(of).collect();
        let fits = largest_sum(&values, channels, range) < 1 << 30;
        fits.then(|| StepWeights::Integer { levels: levels.clone(), values })
    });
    let step_weights = integers.unwrap_or_else(|| StepWeights::Float(weights.values()));
    let weight_scale = |channel: usize| match &step_weights {
        StepWeights::Integer { levels, .. } => f64::from(levels.scale(channel)),
        StepWeights::Float(_) => 1.0,
    };
    let multiplier: Vec<f64> =
        (0..channels).map(|channel| weight_scale(channel) * scale / unit).collect();
    let mut offset: Vec<f64> =
        weights.bias.iter().map(|&bias| f64::from(bias) / unit + to.zero_point()).collect();
    let share = multiplier.iter().map(|multiplier| -multiplier * zero);
    let padded = window.is_some_and(|window| window.padding != [0; 4]);
    let mut border = None;
    if zero != 0.0 && padded {
        border = Some(share.collect());
    } else {
        let sums = step_weights.sums(channels);
        offset
            .iter_mut()
            .zip(share.zip(sums))
            .for_each(|(offset, (share, sum))| *offset += share * sum);
    }
    (
        to,
        StepOperation::Weighted(Box::new(WeightedStep {
            window,
            groups,
            weights: step_weights,
            multiplier,
            offset,
            border,
            range,
        })),
    )
}
