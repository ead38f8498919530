//! Which activation a layer has, told to its kernels (shaders/common/activation.wgsl).

use crate::{
    config::{ActivationFunction, PactKind},
    quant::{ActivationPlan, ActivationQuantizerPlan},
    shaders::{Specialization, kinds::activation},
};

/// The number of `plan` in the kernels.
fn kind(plan: ActivationPlan) -> u32 {
    use ActivationQuantizerPlan::{Float, Lsq, LsqPlus, Pact};
    match plan.quantizer() {
        Float => function_kind(plan),
        // PACT's clip is its own ReLU.
        Pact(PactKind::Unsigned) => activation::PACT_UNSIGNED,
        Pact(PactKind::Signed) => activation::PACT_SIGNED,
        Pact(PactKind::SignedAfterRelu) => activation::PACT_SIGNED_AFTER_RELU,
        Lsq(PactKind::Unsigned) => activation::LSQ_UNSIGNED,
        Lsq(PactKind::Signed) => activation::LSQ_SIGNED,
        Lsq(PactKind::SignedAfterRelu) => activation::LSQ_SIGNED_AFTER_RELU,
        LsqPlus => activation::LSQ_PLUS + function_kind(plan),
    }
}

/// The number of its function.
fn function_kind(plan: ActivationPlan) -> u32 {
    match plan.function() {
        ActivationFunction::Identity => activation::NONE,
        ActivationFunction::Relu => activation::RELU,
        ActivationFunction::Relu6 => activation::RELU6,
        ActivationFunction::LeakyRelu { .. } => activation::LEAKY_RELU,
        ActivationFunction::Tanh => activation::TANH,
        ActivationFunction::Sigmoid => activation::SIGMOID,
        ActivationFunction::Silu => activation::SILU,
        ActivationFunction::HardSwish => activation::HARD_SWISH,
    }
}

/// The slope of a LeakyReLU, as the linker calls it.
const SLOPE: &str = "package_common_activation_SLOPE";

/// `specialization` with the constants of a kernel that applies `plan` or goes back through it.
pub(in crate::kernels) fn activated(
    specialization: Specialization,
    plan: ActivationPlan,
) -> Specialization {
    let mut specialization =
        specialization.feature("pact", plan.is_pact()).constant("ACTIVATION", kind(plan));
    if let ActivationFunction::LeakyRelu { slope } = plan.function() {
        specialization = specialization.constant(SLOPE, slope);
    }
    match plan.alpha_index() {
        Some(index) => specialization
            .constant("ALPHA_INDEX", index)
            // Read by all that learn; only LSQ+ makes use of it.
            .constant("OFFSET_INDEX", plan.offset_index().unwrap_or(index))
            .constant("LEVELS", plan.level_count()),
        None => specialization,
    }
}

/// `specialization` with the constants of a kernel whose inputs are the levels of `plan`.
pub(in crate::kernels) fn activated_inputs(
    specialization: Specialization,
    plan: ActivationPlan,
) -> Specialization {
    let specialization = specialization
        .constant("INPUT_ACTIVATION", kind(plan))
        .constant("INPUT_LEVELS", plan.level_count());
    match plan.alpha_index() {
        Some(index) => specialization.constant("INPUT_INDEX", index),
        None => specialization,
    }
}
