//! A plan's steps as dispatches. Between steps there is a buffer of bytes, [image, row, column,
//! channel / 4] words, or of floats where nothing is quantized.

use crate::{
    Result,
    batch::{Batch, GatherOptions, ResidentData},
    config::{AveragePool, MaxPool as MaxPooling, Shape},
    deploy::{Encoding, IntegerPlan, IntegerStep, StepOperation, StepWeights, WeightedStep},
    gpu::{Binding, Buffer, Gpu, Launcher, Recording},
    kernels::{
        self, AverageOfIntegers, AveragePoolShape, CopyChannels, ImageRange, MaxPool, Multiply,
        PoolShape, RequantizedActivation, RequantizedAdd,
    },
    layout::{groups, to_nchw},
    metrics::Classifier,
    nn::{RequantizedLayer, RequantizedShape, RequantizedWeights, TileTable},
    quant::ActivationPlan,
    storage::{Format, Storage},
};

/// What a step's dispatch needs.
enum Operation {
    Weighted(Box<RequantizedLayer>),
    MaxPool { pool: MaxPooling, choice: Option<Buffer> },
    AveragePool { pool: AveragePool, integers: AverageOfIntegers },
    Add { multipliers: [f32; 2], offset: f32, range: [f32; 2] },
    Activation { multiplier: f32, offset: f32, range: [f32; 2] },
    Function(ActivationPlan),
    Multiply,
    Concat,
}

struct Step {
    label: String,
    storage: Storage,
    operation: Operation,
    output: Buffer,
}

/// An [`IntegerPlan`] with its weights and buffers on the GPU.
pub struct IntegerNetwork {
    plan: IntegerPlan,
    input: Buffer,
    steps: Vec<Step>,
}

fn format(encoding: &Encoding) -> Format {
    match encoding {
        Encoding::Pixels => Format::U8,
        Encoding::Levels(grid) if grid.is_signed() => Format::I8,
        Encoding::Levels(_) => Format::U8,
        Encoding::Float => Format::F32,
    }
}

/// The ends of a range as constants: a float's are finite.
fn finite(range: [f64; 2]) -> [f32; 2] {
    range.map(|end| end.clamp(f64::from(f32::MIN), f64::from(f32::MAX)) as f32)
}

fn narrow(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&value| value as f32).collect()
}

impl IntegerNetwork {
    /// Room for `slots` images.
    ///
    /// # Errors
    /// [`crate::Error::OutOfMemory`].
    pub fn new(gpu: &Gpu, plan: &IntegerPlan, slots: u32) -> Result<IntegerNetwork> {
        IntegerNetwork::with_tiles(gpu, plan, slots, TileTable::new(gpu))
    }

