//! Sizes of convolutions over sets of channels, and of depthwise ones.

use super::{Geometry, flat_workgroups, linked_window};
use crate::{
    config::{Shape, Window},
    layout::{GROUP, groups},
    shaders::Specialization,
};

/// Invocations of a workgroup that takes one image's sums one by one.
const LANES: u32 = 64;

/// A convolution over sets of channels (PyTorch's groups).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupedShape {
    /// What goes in.
    pub input: Shape,
    /// What comes out.
    pub output: Shape,
    /// Its windows.
    pub window: Window,
    /// Sets of channels that are convolved on their own.
    pub sets: u32,
}

impl GroupedShape {
    /// Channels of a set: inputs and outputs.
    pub fn set_channels(self) -> [u32; 2] {
        [self.input.channels / self.sets, self.output.channels / self.sets]
    }

    /// Whether the outputs of every group of 4 are in one set.
    pub(in crate::kernels) fn has_one_set(self) -> bool {
        self.sets == 1 || self.has_whole_groups()
    }

    /// Whether the outputs of a set are whole groups of 4.
    pub(in crate::kernels) fn has_whole_groups(self) -> bool {
        let [_, outputs] = self.set_channels();
        outputs.is_multiple_of(GROUP)
    }

    /// Groups of 4 numbers in a part of the weight gradient.
    pub fn part_elements(self) -> u32 {
        let [inputs, _] = self.set_channels();
        (self.window.taps() * inputs + 1) * groups(self.output.channels)
    }

    /// The constants of its kernels.
    pub(in crate::kernels) fn constants(self) -> Specialization {
        let [inputs, outputs] = self.set_channels();
        Geometry::convolution(self.input, self.output, self.window)
            .windows(Specialization::new().tile("LANES", LANES))
            .constant("SETS", self.sets)
            .constant("SET_INPUTS", inputs)
            .constant("SET_OUTPUTS", outputs)
    }

    /// Workgroups for `elements` of each of `count` images or parts.
    pub fn workgroups(count: u32, elements: u32) -> [u32; 3] {
        flat_workgroups(u64::from(count) * u64::from(elements), LANES)
    }
}

/// Register tiles of depthwise convolutions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DepthwiseTiles {
    /// Invocations of a workgroup.
    pub lanes: u32,
    /// Rows that an invocation goes down.
    pub rows: u32,
    /// Pixels of a row; of an input's gradient a multiple of the stride.
    pub columns: u32,
}

impl DepthwiseTiles {
    /// The constants of a kernel over `geometry`. Rows are left to one another where their taps are
    /// neighbours.
    pub(in crate::kernels) fn constants(self, geometry: Geometry) -> Specialization {
        let window = geometry.window;
        let is_close = window.dilation[0] == 1 && geometry.spacing[0] == 1;
        let [height, _] = window.kernel;
        let fresh = if is_close { window.stride[0].min(height) } else { height };
        let ([in_height, in_width, groups], [out_height, out_width, _]) =
            (geometry.input, geometry.output);
        linked_window(Specialization::new(), window)
            .tile("COLUMNS", self.columns)
            .tile("LANES", self.lanes)
            .tile("FRESH", fresh)
            .constant("IN_HEIGHT", in_height)
            .constant("IN_WIDTH", in_width)
            .constant("OUT_HEIGHT", out_height)
            .constant("OUT_WIDTH", out_width)
            .constant("GROUPS", groups)
            .constant("ROWS", self.rows)
    }

    /// Workgroups for strips of `images` of `geometry`'s output.
    pub(in crate::kernels) fn workgroups(self, images: u32, geometry: Geometry) -> [u32; 3] {
        let [height, width, groups] = geometry.output;
        let strips = height.div_ceil(self.rows) * width.div_ceil(self.columns) * groups;
        flat_workgroups(u64::from(images) * u64::from(strips), self.lanes)
    }
}
