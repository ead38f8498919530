//! Operations on the sums of a convolution or product.

use super::activated;
use crate::{
    gpu::{Binding, Buffer, Launch},
    quant::ActivationPlan,
    shaders::Specialization,
};

/// Bias and activation at the end of a layer's sums.
#[derive(Clone, Copy, Debug)]
pub struct Activated<'a> {
    /// [out channel (padded)].
    pub bias: &'a Buffer,
    /// The activation.
    pub activation: ActivationPlan,
    /// The activation's input, stored if the activation has a learned parameter.
    pub pre_activation: Option<Binding<'a>>,
    /// The flat parameters, read if the activation has a learned parameter.
    pub parameters: &'a Buffer,
}

impl<'a> Activated<'a> {
    /// `specialization` with the activation.
    pub(in crate::kernels) fn constants(self, specialization: Specialization) -> Specialization {
        activated(specialization, self.activation)
    }

    /// `launch` with the buffers.
    pub(in crate::kernels) fn bind(self, launch: Launch<'a>) -> Launch<'a> {
        let learns = self.activation.is_pact();
        launch
            .bind("bias", self.bias)
            .bind_some("pre_activation", self.pre_activation)
            .bind_some("parameters", learns.then_some(self.parameters))
    }
}

/// Integer inference: turns sums into levels.
#[derive(Clone, Copy, Debug)]
pub struct Requantized<'a> {
    /// [out channel (padded)].
    pub multiplier: &'a Buffer,
    /// [out channel (padded)], or [row, column, out channel (padded)].
    pub offset: &'a Buffer,
    /// Lower and upper end of the output's range.
    pub range: [f32; 2],
    /// Groups of offsets between two pixels; 0 if offsets do not depend on the position.
    pub pixel_offsets: u32,
}

impl<'a> Requantized<'a> {
    /// `specialization` with the range.
    pub(in crate::kernels) fn constants(self, specialization: Specialization) -> Specialization {
        let [lowest, highest] = self.range;
        specialization.constant("LOWEST", lowest).constant("HIGHEST", highest)
    }

    /// As [`Self::constants`], with the offsets of places.
    pub(in crate::kernels) fn by_place(self, specialization: Specialization) -> Specialization {
        self.constants(specialization).constant("PIXEL_OFFSETS", self.pixel_offsets)
    }

    /// `launch` with the buffers.
    pub(in crate::kernels) fn bind(self, launch: Launch<'a>) -> Launch<'a> {
        launch.bind("multiplier", self.multiplier).bind("offset", self.offset)
    }
}

/// The factor of a gradient.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Gradient {
    /// No factor.
    #[default]
    Plain,
    /// The derivative of the ReLU in front. The written buffer holds the ReLU's values before, in
    /// the state's format.
    Rectified,
}

impl Gradient {
    /// `specialization` with what kernels know of it.
    pub(in crate::kernels) fn constants(self, specialization: Specialization) -> Specialization {
        match self {
            Gradient::Plain => specialization,
            Gradient::Rectified => specialization.feature("rectified", true),
        }
    }
}

/// The operation on a sum, in kernels with several purposes.
#[derive(Clone, Copy, Debug)]
pub enum Epilogue<'a> {
    /// The sum is a gradient.
    Gradient(Gradient),
    /// The sum becomes a layer's value.
    Activated(Activated<'a>),
    /// The sum becomes a level.
    Requantized(Requantized<'a>),
}

impl<'a> Epilogue<'a> {
    /// `specialization` with what the sums become; `by_place` where kernels know offsets of places.
    pub(in crate::kernels) fn constants(
        self,
        specialization: Specialization,
        by_place: bool,
    ) -> Specialization {
        match self {
            Epilogue::Gradient(own) => {
                let specialization = own.constants(specialization.feature("bias", false));
                match own {
                    Gradient::Plain => activated(specialization, ActivationPlan::NONE),
                    Gradient::Rectified => specialization,
                }
            }
            Epilogue::Activated(own) => own.constants(specialization.feature("bias", true)),
            Epilogue::Requantized(own) => {
                let specialization = specialization.feature("requantized", true);
                if by_place { own.by_place(specialization) } else { own.constants(specialization) }
            }
        }
    }

    /// `launch` with the buffers.
    pub(in crate::kernels) fn bind(self, launch: Launch<'a>) -> Launch<'a> {
        match self {
            Epilogue::Gradient(_) => launch,
            Epilogue::Activated(own) => own.bind(launch),
            Epilogue::Requantized(own) => own.bind(launch),
        }
    }
}
