//! Launcher of `shaders/dropout.wgsl`.

use super::common::ImageRange;
use crate::{
    gpu::{Binding, Buffer, Launch, Launcher},
    shaders::Specialization,
    storage::{Format, Storage},
};

/// Inverted dropout of values, or of their gradient, in place.
#[derive(Clone, Copy, Debug)]
pub struct Dropout<'a> {
    /// Images to work on, as a chunk's record.
    pub chunk: ImageRange<'a>,
    /// The current step's record, the key of the random numbers.
    pub current: &'a Buffer,
    /// [image, element] groups of 4.
    pub values: Binding<'a>,
    /// Groups of 4 values per image.
    pub elements: u32,
    /// Number of the layer's random stream.
    pub stream: u32,
    /// Probability of zeroing an element.
    pub rate: f32,
    /// Format of the values.
    pub format: Format,
    /// Invocations of a workgroup.
    pub lanes: u32,
}

impl Launcher for Dropout<'_> {
    fn launch(&self) -> Launch<'_> {
        let specialization = Specialization::new()
            .tile("LANES", self.lanes)
            .constant("ELEMENTS", self.elements)
            .constant("LAYER", self.stream)
            .constant("RATE", f64::from(self.rate));
        let storage = Storage::new(Format::F32, self.format);
        Launch::new("dropout", storage.specialize(specialization))
            .bind("chunk", self.chunk)
            .bind("current", self.current)
            .bind("values", self.values)
            .over([self.elements.div_ceil(self.lanes), self.chunk.most, 1])
    }
}
