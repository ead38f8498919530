//! The masking of each step: Algorithm 1, or a variant in the style of HLGM or SMOOT.
//!
//! HLGM ("High and Low Gradient Masking") and SMOOT ("Saliency guided Mask Optimized Online
//! Training") come from the paper's research group. Their exact schedules are not in the
//! publications available to us. The rules here are saliq's own, in their style:
//!
//! - **standard**: masks the k features of lowest gradient in every image of every step.
//! - **HLGM-style**: masks nothing during a warm-up (one epoch by default). Then the steps
//!   alternate between the k features of lowest and the k of highest gradient, beginning with the
//!   lowest.
//! - **SMOOT-style**: masks the first share s of every batch, whose order is random; the other
//!   images have no KL term. s begins at 1/2. After every epoch beyond the warm-up, s rises by 1/8
//!   up to 1 if the epoch's mean cross entropy of the clean images is not higher than that of the
//!   epoch before; else it falls by 1/8 down to 1/8. M = round(s · images of the batch). If a batch
//!   norm has no statistics for a single image, M = 1 becomes 0, and the masked part of that step
//!   is left out.
//!
//! The host computes this when it writes the table of an epoch's steps, from sums that it reads
//! back for the metrics anyway. A step still needs no round trip to the host.

use serde::{Deserialize, Serialize};

use crate::config::{SgtConfig, SgtVariant};

/// Number of steps of the SMOOT-style share from 0 to 1.
const EIGHTHS: u32 = 8;

/// The masking of one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepMasking {
    /// Number of images of the batch that are masked, from the first on.
    pub images: u32,
    /// Whether the features of highest gradient are masked instead of the lowest.
    pub highest: bool,
    /// Whether a single image was to be masked and is not; see
    /// [`MaskingSchedule::without_lone_images`].
    pub left_out: bool,
}

impl StepMasking {
    /// How many of the `count` images from `offset` of the batch on have no masked copy. The masked
    /// images are the same however a batch is cut.
    pub fn unmasked(self, offset: u32, count: u32) -> u32 {
        count - self.images.saturating_sub(offset).min(count)
    }
}

/// The state of the SMOOT-style rule during training; checkpoints store it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct MaskingProgress {
    /// Masked share of a batch in eighths.
    eighths: u32,
    /// Mean cross entropy of the previous epoch.
    previous: Option<f64>,
    /// Sum of the cross entropies of the current epoch.
    cross_entropy: f64,
    /// Number of images in this sum.
    images: f64,
}

impl Default for MaskingProgress {
    fn default() -> Self {
        MaskingProgress { eighths: EIGHTHS / 2, previous: None, cross_entropy: 0.0, images: 0.0 }
    }
}

impl MaskingProgress {
    /// Adds a step's sum of cross entropies over `images` clean images.
    pub fn add(&mut self, cross_entropy: f64, images: f64) {
        self.cross_entropy += cross_entropy;
        self.images += images;
    }
}

/// The masking of every step of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaskingSchedule {
    variant: SgtVariant,
    warmup_epochs: u64,
    steps_per_epoch: u64,
    /// Up to this step, a single image is not masked.
    no_lone_images_until: u64,
}

impl MaskingSchedule {
    /// The schedule of `sgt` for epochs of `steps_per_epoch` steps.
    pub fn new(sgt: &SgtConfig, steps_per_epoch: u64) -> MaskingSchedule {
        MaskingSchedule {
            variant: sgt.variant,
            warmup_epochs: u64::from(sgt.warmup_epochs),
            steps_per_epoch,
            no_lone_images_until: 0,
        }
    }

    /// The schedule that, up to step `last`, masks no image where it would mask a single one. A
    /// single masked image is a batch of its own for batch norms and may have no variance.
    pub fn without_lone_images(self, last: u64) -> MaskingSchedule {
        MaskingSchedule { no_lone_images_until: last, ..self }
    }

    /// The masking of step `step`, counted from 1, for a batch of `batch` images.
    pub fn step(&self, step: u64, batch: u32, progress: &MaskingProgress) -> StepMasking {
        let Some(after_warmup) = (step - 1).checked_sub(self.warmup_epochs * self.steps_per_epoch)
        else {
            return StepMasking { images: 0, highest: false, left_out: false };
        };
        let (images, highest) = match self.variant {
            SgtVariant::Standard => (batch, false),
            SgtVariant::Hlgm => (batch, !after_warmup.is_multiple_of(2)),
            SgtVariant::Smoot => {
                ((batch * progress.eighths.min(EIGHTHS) + EIGHTHS / 2) / EIGHTHS, false)
            }
        };
        let left_out = images == 1 && step <= self.no_lone_images_until;
        StepMasking { images: if left_out { 0 } else { images }, highest, left_out }
    }

