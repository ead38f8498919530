//! A data set in GPU memory, as bytes.

use crate::{
    Result,
    config::Shape,
    data::Split,
    gpu::{Buffer, Gpu},
};

/// Images and labels of one split, uploaded once.
pub struct ResidentData {
    /// Bytes, [image, channel, row, column], four per word.
    pub images: Buffer,
    /// One word per image.
    pub labels: Buffer,
    /// Shape of one image.
    pub shape: Shape,
    /// Number of images.
    pub count: u32,
}

impl ResidentData {
    /// Uploads `split`.
    ///
    /// # Errors
    /// [`crate::Error::OutOfMemory`] if it exceeds the adapter's largest binding; `--train-limit`
    /// makes it smaller.
    pub fn new(gpu: &Gpu, split: &Split, shape: Shape) -> Result<ResidentData> {
        let labels: Vec<u32> = split.labels.clone();
        Ok(ResidentData {
            images: gpu.upload("data set", &split.images)?,
            labels: gpu.upload("labels", &labels)?,
            shape,
            count: split.labels.len() as u32,
        })
    }

    /// The first `count` images, in the same memory.
    pub fn first(&self, count: u32) -> ResidentData {
        ResidentData {
            images: self.images.clone(),
            labels: self.labels.clone(),
            shape: self.shape,
            count: self.count.min(count),
        }
    }
}
