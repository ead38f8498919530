//! A data set on the GPU, as bytes: in memory as a whole, or, where it is larger than that, the
//! images of the next submission.

use std::sync::Arc;

use crate::{
    Result,
    config::Shape,
    data::Split,
    gpu::{Buffer, Gpu},
    layout::StepRecord,
    random,
};

/// Images and labels of one split. A clone shares their memory.
#[derive(Clone)]
pub struct ResidentData {
    /// Bytes, [image, channel, row, column], four per word.
    pub(super) images: Images,
    /// One word per image.
    pub labels: Buffer,
    /// Shape of one image.
    pub shape: Shape,
    /// Number of images.
    pub count: u32,
    /// The images that an epoch draws, where these are not all of them once.
    pub(super) drawn: Option<Drawn>,
}

/// Numbers of images, some of them several times.
#[derive(Clone)]
pub(super) struct Drawn {
    /// A word each.
    pub buffer: Buffer,
    numbers: Arc<[u32]>,
}

/// Where the bytes of the images are.
#[derive(Clone)]
pub(super) enum Images {
    /// All of them, uploaded once: `each` images a buffer, fewer in the last.
    Shards { buffers: Vec<Buffer>, each: u32 },
    /// Those of the next submission: `part` images for each part of a batch.
    Window { buffer: Buffer, part: u32, split: Arc<Split> },
}

impl ResidentData {
    /// Uploads `split`, in as many buffers as the adapter's largest binding makes necessary.
    ///
    /// # Errors
    /// [`crate::Error::OutOfMemory`] if the images do not fit into the GPU's memory.
    pub fn new(gpu: &Gpu, split: &Split, shape: Shape) -> Result<ResidentData> {
        let limits = gpu.limits();
        let largest = limits.max_storage_buffer_binding_size.min(limits.max_buffer_size);
        let each = largest / u64::from(shape.elements()).max(1);
        let each = each.clamp(1, u64::from(u32::MAX)) as u32;
        let bytes = each as usize * shape.elements() as usize;
        let shards = split.images.chunks(bytes);
        let buffers = shards.map(|shard| gpu.upload("data set", shard)).collect::<Result<_>>()?;
        ResidentData::with(gpu, split, shape, Images::Shards { buffers, each })
    }

    /// `split` stays in the host's memory: [`Self::stage`] uploads the images of each submission,
    /// which is of at most `parts` parts of `part` images.
    ///
    /// # Errors
    /// [`crate::Error::OutOfMemory`] if not even these fit into the GPU's memory.
    pub fn streamed(
        gpu: &Gpu,
        split: Arc<Split>,
        shape: Shape,
        part: u32,
        parts: u32,
    ) -> Result<ResidentData> {
        let bytes = u64::from(shape.elements()) * u64::from(part) * u64::from(parts);
        let buffer = gpu.buffer("images of a submission", bytes.next_multiple_of(4))?;
        let images = Images::Window { buffer, part, split: Arc::clone(&split) };
        ResidentData::with(gpu, &split, shape, images)
    }

    fn with(gpu: &Gpu, split: &Split, shape: Shape, images: Images) -> Result<ResidentData> {
        let labels = gpu.upload("labels", &split.labels)?;
        Ok(ResidentData { images, labels, shape, count: split.labels.len() as u32, drawn: None })
    }

    /// Epochs draw the images `numbers`, which may be there several times.
    ///
    /// # Errors
    /// [`crate::Error::OutOfMemory`]
    pub fn drawing(self, gpu: &Gpu, numbers: Vec<u32>) -> Result<ResidentData> {
        let drawn =
            Drawn { buffer: gpu.upload("drawn images", &numbers)?, numbers: numbers.into() };
        Ok(ResidentData { drawn: Some(drawn), ..self })
    }

    /// Number of images that an epoch draws.
    pub fn epoch_images(&self) -> u32 {
        self.drawn.as_ref().map_or(self.count, |drawn| drawn.numbers.len() as u32)
    }

    /// The first `count` images: in the same memory, or in memory of their own where the whole is
    /// larger than that.
    ///
    /// # Errors
    /// [`crate::Error::OutOfMemory`]
    pub fn first(&self, gpu: &Gpu, count: u32) -> Result<ResidentData> {
        if let Images::Window { split, .. } = &self.images {
            let mut first = Split::clone(split);
            first.truncate(count as usize, self.shape);
            return ResidentData::new(gpu, &first, self.shape);
        }
        Ok(ResidentData { count: self.count.min(count), drawn: None, ..self.clone() })
    }

    /// Bytes of GPU memory.
    pub fn bytes(&self) -> u64 {
        let images = match &self.images {
            Images::Shards { buffers, .. } => buffers.iter().map(Buffer::size).sum(),
            Images::Window { buffer, .. } => buffer.size(),
        };
        images + self.labels.size()
    }

    /// Uploads the images of `records`, which the next submission reads, where they are not on the
    /// GPU already. `shuffle` says in which order they are drawn.
    pub fn stage(&self, gpu: &Gpu, records: &[StepRecord], shuffle: bool) {
        let Images::Window { buffer, part, split } = &self.images else { return };
        let size = self.shape.elements() as usize;
        let slots = records.iter().map(|record| record.part * part + record.count).max();
        let mut bytes = vec![0; (slots.unwrap_or(0) as usize * size).next_multiple_of(4)];
        for record in records {
            let order = random::random_key(record.seed(), record.epoch, random::SHUFFLE);
            for image in 0..record.count {
                let place = record.position + image;
                let source = match shuffle {
                    true => random::permute(place, record.epoch_images, order),
                    false => place,
                } as usize;
                let source =
                    self.drawn.as_ref().map_or(source, |drawn| drawn.numbers[source] as usize);
                let slot = (record.part * part + image) as usize;
                bytes[slot * size..][..size]
                    .copy_from_slice(&split.images[source * size..][..size]);
            }
        }
        gpu.write(buffer, 0, &bytes);
    }
}

/// Numbers of images with every class as often as the largest one: its images in turns.
pub fn balanced(labels: &[u32]) -> Vec<u32> {
    let mut classes = std::collections::BTreeMap::<u32, Vec<u32>>::new();
    for (number, &label) in (0..).zip(labels) {
        classes.entry(label).or_default().push(number);
    }
    let largest = classes.values().map(Vec::len).max().unwrap_or(0);
    (0..largest).flat_map(|turn| classes.values().map(move |own| own[turn % own.len()])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_balanced_in_turns() {
        assert_eq!(balanced(&[7, 7, 2, 7, 5, 5]), [2, 4, 0, 2, 5, 1, 2, 4, 3]);
        assert_eq!(balanced(&[1, 0]), [1, 0]);
        assert!(balanced(&[]).is_empty());
    }
}
