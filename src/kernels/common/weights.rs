//! Sizes of a layer's weights and their place in the flat parameters.

use crate::{layout::padded, shaders::Specialization};

/// Weights `[out, in, tap]` and a bias `[out]`, where there is one, in the flat array of
/// parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WeightShape {
    /// Output channels.
    pub out_channels: u32,
    /// Input channels that an output is the sum of.
    pub in_channels: u32,
    /// Whether these are stored without padding: where they are only some of the layer's input
    /// channels.
    pub grouped: bool,
    /// Number of filter taps: those of the window, or the number of input pixels of a fully
    /// connected layer.
    pub taps: u32,
    /// Index of the first weight.
    pub weight_index: u32,
    /// Index of the first bias.
    pub bias_index: Option<u32>,
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

    /// Input channels as the passes' layouts have them.
    pub fn stored_inputs(self) -> u32 {
        if self.grouped { self.in_channels } else { padded(self.in_channels) }
    }

    /// `specialization` with what there is to know of the bias.
    pub(in crate::kernels) fn biased(self, specialization: Specialization) -> Specialization {
        match self.bias_index {
            Some(index) => specialization.feature("bias", true).constant("BIAS_INDEX", index),
            None => specialization,
        }
    }

    /// Constants of the kernels between the flat array and the layout of the passes.
    pub(in crate::kernels) fn constants(self) -> Specialization {
        self.biased(Specialization::new())
            .constant("OUT_CHANNELS", self.out_channels)
            .constant("IN_CHANNELS", self.in_channels)
            .constant("TAPS", self.taps)
            .constant("OUT_PADDED", padded(self.out_channels))
            .constant("IN_PADDED", self.stored_inputs())
            .constant("WEIGHT_INDEX", self.weight_index)
    }
}
