//! Sizes of a layer's weights and their place in the flat parameters.

use crate::{layout::padded, shaders::Specialization};

/// Weights `[out, in, tap]` and a bias `[out]` in the flat array of parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WeightShape {
    /// Output channels.
    pub out_channels: u32,
    /// Input channels.
    pub in_channels: u32,
    /// Number of filter taps: kernel², or the number of input pixels of a fully connected layer.
    pub taps: u32,
    /// Index of the first weight.
    pub weight_index: u32,
    /// Index of the first bias.
    pub bias_index: u32,
}

impl WeightShape {
    /// Number of weights per output channel.
    pub fn fan_in(self) -> u32 {
        self.in_channels * self.taps
    }

    /// Total number of weights.
    pub fn count(self) -> u32 {
        self.out_channels * self.fan_in()
    }

    /// Constants of the kernels between the flat array and the layout of the passes.
    pub(in crate::kernels) fn constants(self) -> Specialization {
        Specialization::new()
            .constant("OUT_CHANNELS", self.out_channels)
            .constant("IN_CHANNELS", self.in_channels)
            .constant("TAPS", self.taps)
            .constant("OUT_PADDED", padded(self.out_channels))
            .constant("IN_PADDED", padded(self.in_channels))
            .constant("WEIGHT_INDEX", self.weight_index)
            .constant("BIAS_INDEX", self.bias_index)
    }
}
