//! Sizes of a pool.

use crate::{
    config::{AveragePool, MaxPool, Shape, Window},
    layout::groups,
    shaders::Specialization,
};

/// A pool from shape to shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolShape {
    /// Shape of the input.
    pub input: Shape,
    /// Output, in the same layout.
    pub output: Shape,
    /// The windows, whose taps are neighbours.
    pub window: Window,
}

impl PoolShape {
    /// The windows of `pool`.
    pub fn of_maxima(input: Shape, output: Shape, pool: MaxPool) -> PoolShape {
        PoolShape { input, output, window: pool.window }
    }

    /// Groups of 4 input values per image.
    pub(in crate::kernels) fn input_elements(self) -> u32 {
        self.input.pixels() * groups(self.input.channels)
    }

    /// Groups of 4 output values per image.
    pub(in crate::kernels) fn output_elements(self) -> u32 {
        self.output.pixels() * groups(self.output.channels)
    }

    /// `specialization` with the largest number of windows per axis that contain a pixel.
    pub(in crate::kernels) fn overlaps(self, specialization: Specialization) -> Specialization {
        let [rows, columns] = self.window.overlaps();
        specialization.tile("WINDOWS_Y", rows).tile("WINDOWS_X", columns)
    }

    /// The constants of its kernels.
    pub(in crate::kernels) fn constants(self) -> Specialization {
        self.places().constant("KERNEL_HEIGHT", self.window.kernel[0])
    }

    /// The constants of a kernel that goes by positions in windows.
    pub(in crate::kernels) fn places(self) -> Specialization {
        let Window { kernel, stride, padding: [top, left, ..], .. } = self.window;
        Specialization::new()
            .constant("IN_HEIGHT", self.input.height)
            .constant("IN_WIDTH", self.input.width)
            .constant("GROUPS", groups(self.input.channels))
            .constant("OUT_HEIGHT", self.output.height)
            .constant("OUT_WIDTH", self.output.width)
            .constant("KERNEL_WIDTH", kernel[1])
            .constant("STRIDE_Y", stride[0])
            .constant("STRIDE_X", stride[1])
            .constant("TOP", top)
            .constant("LEFT", left)
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
        let AveragePoolShape { input, output, pool } = self;
        PoolShape { input, output, window: pool.window }
    }

    /// The constants of its kernels.
    pub(in crate::kernels) fn constants(self) -> Specialization {
        let [.., bottom, right] = self.pool.window.padding;
        self.windows()
            .constants()
            .constant("BOTTOM", bottom)
            .constant("RIGHT", right)
            .constant("COUNTS_PADDING", u32::from(self.pool.count_include_pad))
    }
}
