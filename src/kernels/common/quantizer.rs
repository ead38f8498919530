//! Which quantizer a layer's weights have, told to its kernels (shaders/common/quantizer.wgsl).

use crate::{quant::WeightQuantizerPlan, shaders::Specialization};

/// `specialization` with the constant of a kernel that quantizes by `plan` or differentiates.
pub(in crate::kernels) fn quantized(
    specialization: Specialization,
    plan: WeightQuantizerPlan,
) -> Specialization {
    specialization.constant("QUANTIZER", plan.kind())
}

/// As [`quantized`], with the number of levels.
pub(in crate::kernels) fn quantized_levels(
    specialization: Specialization,
    plan: WeightQuantizerPlan,
) -> Specialization {
    quantized(specialization, plan).constant("LEVELS", plan.levels())
}
