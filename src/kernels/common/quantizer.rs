//! Which quantizer a layer's weights have, told to its kernels (shaders/common/quantizer.wgsl).

use crate::{
    config::WeightQuantizer,
    quant::WeightQuantizerPlan,
    shaders::{Specialization, kinds::quantizer},
};

/// The number of `plan` in the kernels.
fn kind(plan: WeightQuantizerPlan) -> u32 {
    match plan.quantizer() {
        None => quantizer::NONE,
        Some(WeightQuantizer::Affine) => quantizer::AFFINE,
        Some(WeightQuantizer::Dorefa) => quantizer::DOREFA,
        Some(WeightQuantizer::Sawb) => quantizer::SAWB,
        Some(WeightQuantizer::Symmetric) => quantizer::SYMMETRIC,
        Some(WeightQuantizer::Lsq) => quantizer::LSQ,
        Some(WeightQuantizer::Binary) => quantizer::BINARY,
    }
}

/// `specialization` with the constant of a kernel that quantizes by `plan` or differentiates.
pub(in crate::kernels) fn quantized(
    specialization: Specialization,
    plan: WeightQuantizerPlan,
) -> Specialization {
    specialization.constant("QUANTIZER", kind(plan))
}

/// As [`quantized`], with the number of levels.
pub(in crate::kernels) fn quantized_levels(
    specialization: Specialization,
    plan: WeightQuantizerPlan,
) -> Specialization {
    quantized(specialization, plan).constant("LEVELS", plan.levels())
}
