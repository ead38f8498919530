//! Records that the host writes and kernels read: the same layouts as the structures in
//! `shaders/common/`.

use bytemuck::{Pod, Zeroable};

/// Bytes between the [`ChunkRange`] records that the kernel `begin_step` writes: the largest
/// alignment a uniform's offset can need.
pub const RANGE_STRIDE: u64 = 256;

/// What changes from step to step, an entry of the epoch's table for every part of a batch
/// (`shaders/common/step.wgsl`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Pod, Zeroable)]
pub struct StepRecord {
    /// Number of the step in the run, from 1.
    pub step: u32,
    /// Number of the epoch, from 0.
    pub epoch: u32,
    /// Place of the part's first image in the epoch's order.
    pub position: u32,
    /// Images of this part.
    pub count: u32,
    /// Images of the whole batch.
    pub batch: u32,
    /// 0 for the first part of a batch.
    pub part: u32,
    /// Where in the metrics ring this batch's sums go.
    pub log_slot: u32,
    /// Images of the epoch: the length of the permutation.
    pub epoch_images: u32,
    /// Lower half of the run's seed.
    pub seed_low: u32,
    /// Upper half of the run's seed.
    pub seed_high: u32,
    /// Learning rate of this step.
    pub learning_rate: f32,
    /// Momentum of this step.
    pub momentum: f32,
    /// 1 − β₁^step.
    pub beta1_correction: f32,
    /// 1 − β₂^step.
    pub beta2_correction: f32,
    /// The last so many images of this part have no masked twin; 0 in Algorithm 1 (see
    /// `sgt::MaskingSchedule`).
    pub unmasked: u32,
    /// 1: the features of highest gradient are masked, not those of lowest; 0 in Algorithm 1.
    pub mask_highest: u32,
    /// Attribution: the first sample, of the image at `position`.
    pub sample: u32,
    /// Attribution: samples an image.
    pub samples: u32,
    /// Zero.
    pub padding: [u32; 2],
}

impl StepRecord {
    /// The entries of a pass over the first `count` images in file order, `most` at a time.
    pub fn in_file_order(count: u32, most: u32, seed: u64) -> Vec<StepRecord> {
        (0..count)
            .step_by(most.max(1) as usize)
            .map(|position| StepRecord {
                position,
                count: most.min(count - position),
                batch: count,
                epoch_images: count,
                seed_low: seed as u32,
                seed_high: (seed >> 32) as u32,
                ..StepRecord::default()
            })
            .collect()
    }
}

/// The images a dispatch works on (`shaders/common/images.wgsl`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct ImagesRange {
    /// First image, in buffers that hold clean images first and masked ones after them.
    pub first: u32,
    /// Images of the range.
    pub count: u32,
    /// Images of the whole batch: the divisor of means.
    pub batch: u32,
    /// 1 for a later part of a batch, whose gradients are added; 0 for the first, whose gradients
    /// are set.
    pub accumulate: u32,
}

/// The images of a chunk, counted from its first (`shaders/common/images.wgsl`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct ChunkRange {
    /// What most kernels see.
    pub images: ImagesRange,
    /// Place of the chunk's first image in the batch; 0 in ranges that are no chunks.
    pub place: u32,
    /// Zero.
    pub padding: [u32; 3],
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_are_the_shaders() {
        assert_eq!(size_of::<StepRecord>(), 80);
        assert_eq!(std::mem::offset_of!(StepRecord, learning_rate), 40);
        assert_eq!([size_of::<ImagesRange>(), size_of::<ChunkRange>()], [16, 32]);
    }
}
