//! Sizes of a layer's weights and their place in the flat parameters.

use crate::{layout::padded, shaders::Specialization};

/// Weights `[out, in, tap]` and a bias `[out]` in the flat array of parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WeightShape {
    /// Output channels.
    pub out_channels: u32,
    /// Input channels.
    pub in_channels: u32,
    /// Filter taps: kernel², or the pixels a fully connected layer sees.
    pub taps: u32,
    /// Where the weights begin.
    pub weight_index: u32,
    /// Where the bias begins.
    pub bias_index: u32,
}

impl WeightShape {
    /// Weights an output channel.
    pub fn fan_in(self) -> u32 {
        self.in_channels * self.taps
    }

    /// All weights.
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
