//! The images of a backward pass, in chunks.

use crate::kernels::ImageRange;

/// The images of a backward pass: all of them, and as the chunks that it goes through.
#[derive(Clone)]
pub struct Chunked<'a> {
    /// All images.
    pub whole: ImageRange<'a>,
    /// Images of a chunk, the last one's may be fewer. With several chunks a multiple of 64.
    pub size: u32,
    /// Each chunk's images, counted from its first.
    pub chunks: Vec<ImageRange<'a>>,
}

impl<'a> From<ImageRange<'a>> for Chunked<'a> {
    /// All in one chunk.
    fn from(whole: ImageRange<'a>) -> Self {
        Chunked { whole, size: whole.most, chunks: vec![whole] }
    }
}
