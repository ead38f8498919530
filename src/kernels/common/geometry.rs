//! Sizes of weighted layers as constants of their kernels.

use crate::{
    config::{Shape, Window},
    layout::{GROUP, groups},
    shaders::Specialization,
};

/// Number of real channels in the groups of a tensor of `channels`; fewer than 4 only if there is a
/// single group.
fn depth(channels: u32) -> u32 {
    channels.min(GROUP)
}

/// The constants that tell kernels of a window.
fn axes(window: Window) -> [(&'static str, u32); 8] {
    let Window { kernel, stride, dilation, padding: [top, left, ..] } = window;
    [
        ("KERNEL_HEIGHT", kernel[0]),
        ("KERNEL_WIDTH", kernel[1]),
        ("STRIDE_Y", stride[0]),
        ("STRIDE_X", stride[1]),
        ("DILATION_Y", dilation[0]),
        ("DILATION_X", dilation[1]),
        ("TOP", top),
        ("LEFT", left),
    ]
}

/// `specialization` with the constants of `window`, which are known when kernels are linked.
pub(in crate::kernels) fn linked_window(
    specialization: Specialization,
    window: Window,
) -> Specialization {
    axes(window).into_iter().fold(specialization, |own, (name, size)| own.tile(name, size))
}

/// The position of a max-pool of 2 × 2 windows that is part of the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pooling {
    /// No max-pool.
    #[default]
    None,
    /// Behind the layer; the output consists of windows.
    Output,
    /// In front of the gradient; the input consists of gradients of windows.
    Input,
}

/// Sizes of a weighted layer as its kernels see it: images are [height, width, groups]. Behind a
/// max-pool that is part of the layer, the sizes are those of the pixels that its windows cover.
#[derive(Clone, Copy, Debug)]
pub struct Geometry {
    /// Sizes of an image that is read.
    pub input: [u32; 3],
    /// Sizes of an image that is written.
    pub output: [u32; 3],
    /// Of the filter; the padding below and to the right follows from the sizes.
    pub window: Window,
    /// Real channels of an input group.
    pub depth: u32,
    /// Distance between the pixels of the input along each axis; 1 except for mirrored
    /// convolutions.
    pub spacing: [u32; 2],
    /// The position of a max-pool that is part of the layer.
    pub pooling: Pooling,
}

impl Geometry {
    /// A convolution of all channels between two shapes.
    pub fn convolution(input: Shape, output: Shape, window: impl Into<Window>) -> Self {
        let size = |shape: Shape| [shape.height, shape.width, groups(shape.channels)];
        let [input_size, output] = [size(input), size(output)];
        Geometry {
            input: input_size,
            output,
            window: window.into(),
            depth: depth(input.channels),
            spacing: [1; 2],
            pooling: Pooling::None,
        }
    }

    /// A fully connected layer is a convolution of one pixel by one tap.
    pub fn fully_connected(in_groups: u32, out_groups: u32) -> Self {
        let (input, output) = ([1, 1, in_groups], [1, 1, out_groups]);
        Geometry {
            input,
            output,
            window: [1, 1, 0].into(),
            depth: GROUP,
            spacing: [1; 2],
            pooling: Pooling::None,
        }
    }

    /// The same with a max-pool of 2 × 2 windows behind it that is part of the kernel.
    #[must_use]
    pub fn pooled(self) -> Self {
        let [height, width, groups] = self.output;
        Geometry { output: [2 * height, 2 * width, groups], pooling: Pooling::Output, ..self }
    }

    /// The convolution of the output's gradient that gives the input's.
    pub fn mirrored(self, out_channels: u32) -> Self {
        let Window { kernel, stride, dilation, padding } = self.window;
        let [height, width] = self.window.extent();
        let [top, left, bottom, right] = padding;
        let padding = [height - 1 - top, width - 1 - left, height - 1 - bottom, width - 1 - right];
        let pooling = if self.pooling == Pooling::Output { Pooling::Input } else { Pooling::None };
        let window = Window { kernel, stride: [1; 2], dilation, padding };
        Geometry {
            input: self.output,
            output: self.input,
            window,
            depth: depth(out_channels),
            spacing: stride,
            pooling,
        }
    }

    /// Height and width of `pixels`, in windows where `pooled`.
    fn stored([height, width, _]: [u32; 3], pooled: bool) -> [u32; 2] {
        if pooled { [height / 2, width / 2] } else { [height, width] }
    }

    /// Pixels of the output.
    pub fn pixels(self) -> u32 {
        self.output[0] * self.output[1]
    }

    /// Number of groups of inputs that are summed for an output.
    pub fn inner(self) -> u32 {
        self.window.taps() * self.input[2]
    }

    /// `specialization` with the sizes of what is stored: windows behind a max-pool.
    pub(in crate::kernels) fn sizes(self, specialization: Specialization) -> Specialization {
        let [in_height, in_width] = Geometry::stored(self.input, self.pooling == Pooling::Input);
        let [out_height, out_width] =
            Geometry::stored(self.output, self.pooling == Pooling::Output);
        specialization
            .constant("IN_HEIGHT", in_height)
            .constant("IN_WIDTH", in_width)
            .constant("IN_GROUPS", self.input[2])
            .constant("OUT_HEIGHT", out_height)
            .constant("OUT_WIDTH", out_width)
            .constant("OUT_GROUPS", self.output[2])
    }

    /// As [`Self::sizes`], with the filter.
    pub(in crate::kernels) fn windows(self, specialization: Specialization) -> Specialization {
        let constants = axes(self.window).into_iter();
        constants.fold(self.sizes(specialization), |own, (name, size)| own.constant(name, size))
    }
}
