//! Sizes of a pool.

use crate::{
    config::{AveragePool, MaxPool, Shape},
    layout::groups,
    shaders::Specialization,
};

/// A pool of square windows from shape to shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolShape {
    /// Shape of the input.
    pub input: Shape,
    /// Output, in the same layout.
    pub output: Shape,
    /// Height and width of a window.
    pub kernel: u32,
    /// Stride between windows.
    pub stride: u32,
    /// Rows and columns in front of the image.
    pub padding: u32,
}

impl PoolShape {
    /// The windows of `pool`.
    pub fn of_maxima(input: Shape, output: Shape, pool: MaxPool) -> PoolShape {
        let MaxPool { kernel, stride, padding, .. } = pool;
        PoolShape { input, output, kernel, stride, padding }
    }

    /// Groups of 4 input values per image.
    pub(in crate::kernels) fn input_elements(self) -> u32 {
        self.input.pixels() * groups(self.input.channels)
    }

    /// Groups of 4 output values per image.
    pub(in crate::kernels) fn output_elements(self) -> u32 {
        self.output.pixels() * groups(self.output.channels)
    }

    /// Largest number of windows per axis that contain a pixel.
    pub(in crate::kernels) fn windows(self) -> u32 {
        self.kernel.div_ceil(self.stride)
    }

    /// The constants of its kernels.
    pub(in crate::kernels) fn constants(self) -> Specialization {
        Specialization::new()
            .constant("IN_HEIGHT", self.input.height)
            .constant("IN_WIDTH", self.input.width)
            .constant("GROUPS", groups(self.input.channels))
            .constant("OUT_HEIGHT", self.output.height)
            .constant("OUT_WIDTH", self.output.width)
            .constant("KERNEL", self.kernel)
            .constant("STRIDE", self.stride)
            .constant("PADDING", self.padding)
    }
}

/// An average-pool from shape to shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AveragePoolShape {
    /// Shape of the input.
    pub input: Shape,
    /// Output, in the same layout.
    pub output: Shape,
    /// The windows.
    pub pool: AveragePool,
}

impl AveragePoolShape {
    /// The sizes that all pools have.
    pub(in crate::kernels) fn windows(self) -> PoolShape {
        let AveragePoolShape { input, output, pool: AveragePool { kernel, stride, padding, .. } } =
            self;
        PoolShape { input, output, kernel, stride, padding }
    }

    /// The constants of its kernels.
    pub(in crate::kernels) fn constants(self) -> Specialization {
        self.windows()
            .constants()
            .constant("COUNTS_PADDING", u32::from(self.pool.count_include_pad))
    }
}
