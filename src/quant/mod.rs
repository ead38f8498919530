//! Fake quantization of weights: which quantizer a layer has, and its kernels' constants (algorithms: section 3).

mod codes;
mod learned_step;

pub use codes::{pack_codes, packed_bytes, unpack_codes};
pub use learned_step::{STEP_FLOOR, highest_level, initial_step, initial_steps};

use crate::{
    Error, Result,
    config::{LayerBits, QuantizationConfig, WeightQuantizer, decimal},
    gpu::Specialization,
};

/// Quantizer of one layer's weights, as the kernels' constants see it (shaders/common/quantizer.wgsl).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WeightQuantizerPlan {
    quantizer: Option<WeightQuantizer>,
    bits: u32,
    per_channel: bool,
}

impl WeightQuantizerPlan {
    /// The quantizer of a layer with `bits`; none at 32 bits. DoReFa's form for 1 bit is `binary`.
    ///
    /// # Errors
    /// [`Error::Usage`] for a width that the quantizer does not have.
    pub fn new(quantization: &QuantizationConfig, bits: LayerBits) -> Result<Self> {
        if let Some(reason) = quantization.weight_quant.refusal(bits.weight) {
            return Err(Error::Usage(format!("--bits {bits}: {reason}")));
        }
        let quantizer = match (quantization.weight_quant, bits.weight) {
            (_, 32) => None,
            _ if quantization.weights_are_levels => None,
            (WeightQuantizer::Dorefa, 1) => Some(WeightQuantizer::Binary),
            (quantizer, _) => Some(quantizer),
        };
        Ok(WeightQuantizerPlan { quantizer, bits: bits.weight, per_channel: quantization.per_channel })
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

    /// The quantizer's number in the kernels.
    fn kind(self) -> u32 {
        match self.quantizer {
            None => 0,
            Some(WeightQuantizer::Affine) => 1,
            Some(WeightQuantizer::Dorefa) => 2,
            Some(WeightQuantizer::Sawb) => 3,
            Some(WeightQuantizer::Symmetric) => 4,
            Some(WeightQuantizer::Lsq) => 5,
            Some(WeightQuantizer::Binary) => 6,
        }
    }

    /// 2^b − 1.
    fn levels(self) -> f32 {
        if self.is_active() { ((1u32 << self.bits) - 1) as f32 } else { 1.0 }
    }

    /// Adds the constants of kernels that quantize or differentiate.
    pub(crate) fn specialize(self, specialization: Specialization) -> Specialization {
        specialization.constant("QUANTIZER", self.kind())
    }

    /// As [`Self::specialize`], with the number of levels.
    pub(crate) fn specialize_levels(self, specialization: Specialization) -> Specialization {
        self.specialize(specialization).constant("LEVELS", self.levels())
    }

    /// Adds the constants of a kernel that multiplies by integer levels.
    pub(crate) fn specialize_units(self, specialization: Specialization) -> Specialization {
        self.specialize(specialization).constant("WEIGHT_LEVELS", self.levels())
    }

    /// Adds the constants of `weight_scale`.
    pub(crate) fn specialize_scale(self, specialization: Specialization) -> Specialization {
        let is_sawb = self.quantizer == Some(WeightQuantizer::Sawb);
        let (first, second) = sawb_coefficients(self.bits).filter(|_| is_sawb).unwrap_or((0.0, 0.0));
        self.specialize_levels(specialization)
            .constant("PER_CHANNEL", u32::from(self.per_channel))
            .constant("SAWB_1", first)
            .constant("SAWB_SUM", decimal(first) + decimal(second))
    }

    /// Adds the constants of `learned_step`, for steps that stand at `index` of the parameters.
    pub(crate) fn specialize_step(self, specialization: Specialization, index: u32) -> Specialization {
        specialization
            .constant("PER_CHANNEL", u32::from(self.per_channel))
            .constant("LEVELS", self.levels())
            .constant("STEP_INDEX", index)
    }

    /// Adds the constants of `learned_step_gradient`, for steps of `elements` weights each.
    pub(crate) fn specialize_step_gradient(self, specialization: Specialization, elements: u32, index: u32) -> Specialization {
        specialization
            .constant("ELEMENTS", elements)
            .constant("STEP_INDEX", index)
            .constant("SCALE", 1.0 / (f64::from(elements) * f64::from(highest_level(self.bits))).sqrt())
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
        ranges.reduce(|[low, high], [other_low, other_high]| [low.min(other_low), high.max(other_high)]).unwrap_or_default()
    }
}

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
