//! Fake quantization as plain data: which quantizers a layer's weights and activation have
//! (algorithms: section 3), levels as packed codes, and what quantizers are and do at one moment.

mod activation;
mod codes;
mod distribution;
mod exact;
mod histogram;
mod learned_step;
mod state;

pub use activation::{ActivationPlan, ActivationQuantizerPlan};
pub use codes::{pack_codes, packed_bytes, unpack_codes};
pub use distribution::TensorDistribution;
pub use exact::is_exact_in_f32;
pub use histogram::Histogram;
pub use learned_step::{STEP_FLOOR, highest_level, initial_step, initial_steps};
pub use state::QuantizerState;

use crate::{
    Error, Result,
    config::{LayerBits, QuantizationConfig, WeightQuantizer},
    error::phrase,
};

/// Quantizer of one layer's weights (shaders/common/quantizer.wgsl).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WeightQuantizerPlan {
    quantizer: Option<WeightQuantizer>,
    bits: u32,
    per_channel: bool,
}

impl WeightQuantizerPlan {
    /// The quantizer of a layer with `bits`; none at 32 bits.
    ///
    /// # Errors
    /// [`Error::Settings`] for a width that the quantizer does not have.
    pub fn new(quantization: &QuantizationConfig, bits: LayerBits) -> Result<Self> {
        let quantizer = quantization.weight_quantizer(bits.weight);
        if let Some(reason) = quantizer.refusal(bits.weight) {
            return Err(Error::Settings(phrase!("<bits {}>: ", bits).then(reason)));
        }
        let is_active = bits.weight < 32 && !quantization.weights_are_levels;
        Ok(WeightQuantizerPlan {
            quantizer: is_active.then_some(quantizer),
            bits: bits.weight,
            per_channel: quantization.per_channel,
        })
    }

    /// Whether weights are quantized at all.
    pub fn is_active(self) -> bool {
        self.quantizer.is_some()
    }

    /// Whether its step is a parameter (LSQ).
    pub fn learns_step(self) -> bool {
        self.quantizer == Some(WeightQuantizer::Lsq)
    }

    /// Whether every output channel has its own constants.
    pub fn is_per_channel(self) -> bool {
        self.per_channel
    }

    /// The quantizer, where there is one.
    pub fn quantizer(self) -> Option<WeightQuantizer> {
        self.quantizer
    }

    /// 2^b − 1.
    pub(crate) fn levels(self) -> f32 {
        if self.is_active() { ((1u32 << self.bits) - 1) as f32 } else { 1.0 }
    }

    /// Q_p of its width.
    pub(crate) fn highest_level(self) -> u32 {
        highest_level(self.bits)
    }

    /// SAWB's (c₁, c₂); 0 for the other quantizers.
    pub(crate) fn sawb_coefficients(self) -> (f32, f32) {
        let is_sawb = self.quantizer == Some(WeightQuantizer::Sawb);
        sawb_coefficients(self.bits).filter(|_| is_sawb).unwrap_or_default()
    }

    /// Lowest and highest de-quantized weight, from a channel's constants as the kernels have them.
    pub fn range(self, constants: [f32; 4]) -> [f32; 2] {
        let [x, y, z, _] = constants;
        match self.quantizer {
            None => [0.0; 2],
            Some(WeightQuantizer::Affine) => [-y * x, (self.levels() - y) * x],
            Some(WeightQuantizer::Dorefa) => [-1.0, 1.0],
            Some(WeightQuantizer::Sawb | WeightQuantizer::Binary) => [-x, x],
            Some(WeightQuantizer::Symmetric | WeightQuantizer::Lsq) => [y * x, z * x],
        }
    }

    /// As [`Self::range`], the widest of all channels.
    pub fn widest_range(self, constants: &[[f32; 4]]) -> [f32; 2] {
        let ranges = constants.iter().map(|constants| self.range(*constants));
        ranges
            .reduce(|[low, high], [other_low, other_high]| {
                [low.min(other_low), high.max(other_high)]
            })
            .unwrap_or_default()
    }
}

/// SAWB's clip is c₁·√(E w²) + c₂·E|w|, a fit to common distributions of weights. Below this share
/// of √(E w²) it does not hold: the weights are flatter than a uniform distribution, and what is
/// clipped would become flatter still. There the clip goes up again, to the largest weight, which
/// it is where the fit is 0 or less.
pub const SAWB_LEAST: f32 = 0.5;

/// SAWB's (c₁, c₂) for a width, where there are any.
pub fn sawb_coefficients(bits: u32) -> Option<(f32, f32)> {
    match bits {
        2 => Some((3.12, -2.064)),
        3 => Some((7.509, -6.892)),
        4 => Some((12.68, -12.80)),
        5 => Some((17.74, -18.64)),
        8 => Some((31.76, -35.04)),
        _ => None,
    }
}
