//! Launcher of `shaders/average_pool.wgsl`.

use super::common::{AveragePoolShape, ELEMENTWISE, ImageRange, grid, moved};
use crate::{
    gpu::{Binding, Launch, Launcher},
    storage::{Format, Storage},
};

/// The value of an integer n: scale · (n − zero).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AverageOfIntegers {
    /// Value of one unit.
    pub scale: f32,
    /// The integer that stands for 0.
    pub zero: f32,
}

/// The mean of every window.
#[derive(Clone, Copy, Debug)]
pub struct AveragePool<'a> {
    /// Images to work on.
    pub images: ImageRange<'a>,
    /// [image, row, column, channel / 4].
    pub input: Binding<'a>,
    /// [image, row, column, channel / 4].
    pub output: Binding<'a>,
    /// Sizes.
    pub shape: AveragePoolShape,
    /// The values of the input's numbers, used if they are integers.
    pub integers: AverageOfIntegers,
    /// Formats of input and output.
    pub storage: Storage,
}

impl Launcher for AveragePool<'_> {
    fn launch(&self) -> Launch<'_> {
        let elements = self.shape.windows().output_elements();
        // Rows of a window, and their pixels.
        let [rows, columns] = self.shape.pool.window.kernel.map(u64::from);
        let iterations = rows * (1 + columns);
        let moves = self.shape.windows().input_elements() + elements;
        let mut specialization = self.shape.constants();
        if matches!(self.storage.input, Format::U8 | Format::I8) {
            specialization = specialization
                .constant("CHANNELS", self.shape.input.channels)
                .constant("SCALE", self.integers.scale)
                .constant("ZERO", self.integers.zero);
        }
        Launch::new("average_pool", self.storage.specialize(specialization))
            .bind("images", self.images)
            .bind("input", self.input)
            .bind("output", self.output)
            .over(grid((self.images.most * elements).div_ceil(ELEMENTWISE)))
            .looping(iterations)
            .doing(moved(self.images, moves, self.storage.output))
    }
}
