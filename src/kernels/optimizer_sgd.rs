//! Launcher of `shaders/optimizer_sgd.wgsl`.

use super::common::Update;
use crate::{
    gpu::{Buffer, Launch, Launcher},
    shaders::kinds::momentum,
};

/// The form of momentum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Momentum {
    /// No momentum; the velocity is not used.
    None = momentum::NONE,
    /// torch.optim.SGD's.
    Plain = momentum::PLAIN,
    /// Nesterov's form.
    Nesterov = momentum::NESTEROV,
}

/// θ ← θ − τ·∂L/∂θ, with momentum or without.
#[derive(Clone, Copy, Debug)]
pub struct OptimizerSgd<'a> {
    /// The update.
    pub update: Update<'a>,
    /// Flat like the parameters; a single group without momentum.
    pub velocity: &'a Buffer,
    /// The form of momentum; the step's record has its factor.
    pub momentum: Momentum,
}

impl Launcher for OptimizerSgd<'_> {
    fn launch(&self) -> Launch<'_> {
        let momentum = self.momentum as u32;
        self.update
            .launch("optimizer_sgd", |own| own.constant("MOMENTUM", momentum))
            .bind("velocity", self.velocity)
    }
}
