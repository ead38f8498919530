//! Which activation a layer has, told to its kernels (shaders/common/activation.wgsl).

use crate::{quant::ActivationPlan, shaders::Specialization};

impl ActivationPlan {
    /// Adds the constants of a forward kernel.
    pub(super) fn forward(self, specialization: Specialization) -> Specialization {
        self.backward(specialization)
    }

    /// The largest magnitude of its levels.
    pub(super) fn highest_level(self) -> u32 {
        self.levels as u32
    }

    /// Adds the constants of a kernel whose inputs are this activation's levels.
    pub(super) fn of_inputs(self, specialization: Specialization) -> Specialization {
        let specialization = specialization
            .constant("INPUT_ACTIVATION", self.kind())
            .constant("INPUT_LEVELS", self.levels);
        match self.alpha_index() {
            Some(index) => specialization.constant("INPUT_INDEX", index),
            None => specialization,
        }
    }

    /// Adds the constants of a backward kernel.
    pub(super) fn backward(self, specialization: Specialization) -> Specialization {
        let specialization =
            specialization.feature("pact", self.is_pact()).constant("ACTIVATION", self.kind());
        match self.alpha_index() {
            Some(index) => {
                specialization.constant("ALPHA_INDEX", index).constant("LEVELS", self.levels)
            }
            None => specialization,
        }
    }
}
