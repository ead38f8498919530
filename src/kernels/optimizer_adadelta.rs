//! Launcher of `shaders/optimizer_adadelta.wgsl`.

use super::common::Update;
use crate::{
    config::decimal,
    gpu::{Buffer, Launch, Launcher},
};

/// Adadelta.
#[derive(Clone, Copy, Debug)]
pub struct OptimizerAdadelta<'a> {
    /// The update.
    pub update: Update<'a>,
    /// Flat like the parameters.
    pub square_average: &'a Buffer,
    /// Flat like the parameters.
    pub delta_average: &'a Buffer,
    /// ρ.
    pub rho: f32,
    /// ε.
    pub epsilon: f32,
}

impl Launcher for OptimizerAdadelta<'_> {
    fn launch(&self) -> Launch<'_> {
        self.update
            .launch("optimizer_adadelta", |own| {
                own.constant("RHO", self.rho)
                    .constant("RHO_REST", 1.0 - decimal(self.rho))
                    .constant("EPSILON", self.epsilon)
            })
            .bind("square_average", self.square_average)
            .bind("delta_average", self.delta_average)
    }
}
