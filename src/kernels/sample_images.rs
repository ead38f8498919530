//! Launcher of `shaders/sample_images.wgsl`.

use super::common::{Sampling, elements, picture};
use crate::{
    config::Shape,
    gpu::{Buffer, Launch, Launcher},
};

/// The samples of a chunk in an attribution method.
#[derive(Clone, Copy, Debug)]
pub struct SampleImages<'a> {
    /// The chunk's record.
    pub current: &'a Buffer,
    /// Images of the set, [image, row, column, channel / 4].
    pub pixels: &'a Buffer,
    /// The class of each image, one word each.
    pub classes: &'a Buffer,
    /// Keys of random numbers, one word per image.
    pub numbers: &'a Buffer,
    /// Baselines, in the layout of the images.
    pub baselines: &'a Buffer,
    /// `[image]` (min, max, …) if there is noise, `[sample]` (position, …) on a path.
    pub table: &'a Buffer,
    /// Images of the chunk, in the layout of the set.
    pub samples: &'a Buffer,
    /// The class of each sample, one word each.
    pub sample_classes: &'a Buffer,
    /// Shape of an image.
    pub shape: Shape,
    /// How samples are made.
    pub sampling: Sampling,
    /// Whether every sample's baseline is written behind the chunk's images.
    pub twins: bool,
    /// Largest number of samples of the chunk.
    pub slots: u32,
    /// Invocations of a workgroup.
    pub lanes: u32,
}

impl Launcher for SampleImages<'_> {
    fn launch(&self) -> Launch<'_> {
        let specialization = picture(self.lanes, self.shape)
            .constant("KIND", self.sampling.number())
            .constant("TWINS", u32::from(self.twins));
        let specialization = match self.sampling {
            Sampling::Clean | Sampling::OnPath => specialization,
            Sampling::Noisy { noise } | Sampling::OnRandomPath { noise } => {
                specialization.constant("NOISE", noise)
            }
            Sampling::Hidden(hiding) => hiding.specialize(specialization),
        };
        Launch::new("sample_images", specialization)
            .bind("current", self.current)
            .bind("pixels", self.pixels)
            .bind("classes", self.classes)
            .bind("numbers", self.numbers)
            .bind("baselines", self.baselines)
            .bind("table", self.table)
            .bind("samples", self.samples)
            .bind("sample_classes", self.sample_classes)
            .over([elements(self.shape).div_ceil(self.lanes), self.slots, 1])
    }
}
