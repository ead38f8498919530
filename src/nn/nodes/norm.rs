//! Where a batch norm's parameters and running statistics are, and its buffers.

use crate::{
    Error, Result,
    config::Shape,
    gpu::{Buffer, Gpu},
    graph::{self, Graph},
    kernels::NormIndices,
    layout::groups,
};

/// Parts that the rows of a batch are dealt to at most.
const MOST_PARTS: u32 = 1024;
/// Rows that a part should have at least.
const ROWS: u32 = 32;
/// Batches that are normalised apart in one pass at most: clean and masked images.
const BATCHES: u32 = 2;

/// The buffers of training.
pub(in crate::nn) struct NormTraining {
    /// [batch, group] coefficients of the batch.
    pub coefficients: Buffer,
    /// [batch, part, group] two vec4: partial sums of the forward, later of the backward pass.
    pub parts: Buffer,
    /// [batch, group] two vec4: means that the input's gradient needs.
    pub means: Buffer,
    /// Number of parts.
    pub count: u32,
}

/// A batch norm.
pub(in crate::nn) struct BatchNorm {
    pub indices: NormIndices,
    pub epsilon: f32,
    pub momentum: f32,
    /// Whether the weights in front are scaled before they are quantized.
    pub folded: bool,
    /// `[group]` two vec4: s and 1/σ.
    pub factors: Buffer,
    /// `[group]` coefficients of the running statistics.
    pub inference: Buffer,
    training: Option<NormTraining>,
}

impl BatchNorm {
    /// The batch norm `own` of outputs of `shape`; `training` images where it trains.
    pub fn new(
        gpu: &Gpu,
        graph: &Graph,
        own: &graph::BatchNorm,
        shape: Shape,
        folded: bool,
        training: Option<u32>,
    ) -> Result<BatchNorm> {
        let index = |id| graph.parameter(id).offset;
        let channel_groups = u64::from(groups(shape.channels));
        let training = training.map(|slots| {
            let rows = slots.saturating_mul(shape.pixels());
            let count = rows.div_ceil(ROWS).clamp(1, MOST_PARTS);
            let both = u64::from(BATCHES) * channel_groups;
            Ok::<_, Error>(NormTraining {
                coefficients: gpu.buffer("batch norm coefficients", both * 64)?,
                parts: gpu.buffer("partial sums of batch norm", both * u64::from(count) * 32)?,
                means: gpu.buffer("means of batch norm", both * 32)?,
                count,
            })
        });
        Ok(BatchNorm {
            indices: NormIndices {
                scale: index(own.scale),
                shift: index(own.shift),
                mean: index(own.mean),
                variance: index(own.variance),
                count: index(own.count),
            },
            epsilon: own.epsilon,
            momentum: own.momentum,
            folded,
            factors: gpu.buffer("batch norm factors", channel_groups * 32)?,
            inference: gpu.buffer("batch norm coefficients", channel_groups * 64)?,
            training: training.transpose()?,
        })
    }

    /// The buffers of training.
    ///
    /// # Errors
    /// [`Error::Gpu`] in networks that do not train.
    pub fn training(&self) -> Result<&NormTraining> {
        let missing = || Error::Gpu("this network was made without batch statistics".into());
        self.training.as_ref().ok_or_else(missing)
    }
}
