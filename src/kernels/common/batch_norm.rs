//! Common parts of the launchers of batch norms (shaders/common/batch_norm.wgsl).

use crate::{
    config::Shape,
    gpu::{Buffer, Launch},
    layout::groups,
    shaders::Specialization,
};

/// Indices of a batch norm's parameters and running statistics in the flat array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NormIndices {
    /// γ.
    pub scale: u32,
    /// β.
    pub shift: u32,
    /// Running mean.
    pub mean: u32,
    /// Running variance.
    pub variance: u32,
    /// Number of batches seen.
    pub count: u32,
}

/// How a batch's rows are summed in two stages.
#[derive(Clone, Copy, Debug)]
pub struct BatchStatistics<'a> {
    /// The current step's record, which distinguishes clean from masked images.
    pub current: &'a Buffer,
    /// Number of batches in the range that are normalised separately.
    pub batches: u32,
    /// Number of parts into which the rows of a batch are divided.
    pub parts: u32,
}

/// Sizes of a first stage, which goes over the rows.
pub(in crate::kernels) fn first_stage(shape: Shape, by: BatchStatistics<'_>) -> Specialization {
    rows(shape).constant("PARTS", by.parts).constant("BATCHES", by.batches)
}

/// Sizes of a second stage, which goes over the parts.
pub(in crate::kernels) fn second_stage(
    shape: Shape,
    by: BatchStatistics<'_>,
    indices: NormIndices,
    freeze_after: Option<u64>,
) -> Specialization {
    let freeze_after = freeze_after.map_or(u32::MAX, |step| step.try_into().unwrap_or(u32::MAX));
    Specialization::new()
        .constant("CHANNELS", shape.channels)
        .constant("PIXELS", shape.pixels())
        .constant("PARTS", by.parts)
        .constant("BATCHES", by.batches)
        .constant("SCALE_INDEX", indices.scale)
        .constant("SHIFT_INDEX", indices.shift)
        .constant("MEAN_INDEX", indices.mean)
        .constant("FREEZE_AFTER", freeze_after)
}

/// Sizes of the kernels that go over a range of images.
pub(in crate::kernels) fn rows(shape: Shape) -> Specialization {
    Specialization::new()
        .constant("PIXELS", shape.pixels())
        .constant("GROUPS", groups(shape.channels))
}

/// `specialization` of a kernel with the statistics of batches, or with the running ones.
pub(in crate::kernels) fn mode(
    specialization: Specialization,
    batches: Option<u32>,
) -> Specialization {
    let specialization = specialization.feature("batch_statistics", batches.is_some());
    match batches {
        Some(batches) => specialization.constant("BATCHES", batches),
        None => specialization,
    }
}

impl BatchStatistics<'_> {
    /// Sums of a first stage: one an invocation.
    pub(in crate::kernels) fn sums(self, shape: Shape) -> u32 {
        self.batches * self.parts * groups(shape.channels)
    }
}

/// `launch` over a workgroup a group of channels.
pub(in crate::kernels) fn over_groups<'a>(launch: Launch<'a>, shape: Shape) -> Launch<'a> {
    launch.over(super::grid(groups(shape.channels)))
}
