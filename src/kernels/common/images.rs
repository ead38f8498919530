//! The range of images of a dispatch within its buffers.

use crate::gpu::Binding;

/// The images of a dispatch: a range inside the buffers, which only the GPU knows, and an upper
/// bound of its length.
#[derive(Clone, Copy, Debug)]
pub struct ImageRange<'a> {
    /// A record of `first, count, batch, accumulate` (shaders/common/images.wgsl).
    pub binding: Binding<'a>,
    /// Upper bound of `count`, which determines the size of dispatches.
    pub most: u32,
}

impl<'a> From<ImageRange<'a>> for Binding<'a> {
    fn from(range: ImageRange<'a>) -> Binding<'a> {
        range.binding
    }
}
