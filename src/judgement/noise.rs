//! Images and noisy copies of them, one group at a time, for judgements of the effect of noise.

use super::{
    Subject,
    removal::{Round, upload_rounds},
};
use crate::{
    Result,
    batch::{Batch, GatherOptions},
    gpu::{Buffer, Gpu, Launcher, Recording},
    kernels::{LANES, PerturbImages},
    layout::{RANGE_STRIDE, StepRecord},
    saliency::ImageSet,
};

/// Largest number of images in a group.
const GROUP: u32 = 256;

/// The kind of noise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Noise {
    /// Half the width of the uniform distribution, or the standard deviation of the normal one, in
    /// units of the normalised image.
    pub scale: f32,
    /// N(0, scale²) instead of U(−scale, scale).
    pub normal: bool,
    /// x + noise, or x − noise.
    pub added: bool,
    /// Noise samples per image.
    pub samples: u32,
    /// Seed of the noise.
    pub seed: u64,
}

/// A recorded source of groups of images and their noisy copies.
pub(super) struct NoisyImages {
    pub clean: ImageSet,
    pub noisy: ImageSet,
    /// The noise of the last sample, [image, channel, pixel].
    pub noise: Buffer,
    pub batch: Batch,
    /// The groups.
    pub table: Vec<StepRecord>,
    gather: Recording,
    samples: Vec<Recording>,
    targets: Vec<u32>,
}

impl NoisyImages {
    /// Records the images of `subject` and the noise.
    pub fn record(subject: &Subject<'_>, targets: &[u32], noise: Noise) -> Result<NoisyImages> {
        let (gpu, shape) = (subject.gpu, subject.shape());
        let data = subject.resident(None)?;
        let most = ImageSet::room(gpu, shape, data.count.min(GROUP), 0);
        let table = StepRecord::in_file_order(data.count, most, noise.seed);
        let (clean, noisy) =
            (ImageSet::new(gpu, shape, most, 0)?, ImageSet::new(gpu, shape, most, 0)?);
        let batch = Batch::new(gpu, most, false, table.len() as u64)?;
        let values = gpu.buffer("noise", u64::from(most) * u64::from(shape.elements()) * 4)?;
        let mut gather = Recording::new();
        batch.record_begin(gpu, &mut gather)?;
        let options = GatherOptions::in_file_order(subject.normalization);
        batch.record_gather(gpu, &mut gather, &data, &options, &clean.pixels)?;
        let rounds: Vec<Round> =
            (0..noise.samples).map(|sample| Round { sample, ..Round::default() }).collect();
        let rounds = upload_rounds(gpu, &rounds)?;
        let mut samples = Vec::new();
        for index in 0..u64::from(noise.samples) {
            let mut recording = Recording::new();
            let copies = PerturbImages {
                images: batch.clean(),
                current: &batch.step,
                current_round: rounds.range(index * RANGE_STRIDE, size_of::<Round>() as u64),
                pixels: &clean.pixels,
                noisy: &noisy.pixels,
                noise: &values,
                shape,
                scale: noise.scale,
                normal: noise.normal,
                added: noise.added,
                lanes: LANES,
            };
            copies.record(gpu, &mut recording, "perturb images")?;
            samples.push(recording);
        }
        Ok(NoisyImages {
            clean,
            noisy,
            noise: values,
            batch,
            table,
            gather,
            samples,
            targets: targets.to_vec(),
        })
    }

    /// Prepares a run over all groups.
    pub fn start(&self, gpu: &Gpu) {
        self.batch.write_table(gpu, &self.table);
    }

    /// Gathers the next group, whose entry in the table is `record`.
    pub fn begin(&self, gpu: &Gpu, record: &StepRecord) -> Result<()> {
        let place = record.position as usize..(record.position + record.count) as usize;
        let numbers: Vec<u32> = place.clone().map(|number| number as u32).collect();
        for set in [&self.clean, &self.noisy] {
            gpu.write(&set.numbers, 0, &numbers);
            gpu.write(&set.classes, 0, &self.targets[place.clone()]);
        }
        self.gather.submit(gpu)
    }

    /// Recordings that make the noisy copies, one per sample.
    pub fn samples(&self) -> &[Recording] {
        &self.samples
    }
}
