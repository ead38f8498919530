//! Which of the images in its buffers a dispatch works on.

use crate::gpu::Binding;

/// The images a dispatch works on: a range inside the buffers, known to the GPU alone, and the most
/// it can be.
#[derive(Clone, Copy, Debug)]
pub struct ImageRange<'a> {
    /// A record of `first, count, batch, accumulate` (shaders/common/images.wgsl).
    pub binding: Binding<'a>,
    /// Upper bound of `count`; dispatches are as large as it needs.
    pub most: u32,
}

impl<'a> From<ImageRange<'a>> for Binding<'a> {
    fn from(range: ImageRange<'a>) -> Binding<'a> {
        range.binding
    }
}
