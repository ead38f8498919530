//! Launcher of `shaders/multiply.wgsl`.

use super::common::{ELEMENTWISE, ImageRange, grid, moved};
use crate::{
    config::Shape,
    gpu::{Binding, Launch, Launcher},
    layout::groups,
    shaders::Specialization,
    storage::Storage,
};

/// output = scale · left · right.
#[derive(Clone, Copy, Debug)]
pub struct Multiply<'a> {
    /// Images to work on.
    pub images: ImageRange<'a>,
    /// [image, pixel, channel / 4].
    pub left: Binding<'a>,
    /// As `left`, or [image, channel / 4].
    pub right: Binding<'a>,
    /// As `left`.
    pub output: Binding<'a>,
    /// Of `left`.
    pub shape: Shape,
    /// Whether `right` has one pixel, which meets all of `left`'s.
    pub broadcast: bool,
    /// Whether baselines' values of `right` are added to the images', behind which they are.
    pub twins: bool,
    /// A factor on the product.
    pub scale: f32,
    /// Formats of `left`, of `right` (the state), and of the output.
    pub storage: Storage,
}

impl Launcher for Multiply<'_> {
    fn launch(&self) -> Launch<'_> {
        let specialization = Specialization::new()
            .feature("broadcast", self.broadcast)
            .feature("twins", self.twins)
            .constant("PIXELS", self.shape.pixels())
            .constant("GROUPS", groups(self.shape.channels))
            .constant("SCALE", self.scale);
        let elements = self.shape.pixels() * groups(self.shape.channels);
        Launch::new("multiply", self.storage.specialize(specialization))
            .bind("images", self.images)
            .bind("left", self.left)
            .bind("right", self.right)
            .bind("output", self.output)
            .over(grid((self.images.most * elements).div_ceil(ELEMENTWISE)))
            .doing(moved(self.images, 3 * elements, self.storage.output))
    }
}