    /// The share of masked images, if the variant adapts it.
    pub fn adapted_share(&self, epoch: u64, progress: &MaskingProgress) -> Option<f64> {
        let share = if epoch < self.warmup_epochs {
            0.0
        } else {
            f64::from(progress.eighths) / f64::from(EIGHTHS)
        };
        (self.variant == SgtVariant::Smoot).then_some(share)
    }

    /// Updates the share after epoch `epoch` (from 0), whose steps have all been added to
    /// `progress`.
    pub fn end_epoch(&self, epoch: u64, progress: &mut MaskingProgress) {
        let mean = progress.cross_entropy / progress.images.max(1.0);
        if let Some(previous) = progress.previous.filter(|_| epoch >= self.warmup_epochs) {
            let eighths = if mean <= previous {
                progress.eighths + 1
            } else {
                progress.eighths.saturating_sub(1)
            };
            progress.eighths = eighths.clamp(1, EIGHTHS);
        }
        *progress = MaskingProgress {
            eighths: progress.eighths,
            previous: Some(mean),
            ..MaskingProgress::default()
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(variant: SgtVariant, warmup_epochs: u32) -> MaskingSchedule {
        MaskingSchedule::new(&SgtConfig { variant, warmup_epochs, ..SgtConfig::default() }, 4)
    }

    fn masking(
        schedule: MaskingSchedule,
        steps: std::ops::RangeInclusive<u64>,
    ) -> Vec<(u32, bool)> {
        steps
            .map(|step| schedule.step(step, 10, &MaskingProgress::default()))
            .map(|own| (own.images, own.highest))
            .collect()
    }

    #[test]
    fn standard_masks_the_lowest_of_all() {
        assert_eq!(masking(schedule(SgtVariant::Standard, 0), 1..=3), [(10, false); 3]);
        assert_eq!(
            masking(schedule(SgtVariant::Standard, 1), 3..=6),
            [(0, false), (0, false), (10, false), (10, false)]
        );
    }

    #[test]
    fn hlgm_takes_turns_after_the_warmup() {
        let expected = [
            (0, false),
            (0, false),
            (0, false),
            (0, false),
            (10, false),
            (10, true),
            (10, false),
            (10, true),
        ];
        assert_eq!(masking(schedule(SgtVariant::Hlgm, 1), 1..=8), expected);
    }

    #[test]
    fn smoot_masks_more_while_the_loss_falls_and_less_when_it_rises() {
        let rule = schedule(SgtVariant::Smoot, 1);
        let mut progress = MaskingProgress::default();
        let mut shares = Vec::new();
        for (epoch, loss) in
            [3.0, 2.0, 2.0, 1.0, 1.5, 1.4, 1.3, 1.2, 1.1, 1.0, 5.0].into_iter().enumerate()
        {
            shares.push((
                rule.step(4 * epoch as u64 + 1, 16, &progress).images,
                rule.adapted_share(epoch as u64, &progress),
            ));
            for _ in 0..4 {
                progress.add(10.0 * loss, 10.0);
            }
            rule.end_epoch(epoch as u64, &mut progress);
        }
        let images: Vec<u32> = shares.iter().map(|own| own.0).collect();
        // Nothing is masked in the warm-up, then half of 16 images; an eighth is 2 images.
        assert_eq!(images, [0, 8, 10, 12, 14, 12, 14, 16, 16, 16, 16]);
        assert!(shares.iter().all(|&(images, share)| share == Some(f64::from(images) / 16.0)));
        for epoch in 11..30 {
            progress.add(f64::from(epoch), 1.0);
            rule.end_epoch(epoch as u64, &mut progress);
        }
        assert_eq!(rule.step(1000, 16, &progress).images, 2, "never less than an eighth");
        assert_eq!(rule.step(1000, 3, &progress).images, 0);
        assert_eq!(rule.step(1000, 4, &progress).images, 1, "rounded half up");
    }

    #[test]
    fn one_image_alone_is_left_out_while_batch_norms_take_statistics() {
        let rule = schedule(SgtVariant::Smoot, 0).without_lone_images(5);
        let of = |step, batch| {
            let own = rule.step(step, batch, &MaskingProgress::default());
            (own.images, own.left_out)
        };
        assert_eq!(
            [2, 3, 4, 16].map(|batch| of(5, batch)),
            [(0, true), (2, false), (2, false), (8, false)]
        );
        assert_eq!(of(6, 2), (1, false), "frozen from there on");
        assert_eq!(of(5, 1), (0, true));
        let all = schedule(SgtVariant::Standard, 0).without_lone_images(u64::MAX);
        assert_eq!(all.step(1, 2, &MaskingProgress::default()).images, 2);
    }

    #[test]
    fn cutting_a_batch_masks_the_same_images() {
        let own = StepMasking { images: 5, highest: false, left_out: false };
        assert_eq!(own.unmasked(0, 12), 7);
        let parts = [(0, 4), (4, 4), (8, 4)].map(|(offset, count)| own.unmasked(offset, count));
        assert_eq!(parts, [0, 3, 4]);
    }
}
