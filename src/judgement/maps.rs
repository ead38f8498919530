//! Passes over maps without a network: values of many images in buffers, one part at a time.

use crate::{
    Error, Result,
    config::Shape,
    gpu::{Buffer, Gpu},
    kernels::ImageRange,
    layout::ImagesRange,
};

/// Images per part of a pass over maps.
pub(super) const PART: u32 = 256;

/// The number of images in `maps`.
///
/// # Errors
/// [`Error::Data`] if the length is not a multiple of a map of `shape`.
pub(super) fn images_of(maps: &[f32], shape: Shape) -> Result<u32> {
    let size = shape.elements() as usize;
    if size == 0 || !maps.len().is_multiple_of(size) {
        return Err(Error::Data(format!(
            "{} values are not maps of {size} values each",
            maps.len()
        )));
    }
    Ok((maps.len() / size) as u32)
}

/// The images of a part, which the host writes.
pub(super) struct Part {
    range: Buffer,
    /// Largest number of images.
    pub most: u32,
}

impl Part {
    pub fn new(gpu: &Gpu, most: u32) -> Result<Part> {
        Ok(Part { range: gpu.uniform("image range", size_of::<ImagesRange>() as u64)?, most })
    }

    pub fn range(&self) -> ImageRange<'_> {
        ImageRange { binding: (&self.range).into(), most: self.most }
    }

    pub fn set(&self, gpu: &Gpu, count: u32) {
        gpu.write(&self.range, 0, &[ImagesRange { first: 0, count, batch: count, accumulate: 0 }]);
    }
}
