//! Launcher of `shaders/optimizer_adam.wgsl`.

use super::common::Update;
use crate::{
    config::decimal,
    gpu::{Buffer, Launch, Launcher},
};

/// Adam, and AdamW where the weight decay is decoupled.
#[derive(Clone, Copy, Debug)]
pub struct OptimizerAdam<'a> {
    /// The update.
    pub update: Update<'a>,
    /// Flat like the parameters.
    pub first_moment: &'a Buffer,
    /// Flat like the parameters.
    pub second_moment: &'a Buffer,
    /// β₁ and β₂.
    pub betas: [f32; 2],
    /// ε.
    pub epsilon: f32,
    /// Whether the weight decay is separate from the gradient (AdamW).
    pub decoupled: bool,
}

impl Launcher for OptimizerAdam<'_> {
    fn launch(&self) -> Launch<'_> {
        let [beta1, beta2] = self.betas;
        self.update
            .launch("optimizer_adam", |own| {
                own.constant("BETA1", beta1)
                    .constant("BETA2", beta2)
                    .constant("BETA1_REST", 1.0 - decimal(beta1))
                    .constant("BETA2_REST", 1.0 - decimal(beta2))
                    .constant("EPSILON", self.epsilon)
                    .constant("DECOUPLED", u32::from(self.decoupled))
            })
            .bind("first_moment", self.first_moment)
            .bind("second_moment", self.second_moment)
    }
}
