//! Launcher of `shaders/optimizer_sgd.wgsl`.

use super::common::Update;
use crate::{
    gpu::{Buffer, Launch, Launcher},
    shaders::kinds::momentum,
};

/// Which momentum an update has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Momentum {
    /// None: the velocity is not touched.
    None = momentum::NONE,
    /// torch.optim.SGD's.
    Plain = momentum::PLAIN,
    /// Nesterov's form.
    Nesterov = momentum::NESTEROV,
}

/// θ ← θ − τ·∂L/∂θ, with momentum or without.
#[derive(Clone, Copy, Debug)]
pub struct OptimizerSgd<'a> {
    /// What is updated.
    pub update: Update<'a>,
    /// Flat like the parameters; a single group without momentum.
    pub velocity: &'a Buffer,
    /// The momentum's form; its factor is the step's.
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
