//! Passes over maps alone: values of many images in buffers, a part at a time.

use crate::{
    Error, Result,
    config::Shape,
    gpu::{Buffer, Gpu},
    kernels::ImageRange,
    layout::ImagesRange,
};

/// Images of a part of a pass over maps.
pub(super) const PART: u32 = 256;

/// How many images `maps` holds.
///
/// # Errors
/// [`Error::Data`] where it is no whole number of maps of `shape`.
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

/// The images of a part, written by the host.
pub(super) struct Part {
    range: Buffer,
    /// Images at most.
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
