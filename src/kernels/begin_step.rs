//! Launcher of `shaders/begin_step.wgsl`.

use crate::{
    gpu::{Buffer, Launch, Launcher},
    shaders::Specialization,
};

/// Advances to the next entry of the table of steps, and writes its ranges of images.
#[derive(Clone, Copy, Debug)]
pub struct BeginStep<'a> {
    /// Records of steps.
    pub table: &'a Buffer,
    /// Index of the next entry, one word.
    pub cursor: &'a Buffer,
    /// The current entry.
    pub current: &'a Buffer,
    /// Four ranges of images, then two per chunk, `layout::RANGE_STRIDE` bytes apart.
    pub ranges: &'a Buffer,
    /// Whether images have masked copies.
    pub twins: bool,
    /// Images per chunk.
    pub chunk: u32,
    /// Number of chunks of a backward pass; 0 if there are no ranges of chunks.
    pub chunks: u32,
}

impl Launcher for BeginStep<'_> {
    fn launch(&self) -> Launch<'_> {
        let specialization = Specialization::new()
            .constant("SGT", u32::from(self.twins))
            .constant("CHUNK", self.chunk)
            .constant("CHUNKS", self.chunks);
        Launch::new("begin_step", specialization)
            .bind("table", self.table)
            .bind("cursor", self.cursor)
            .bind("current", self.current)
            .bind("ranges", self.ranges)
    }
}
