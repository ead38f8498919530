//! Batches on the GPU: the data set as bytes, the table of steps, and the kernels that begin a step
//! and gather its images.

mod class_weights;
mod ranges;
mod resident;

pub use class_weights::{ClassWeights, inverse_frequencies};
pub use ranges::Chunked;
pub use resident::{ResidentData, balanced};

use resident::Images;

use crate::{
    Result,
    config::{Augmentation, PixelNormalization, Shape},
    gpu::{Buffer, Gpu, Launcher, Recording},
    kernels::{BeginStep, GatherBatch, GatherFrom, ImageRange, LANES, PixelConstants},
    layout::{ChunkRange, RANGE_STRIDE, StepRecord},
    storage::Format,
};

/// Largest shift of an image by augmentation, in pixels per direction.
const SHIFT: u32 = 2;
/// The same of a random crop.
const CROP: u32 = 4;
/// Groups of 4 values that one invocation gathers.
const STRIP: u32 = 8;

/// How a batch is drawn from the data set.
#[derive(Clone, Debug)]
pub struct GatherOptions {
    /// In the epoch's random order, or in file order.
    pub shuffle: bool,
    /// Random augmentations.
    pub augment: Vec<Augmentation>,
    /// Normalisation of the pixels.
    pub normalization: PixelNormalization,
}

impl GatherOptions {
    /// All images as they are, in file order.
    pub fn in_file_order(normalization: PixelNormalization) -> GatherOptions {
        GatherOptions { shuffle: false, augment: Vec::new(), normalization }
    }
}

/// The buffers from which a recorded step reads the range of its images, and their labels.
pub struct Batch {
    /// Largest number of images per part.
    pub most: u32,
    /// Whether every image has a masked copy behind the clean images.
    pub twins: bool,
    /// The current entry of the table, as a uniform.
    pub step: Buffer,
    /// Labels of the clean images, then again for the masked ones.
    pub labels: Buffer,
    table: Buffer,
    cursor: Buffer,
    ranges: Buffer,
    entries: u64,
    chunk: u32,
}

impl Batch {
    /// Buffers for parts of `most` images and a table of `entries` records.
    pub fn new(gpu: &Gpu, most: u32, twins: bool, entries: u64) -> Result<Batch> {
        Batch::in_chunks(gpu, most, twins, entries, u32::MAX)
    }

    /// As [`Self::new`], for backward passes in chunks of `chunk` images.
    pub fn in_chunks(gpu: &Gpu, most: u32, twins: bool, entries: u64, chunk: u32) -> Result<Batch> {
        let slots = if twins { 2 * most } else { most };
        let chunk = chunk.clamp(1, slots.max(1));
        let step = size_of::<StepRecord>() as u64;
        Ok(Batch {
            most,
            twins,
            step: gpu.uniform("step", step)?,
            labels: gpu.buffer("labels of the batch", u64::from(most) * 8)?,
            table: gpu.buffer("table of steps", entries * step)?,
            cursor: gpu.buffer("cursor", 4)?,
            ranges: gpu.uniform(
                "image ranges",
                (4 + 2 * u64::from(slots.div_ceil(chunk))) * RANGE_STRIDE,
            )?,
            entries,
            chunk,
        })
    }

    /// Writes the table that the next submissions process, from its first entry on.
    pub fn write_table(&self, gpu: &Gpu, records: &[StepRecord]) {
        debug_assert!(
            records.len() as u64 <= self.entries,
            "the table has {} entries",
            self.entries
        );
        gpu.write(&self.table, 0, records);
        gpu.write(&self.cursor, 0, &[0u32]);
    }

    /// Capacity of the table in entries.
    pub fn entries(&self) -> u64 {
        self.entries
    }

