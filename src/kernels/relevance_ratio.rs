//! Launcher of `shaders/relevance_ratio.wgsl`.

use super::common::{ELEMENTWISE, ImageRange, grid, moved};
use crate::{
    gpu::{Binding, Launch, Launcher},
    shaders::Specialization,
    storage::Format,
};

/// multiplier ← multiplier·output/(input ± ε), in place.
#[derive(Clone, Copy, Debug)]
pub struct RelevanceRatio<'a> {
    /// Images to work on.
    pub images: ImageRange<'a>,
    /// Input, [image, element] groups of 4.
    pub input: Binding<'a>,
    /// Output, in the same layout.
    pub output: Binding<'a>,
    /// As the output.
    pub multiplier: Binding<'a>,
    /// Groups of 4 values per image.
    pub elements: u32,
}

impl Launcher for RelevanceRatio<'_> {
    fn launch(&self) -> Launch<'_> {
        let specialization = Specialization::new().constant("ELEMENTS", self.elements);
        Launch::new("relevance_ratio", specialization)
            .bind("images", self.images)
            .bind("input", self.input)
            .bind("output", self.output)
            .bind("multiplier", self.multiplier)
            .over(grid((self.images.most * self.elements).div_ceil(ELEMENTWISE)))
            .doing(moved(self.images, 4 * self.elements, Format::F32))
    }
}
