//! Fake quantization of weights: which quantizer a layer has, and its two kernels that run once a step (algorithms: section 3).

use crate::{
    Error, Result,
    config::{LayerBits, QuantizationConfig, WeightQuantizer, decimal},
    gpu::Specialization,
};

/// Quantizer of one layer's weights, as the kernels' constants see it (shaders/common/quantizer.wgsl).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WeightQuantizerPlan {
    /// 0 none, 1 affine, 2 dorefa, 3 sawb.
    kind: u32,
    bits: u32,
    per_channel: bool,
}

impl WeightQuantizerPlan {
    /// The quantizer of a layer with `bits`; none at 32 bits.
    ///
    /// # Errors
    /// [`Error::Usage`] for a width that the quantizer does not have.
    pub fn new(quantization: &QuantizationConfig, bits: LayerBits) -> Result<Self> {
        if !bits.quantizes_weights() {
            return Ok(WeightQuantizerPlan { kind: 0, bits: 32, per_channel: false });
        }
        let kind = match quantization.weight_quant {
            WeightQuantizer::Affine => 1,
            WeightQuantizer::Dorefa => 2,
            WeightQuantizer::Sawb => 3,
        };
        if kind == 3 && sawb_coefficients(bits.weight).is_none() {
            return Err(Error::Usage(format!(
                "--weight-quant sawb has constants for 2, 3, 4, 5 and 8 bits, not {}; use affine or dorefa",
                bits.weight
            )));
        }
        Ok(WeightQuantizerPlan { kind, bits: bits.weight, per_channel: quantization.per_channel })
    }

    /// Whether weights are quantized at all.
    pub fn is_active(self) -> bool {
        self.kind != 0
    }

    /// Highest level, 2^b − 1.
    fn levels(self) -> f32 {
        if self.is_active() { ((1u32 << self.bits) - 1) as f32 } else { 1.0 }
    }

    /// Adds the constants of kernels that quantize or differentiate.
    pub(crate) fn specialize(self, specialization: Specialization) -> Specialization {
        specialization.constant("QUANTIZER", self.kind)
    }

    /// As [`Self::specialize`], with the number of levels.
    pub(crate) fn specialize_levels(self, specialization: Specialization) -> Specialization {
        self.specialize(specialization).constant("LEVELS", self.levels())
    }

    /// Adds the constants of `weight_scale`.
    pub(crate) fn specialize_scale(self, specialization: Specialization) -> Specialization {
        let (first, second) = sawb_coefficients(self.bits).filter(|_| self.kind == 3).unwrap_or((0.0, 0.0));
        self.specialize_levels(specialization)
            .constant("PER_CHANNEL", u32::from(self.per_channel))
            .constant("SAWB_1", first)
            .constant("SAWB_SUM", decimal(first) + decimal(second))
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
