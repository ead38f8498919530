//! Launcher of `shaders/add.wgsl`.

use super::common::{ELEMENTWISE, ImageRange, activated, grid, moved};
use crate::{
    gpu::{Binding, Launch, Launcher},
    quant::ActivationPlan,
    shaders::Specialization,
    storage::Storage,
};

/// The sum of two values of one shape: output = activate(left + right), or output += left.
#[derive(Clone, Copy, Debug)]
pub struct Add<'a> {
    /// Images to work on.
    pub images: ImageRange<'a>,
    /// [image, element] groups of 4.
    pub left: Binding<'a>,
    /// What it is added to, as `left`; what the output holds where it is absent.
    pub right: Option<Binding<'a>>,
    /// As `left`.
    pub output: Binding<'a>,
    /// The sum, kept where the activation learns.
    pub pre_activation: Option<Binding<'a>>,
    /// The flat parameters, read if the activation has a learned parameter.
    pub parameters: Binding<'a>,
    /// Groups of 4 values per image.
    pub elements: u32,
    /// What is applied to the sum.
    pub activation: ActivationPlan,
    /// Formats of `left`, of `right` (the state), and of the output.
    pub storage: Storage,
}

impl Launcher for Add<'_> {
    fn launch(&self) -> Launch<'_> {
        let specialization = Specialization::new()
            .feature("right", self.right.is_some())
            .constant("ELEMENTS", self.elements);
        let specialization = self.storage.specialize(activated(specialization, self.activation));
        let learns = self.activation.is_pact();
        Launch::new("add", specialization)
            .bind("images", self.images)
            .bind("left", self.left)
            .bind_some("right", self.right)
            .bind("output", self.output)
            .bind_some("pre_activation", self.pre_activation.filter(|_| learns))
            .bind_some("parameters", learns.then_some(self.parameters))
            .over(grid((self.images.most * self.elements).div_ceil(ELEMENTWISE)))
            .doing(moved(self.images, 3 * self.elements, self.storage.output))
    }
}

/// The sum of two values of integer inference: x = left·multiplier + (right·multiplier + offset) in
/// units of the output, then its level.
#[derive(Clone, Copy, Debug)]
pub struct RequantizedAdd<'a> {
    /// Images to work on.
    pub images: ImageRange<'a>,
    /// [image, pixel, channel / 4].
    pub left: Binding<'a>,
    /// As `left`.
    pub right: Binding<'a>,
    /// As `left`.
    pub output: Binding<'a>,
    /// Groups of 4 values an image.
    pub elements: u32,
    /// Real channels.
    pub channels: u32,
    /// Factors on `left` and `right`.
    pub multipliers: [f32; 2],
    /// Added to both.
    pub offset: f32,
    /// Ends of the output's range.
    pub range: [f32; 2],
    /// Formats of `left`, of `right` (the state), and of the output.
    pub storage: Storage,
}

impl Launcher for RequantizedAdd<'_> {
    fn launch(&self) -> Launch<'_> {
        let ([left, right], [lowest, highest]) = (self.multipliers, self.range);
        let specialization = Specialization::new()
            .feature("right", true)
            .feature("requantized", true)
            .constant("ELEMENTS", self.elements)
            .constant("CHANNELS", self.channels)
            .constant("LEFT_MULTIPLIER", left)
            .constant("RIGHT_MULTIPLIER", right)
            .constant("OFFSET", self.offset)
            .constant("LOWEST", lowest)
            .constant("HIGHEST", highest);
        Launch::new("add", self.storage.specialize(specialization))
            .bind("images", self.images)
            .bind("left", self.left)
            .bind("right", self.right)
            .bind("output", self.output)
            .over(grid((self.images.most * self.elements).div_ceil(ELEMENTWISE)))
            .doing(moved(self.images, 3 * self.elements, self.storage.output))
    }
}
