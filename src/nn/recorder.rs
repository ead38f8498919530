//! Where the dispatches of a pass go, and what all of them share.

use super::TileTable;
use crate::{
    Result,
    gpu::{Binding, Buffer, Gpu, Launcher, Recording},
    kernels::ImageRange,
    storage::Format,
};

/// A pass that is being recorded.
pub(super) struct Recorder<'a> {
    pub gpu: &'a Gpu,
    pub recording: &'a mut Recording,
    pub images: ImageRange<'a>,
    /// Where the range's image 0 is in the buffers of activations; gradients of a chunk start with
    /// it.
    pub slot: u32,
    /// The flat parameters.
    pub parameters: &'a Buffer,
    pub tiles: &'a TileTable,
}

impl Recorder<'_> {
    /// Adds a dispatch.
    pub fn add(&mut self, label: impl Into<String>, launcher: &impl Launcher) -> Result<()> {
        launcher.record(self.gpu, self.recording, label)
    }

    /// A buffer with `elements` groups of 4 values an image, from the pass's first image on.
    pub fn at<'b>(&self, buffer: &'b Buffer, elements: u32, format: Format) -> Binding<'b> {
        self.at_bytes(buffer, format.group_bytes() as u32 * elements)
    }

    /// As [`Self::at`], with `bytes` an image.
    pub fn at_bytes<'b>(&self, buffer: &'b Buffer, bytes: u32) -> Binding<'b> {
        let offset = u64::from(self.slot) * u64::from(bytes);
        if offset == 0 { buffer.into() } else { buffer.range(offset, buffer.size() - offset) }
    }
}
