//! Which quantizer a layer's weights have, told to its kernels (shaders/common/quantizer.wgsl).

use crate::{config::decimal, quant::WeightQuantizerPlan, shaders::Specialization};

/// Invocations that `learned_step_gradient` sums a step's terms with.
const STEP_GRADIENT_WORKGROUP: u32 = 256;

impl WeightQuantizerPlan {
    /// Adds the constants of kernels that quantize or differentiate.
    pub(super) fn specialize(self, specialization: Specialization) -> Specialization {
        specialization.constant("QUANTIZER", self.kind())
    }

    /// As [`Self::specialize`], with the number of levels.
    pub(super) fn specialize_levels(self, specialization: Specialization) -> Specialization {
        self.specialize(specialization).constant("LEVELS", self.levels())
    }

    /// Adds the constants of a kernel that multiplies by integer levels.
    pub(super) fn specialize_units(self, specialization: Specialization) -> Specialization {
        self.specialize(specialization).constant("WEIGHT_LEVELS", self.levels())
    }

    /// The largest magnitude of a de-quantized weight, in units that all of them are whole
    /// multiples of.
    pub(super) fn highest_multiple(self) -> u32 {
        self.levels() as u32
    }

    /// Adds the constants of `weight_scale`.
    pub(super) fn specialize_scale(self, specialization: Specialization) -> Specialization {
        let (first, second) = self.sawb_coefficients();
        self.specialize_levels(specialization)
            .constant("PER_CHANNEL", u32::from(self.is_per_channel()))
            .constant("SAWB_1", first)
            .constant("SAWB_SUM", decimal(first) + decimal(second))
    }

    /// Adds the constants of `learned_step`, for steps that stand at `index` of the parameters.
    pub(super) fn specialize_step(
        self,
        specialization: Specialization,
        index: u32,
    ) -> Specialization {
        specialization
            .constant("PER_CHANNEL", u32::from(self.is_per_channel()))
            .constant("LEVELS", self.levels())
            .constant("STEP_INDEX", index)
    }

    /// Adds the constants of `learned_step_gradient`, for steps of `elements` weights each.
    pub(super) fn specialize_step_gradient(
        self,
        specialization: Specialization,
        elements: u32,
        index: u32,
    ) -> Specialization {
        specialization
            .tile("WORKGROUP", STEP_GRADIENT_WORKGROUP)
            .constant("ELEMENTS", elements)
            .constant("STEP_INDEX", index)
            .constant("SCALE", 1.0 / (f64::from(elements) * f64::from(self.highest_level())).sqrt())
    }
}