    /// As [`Self::new`], with the kernels and tile sizes of another adapter.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_tiles(
        gpu: &Gpu,
        plan: &IntegerPlan,
        slots: u32,
        tiles: TileTable,
    ) -> Result<IntegerNetwork> {
        let bytes = |shape: Shape, format: Format| {
            u64::from(slots)
                * u64::from(shape.pixels())
                * u64::from(groups(shape.channels))
                * format.group_bytes()
        };
        let input = gpu.buffer("images in bytes", bytes(plan.input, Format::U8))?;
        let mut steps = Vec::new();
        for step in &plan.steps {
            let mut storage = Storage::new(format(&step.from), format(&step.to));
            if let Some(&right) = step.reads.get(1) {
                storage.state = format(&plan.encoding(right));
            }
            let operation = match &step.operation {
                StepOperation::Weighted(weighted) => Operation::Weighted(Box::new(
                    requantized_layer(gpu, tiles.clone(), step, weighted, (storage, slots))?,
                )),
                &StepOperation::MaxPool(pool) => {
                    let is_float = storage.output == Format::F32;
                    let choice = is_float
                        .then(|| gpu.buffer("pooling choices", bytes(step.output, Format::U8)))
                        .transpose()?;
                    Operation::MaxPool { pool, choice }
                }
                &StepOperation::AveragePool { pool, scale, zero } => {
                    let [scale, zero] = [scale, zero].map(|value| value as f32);
                    Operation::AveragePool { pool, integers: AverageOfIntegers { scale, zero } }
                }
                StepOperation::Add { multipliers, offset, range } => {
                    let multipliers = multipliers.map(|value| value as f32);
                    Operation::Add { multipliers, offset: *offset as f32, range: finite(*range) }
                }
                StepOperation::Activation { multiplier, offset, range } => {
                    let [multiplier, offset] = [*multiplier as f32, *offset as f32];
                    Operation::Activation { multiplier, offset, range: finite(*range) }
                }
                &StepOperation::Function(function) => {
                    Operation::Function(ActivationPlan::of(function))
                }
                StepOperation::Multiply => Operation::Multiply,
                StepOperation::Concat => Operation::Concat,
            };
            let output = gpu.buffer("levels", bytes(step.output, storage.output))?;
            steps.push(Step {
                label: format!("{} integer", step.name),
                storage,
                operation,
                output,
            });
        }
        Ok(IntegerNetwork { plan: plan.clone(), input, steps })
    }

    /// What it was made of.
    pub fn plan(&self) -> &IntegerPlan {
        &self.plan
    }

    /// Bytes on the device an image of `slots`, weights not counted.
    pub fn activation_bytes(&self) -> u64 {
        let choices = self.steps.iter().filter_map(|step| match &step.operation {
            Operation::MaxPool { choice, .. } => choice.as_ref(),
            _ => None,
        });
        self.input.size()
            + self
                .steps
                .iter()
                .map(|step| &step.output)
                .chain(choices)
                .map(Buffer::size)
                .sum::<u64>()
    }

    /// Bytes of weights and constants on the device.
    pub fn weight_bytes(&self) -> u64 {
        let of = |step: &Step| match &step.operation {
            Operation::Weighted(layer) => layer.bytes(),
            _ => 0,
        };
        self.steps.iter().map(of).sum()
    }

    /// Where images go: bytes, [image, row, column, channel / 4] words.
    pub fn input(&self) -> &Buffer {
        &self.input
    }

    /// The numbers that step `index` made of the first `images` images, [image, channel, row,
    /// column]: levels, or floats.
    ///
    /// # Errors
    /// As [`Gpu::read`].
    pub async fn read_step(&self, gpu: &Gpu, index: usize, images: u32) -> Result<Vec<f32>> {
        let (step, shape) = (&self.steps[index], self.plan.steps[index].output);
        let format = step.storage.output;
        let words =
            u64::from(images * shape.pixels() * groups(shape.channels)) * format.group_bytes() / 4;
        Ok(to_nchw(&format.decode(&gpu.read::<u32>(&step.output, 0, words).await?), shape))
    }
}

fn requantized_layer(
    gpu: &Gpu,
    tiles: TileTable,
    step: &IntegerStep,
    weighted: &WeightedStep,
    (storage, images): (Storage, u32),
) -> Result<RequantizedLayer> {
    let mut pivots = Vec::new();
    let weights = match &weighted.weights {
        StepWeights::Integer { levels, values } => {
            // In the middle of the levels, so that what is left of a weight is a signed byte.
            let middle = levels.grid.level(128);
            pivots.extend(levels.zero_points.iter().map(|zero| middle - zero));
            let bound = step.from.range().map_or(i64::MAX, |range| weighted.bound(range));
            RequantizedWeights::Integers {
                values,
                bound,
                pivots: &pivots,
                spacing: levels.grid.spacing,
            }
        }
        StepWeights::Float(values) => RequantizedWeights::Floats(values),
    };
    let offset = match &weighted.border {
        Some(border) => weighted.offsets_by_place(border, step.input, step.output),
        None => narrow(&weighted.offset),
    };
    let shape = RequantizedShape {
        input: step.input,
        output: step.output,
        window: weighted.window,
        sets: weighted.groups,
        images,
        storage,
        multiplier: &narrow(&weighted.multiplier),
        offset: &offset,
        range: finite(weighted.range),
    };
    RequantizedLayer::new(gpu, tiles, &shape, weights)
}

impl Classifier for IntegerNetwork {
    fn record_weights(&self, _: &Gpu, _: &mut Recording) -> Result<()> {
        Ok(())
    }

