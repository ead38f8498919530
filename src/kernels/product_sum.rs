//! Launcher of `shaders/product_sum.wgsl`.

use super::common::{ELEMENTWISE, ImageRange, grid, moved};
use crate::{
    config::Shape,
    gpu::{Binding, Launch, Launcher},
    layout::groups,
    shaders::Specialization,
    storage::Storage,
};

/// output = scale · Σ left · right, over the pixels of an image.
#[derive(Clone, Copy, Debug)]
pub struct ProductSum<'a> {
    /// Images to work on.
    pub images: ImageRange<'a>,
    /// [image, pixel, channel / 4].
    pub left: Binding<'a>,
    /// As `left`.
    pub right: Binding<'a>,
    /// [image, channel / 4].
    pub output: Binding<'a>,
    /// Of `left`.
    pub shape: Shape,
    /// Whether baselines' values of `right` are added to the images', behind which they are.
    pub twins: bool,
    /// A factor on the sum.
    pub scale: f32,
    /// Formats of `left`, of `right` (the state), and of the output.
    pub storage: Storage,
}

impl Launcher for ProductSum<'_> {
    fn launch(&self) -> Launch<'_> {
        let per_image = groups(self.shape.channels);
        let specialization = Specialization::new()
            .feature("twins", self.twins)
            .constant("PIXELS", self.shape.pixels())
            .constant("GROUPS", per_image)
            .constant("SCALE", self.scale);
        let moves = (2 * self.shape.pixels() + 1) * per_image;
        Launch::new("product_sum", self.storage.specialize(specialization))
            .bind("images", self.images)
            .bind("left", self.left)
            .bind("right", self.right)
            .bind("output", self.output)
            .over(grid((self.images.most * per_image).div_ceil(ELEMENTWISE)))
            .looping(self.shape.pixels().into())
            .doing(moved(self.images, moves, self.storage.output))
    }
}