    fn range(&self, index: u64, most: u32) -> ImageRange<'_> {
        ImageRange {
            binding: self.ranges.range(index * RANGE_STRIDE, size_of::<ChunkRange>() as u64),
            most,
        }
    }

    /// The range `whole` with its chunks, which use every second record from `first` on.
    fn chunked<'a>(&'a self, whole: ImageRange<'a>, first: u64) -> Chunked<'a> {
        if whole.most <= self.chunk {
            return whole.into();
        }
        let chunk = |(number, start): (u64, u32)| {
            self.range(first + 2 * number, self.chunk.min(whole.most - start))
        };
        let starts = (0..whole.most).step_by(self.chunk as usize);
        Chunked { whole, size: self.chunk, chunks: (0..).zip(starts).map(chunk).collect() }
    }

    /// X: the clean images.
    pub fn clean(&self) -> ImageRange<'_> {
        self.range(0, self.most)
    }

    /// The clean images that have a masked copy: all of them in Algorithm 1.
    pub fn to_mask(&self) -> ImageRange<'_> {
        self.range(3, if self.twins { self.most } else { 0 })
    }

    /// X̃: the masked images.
    pub fn masked(&self) -> ImageRange<'_> {
        self.range(1, self.most)
    }

    /// X and X̃ as one batch (X alone if there are no masked copies).
    pub fn both(&self) -> ImageRange<'_> {
        self.range(2, if self.twins { 2 * self.most } else { self.most })
    }

    /// [`Self::to_mask`], for a backward pass.
    pub fn to_mask_in_chunks(&self) -> Chunked<'_> {
        self.chunked(self.to_mask(), 4)
    }

    /// [`Self::both`], for a backward pass.
    pub fn both_in_chunks(&self) -> Chunked<'_> {
        self.chunked(self.both(), 5)
    }

    /// Adds the kernel that advances to the table's next entry.
    pub fn record_begin(&self, gpu: &Gpu, recording: &mut Recording) -> Result<()> {
        let begin = BeginStep {
            table: &self.table,
            cursor: &self.cursor,
            current: &self.step,
            ranges: &self.ranges,
            twins: self.twins,
            chunk: self.chunk,
            chunks: self.both().most.div_ceil(self.chunk),
        };
        begin.record(gpu, recording, "begin step")
    }

    /// Adds the kernel that gathers the entry's images into `images`, normalised and augmented, and
    /// their labels.
    pub fn record_gather(
        &self,
        gpu: &Gpu,
        recording: &mut Recording,
        data: &ResidentData,
        options: &GatherOptions,
        images: &Buffer,
    ) -> Result<()> {
        self.record_gather_in(gpu, recording, data, options, images, Format::F32)
    }

    /// As [`Self::record_gather`], with `images` in `format`; in [`Format::U8`] they are bytes and
    /// not normalised.
    pub fn record_gather_in(
        &self,
        gpu: &Gpu,
        recording: &mut Recording,
        data: &ResidentData,
        options: &GatherOptions,
        images: &Buffer,
        format: Format,
    ) -> Result<()> {
        let channels;
        let constants = match options.normalization.for_all() {
            _ if format == Format::U8 => PixelConstants::None,
            Some((mean, deviation)) => PixelConstants::ForAll { mean, deviation },
            None => {
                let own = constants_of_channels(&options.normalization, data.shape);
                channels = gpu.upload("normalisation of the channels", &own)?;
                PixelConstants::OfChannels(&channels)
            }
        };
        let has = |augmentation| options.augment.contains(&augmentation);
        let shift = match () {
            () if has(Augmentation::Crop) => CROP,
            () if has(Augmentation::Shift) => SHIFT,
            () => 0,
        };
        let half = data.shape.height.min(data.shape.width) / 2;
        let gather = |bytes, from| GatherBatch {
            current: &self.step,
            data: bytes,
            labels: &data.labels,
            pixels: images,
            batch_labels: &self.labels,
            shape: data.shape,
            most: self.most,
            from,
            drawn: data.drawn.as_ref().map(|drawn| &drawn.buffer),
            shuffle: options.shuffle,
            shift,
            hflip: has(Augmentation::Hflip),
            cutout: if has(Augmentation::Cutout) { half } else { 0 },
            constants,
            format,
            lanes: LANES,
            strip: STRIP,
        };
        match &data.images {
            Images::Shards { buffers, each } => {
                for (first, buffer) in (0..).step_by(*each as usize).zip(buffers) {
                    let from = match buffers.len() {
                        1 => GatherFrom::All,
                        _ => GatherFrom::Shard { first, images: *each },
                    };
                    gather(buffer, from).record(gpu, recording, "gather batch")?;
                }
                Ok(())
            }
            Images::Window { buffer, part, .. } => {
                let from = GatherFrom::Window { part: *part };
                gather(buffer, from).record(gpu, recording, "gather batch")
            }
        }
    }
}

/// For every four channels their means and their standard deviations; channels that are none have
/// 0 and 1.
fn constants_of_channels(normalization: &PixelNormalization, shape: Shape) -> Vec<[f32; 4]> {
    let of = |group: u32, part: fn((f32, f32)) -> f32| {
        [0, 1, 2, 3].map(|lane| {
            let channel = group * 4 + lane;
            let is_there = channel < shape.channels;
            part(if is_there { normalization.channel(channel as usize) } else { (0.0, 1.0) })
        })
    };
    (0..shape.channels.div_ceil(4))
        .flat_map(|group| [of(group, |(mean, _)| mean), of(group, |(_, deviation)| deviation)])
        .collect()
}