    fn record_gather(
        &self,
        gpu: &Gpu,
        recording: &mut Recording,
        batch: &Batch,
        data: &ResidentData,
        options: &GatherOptions,
    ) -> Result<()> {
        batch.record_gather_in(gpu, recording, data, options, &self.input, Format::U8)
    }

    fn record_forward(
        &self,
        gpu: &Gpu,
        recording: &mut Recording,
        range: ImageRange<'_>,
    ) -> Result<()> {
        for (step, plan) in self.steps.iter().zip(&self.plan.steps) {
            let value = |read: Option<usize>| match read {
                None => &self.input,
                Some(index) => &self.steps[index].output,
            };
            let shape = |read: Option<usize>| match read {
                None => self.plan.input,
                Some(index) => self.plan.steps[index].output,
            };
            let input = value(plan.reads[0]);
            let (from, to) = (input.into(), (&step.output).into());
            let (label, storage) = (step.label.as_str(), step.storage);
            match &step.operation {
                Operation::Weighted(layer) => {
                    layer.record(gpu, recording, label, range, [input, &step.output])?
                }
                &Operation::MaxPool { pool, ref choice } => {
                    let (input, output) = (plan.input, plan.output);
                    MaxPool {
                        images: range,
                        input: from,
                        output: to,
                        choice: choice.as_ref().map(Binding::from),
                        shape: PoolShape::of_maxima(input, output, pool),
                        storage,
                    }
                    .record(gpu, recording, label)?;
                }
                &Operation::AveragePool { pool, integers } => {
                    let (input, output) = (plan.input, plan.output);
                    kernels::AveragePool {
                        images: range,
                        input: from,
                        output: to,
                        shape: AveragePoolShape { input, output, pool },
                        integers,
                        storage,
                    }
                    .record(gpu, recording, label)?;
                }
                &Operation::Add { multipliers, offset, range: ends } => {
                    RequantizedAdd {
                        images: range,
                        left: from,
                        right: value(plan.reads[1]).into(),
                        output: to,
                        elements: plan.output.pixels() * groups(plan.output.channels),
                        channels: plan.output.channels,
                        multipliers,
                        offset,
                        range: ends,
                        storage,
                    }
                    .record(gpu, recording, label)?;
                }
                &Operation::Activation { multiplier, offset, range: ends } => {
                    RequantizedActivation {
                        images: range,
                        input: from,
                        output: to,
                        elements: plan.output.pixels() * groups(plan.output.channels),
                        channels: plan.output.channels,
                        multiplier,
                        offset,
                        range: ends,
                        storage,
                    }
                    .record(gpu, recording, label)?;
                }
                &Operation::Function(activation) => {
                    kernels::Activation {
                        images: range,
                        input: from,
                        output: to,
                        // Functions learn nothing.
                        parameters: from,
                        elements: plan.output.pixels() * groups(plan.output.channels),
                        channels: plan.output.channels,
                        activation,
                        storage,
                    }
                    .record(gpu, recording, label)?;
                }
                Operation::Multiply => {
                    Multiply {
                        images: range,
                        left: from,
                        right: value(plan.reads[1]).into(),
                        output: to,
                        shape: plan.output,
                        broadcast: shape(plan.reads[1]).pixels() != plan.output.pixels(),
                        twins: false,
                        scale: 1.0,
                        storage,
                    }
                    .record(gpu, recording, label)?;
                }
                Operation::Concat => {
                    let mut first = 0;
                    for &read in &plan.reads {
                        let count = shape(read).channels;
                        CopyChannels {
                            images: range,
                            from: value(read).into(),
                            to,
                            pixels: plan.output.pixels(),
                            channels: [count, plan.output.channels],
                            first: [0, first],
                            count,
                            storage: Storage::new(storage.input, storage.output),
                        }
                        .record(gpu, recording, label)?;
                        first += count;
                    }
                }
            }
        }
        Ok(())
    }

    fn logits(&self) -> &Buffer {
        self.steps.last().map_or(&self.input, |step| &step.output)
    }

    fn classes(&self) -> u32 {
        self.plan.classes
    }
}
