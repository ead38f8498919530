//! Which activation a layer has, told to its kernels (shaders/common/activation.wgsl).

use crate::{quant::ActivationPlan, shaders::Specialization};

/// `specialization` with the constants of a kernel that applies `plan` or goes back through it.
pub(in crate::kernels) fn activated(
    specialization: Specialization,
    plan: ActivationPlan,
) -> Specialization {
    let specialization =
        specialization.feature("pact", plan.is_pact()).constant("ACTIVATION", plan.kind());
    match plan.alpha_index() {
        Some(index) => {
            specialization.constant("ALPHA_INDEX", index).constant("LEVELS", plan.level_count())
        }
        None => specialization,
    }
}

/// `specialization` with the constants of a kernel whose inputs are the levels of `plan`.
pub(in crate::kernels) fn activated_inputs(
    specialization: Specialization,
    plan: ActivationPlan,
) -> Specialization {
    let specialization = specialization
        .constant("INPUT_ACTIVATION", plan.kind())
        .constant("INPUT_LEVELS", plan.level_count());
    match plan.alpha_index() {
        Some(index) => specialization.constant("INPUT_INDEX", index),
        None => specialization,
    }
}
