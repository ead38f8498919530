//! Records that the host writes and kernels read, with the layouts of the structures in
//! `shaders/common/`.

use bytemuck::{Pod, Zeroable};

/// Bytes between the [`ChunkRange`] records that the kernel `begin_step` writes: the largest
/// alignment that a uniform's offset can need.
pub const RANGE_STRIDE: u64 = 256;

/// The values of a step, one entry of the epoch's table for every part of a batch
/// (`shaders/common/step.wgsl`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Pod, Zeroable)]
pub struct StepRecord {
    /// Number of the step in the run, from 1.
    pub step: u32,
    /// Number of the epoch, from 0.
    pub epoch: u32,
    /// Position of the part's first image in the epoch's order.
    pub position: u32,
    /// Number of images of this part.
    pub count: u32,
    /// Number of images of the whole batch.
    pub batch: u32,
    /// Index of the part; 0 for the first part of a batch.
    pub part: u32,
    /// Slot of this batch's sums in the metrics ring.
    pub log_slot: u32,
    /// Number of images of the epoch: the length of the permutation.
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
    /// Number of images at the end of this part that have no masked copy; 0 in Algorithm 1 (see
    /// `sgt::MaskingSchedule`).
    pub unmasked: u32,
    /// 1 masks the features of highest gradient instead of the lowest; 0 in Algorithm 1.
    pub mask_highest: u32,
    /// Attribution: the first sample of the image at `position`.
    pub sample: u32,
    /// Attribution: samples per image.
    pub samples: u32,
    /// Sum of the weights of the whole batch's classes; 0 where classes have none.
    pub class_weights: f32,
    /// Zero.
    pub padding: u32,
}

impl StepRecord {
    /// The run's seed.
    pub fn seed(&self) -> u64 {
        u64::from(self.seed_low) | u64::from(self.seed_high) << 32
    }

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

/// The images of a dispatch (`shaders/common/images.wgsl`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct ImagesRange {
    /// First image, in buffers that hold clean images first and masked ones after them.
    pub first: u32,
    /// Number of images.
    pub count: u32,
    /// Number of images of the whole batch: the divisor of means.
    pub batch: u32,
    /// 1 for a later part of a batch, whose gradients are added; 0 for the first part, whose
    /// gradients are set.
    pub accumulate: u32,
}

/// The images of a chunk, counted from its first (`shaders/common/images.wgsl`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct ChunkRange {
    /// The part that most kernels read.
    pub images: ImagesRange,
    /// Position of the chunk's first image in the batch; 0 in ranges that are not chunks.
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
