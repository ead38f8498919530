//! The images of a backward pass, in chunks.

use crate::kernels::ImageRange;

/// The images of a backward pass: the whole range, and the chunks that the pass goes through.
#[derive(Clone)]
pub struct Chunked<'a> {
    /// All images.
    pub whole: ImageRange<'a>,
    /// Images per chunk; the last chunk may have fewer. With several chunks it is a multiple of 64.
    pub size: u32,
    /// The images of each chunk, counted from its first.
    pub chunks: Vec<ImageRange<'a>>,
}

impl<'a> From<ImageRange<'a>> for Chunked<'a> {
    /// The whole range as one chunk.
    fn from(whole: ImageRange<'a>) -> Self {
        Chunked { whole, size: whole.most, chunks: vec![whole] }
    }
}
