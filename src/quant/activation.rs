//! Which activation a layer has: a function, and a quantizer of its values.

use crate::{
    Error, Result,
    config::{ActivationQuantizer, LayerBits, PactKind, QuantizationConfig},
};

/// What becomes of x (shaders/common/activation.wgsl).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActivationFunction {
    /// x itself.
    Identity,
    /// max(x, 0).
    Relu,
}

/// What becomes of the function's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActivationQuantizerPlan {
    /// Nothing.
    Float,
    /// PACT's clip at a learned α, and levels.
    Pact(PactKind),
    /// The same grids with a learned step.
    Lsq(PactKind),
}

/// Activation of one layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ActivationPlan {
    function: ActivationFunction,
    quantizer: ActivationQuantizerPlan,
    pub(crate) levels: f32,
    alpha_index: Option<u32>,
}

impl ActivationPlan {
    /// No activation.
    pub const NONE: ActivationPlan = ActivationPlan::of(ActivationFunction::Identity);
    /// ReLU.
    pub const RELU: ActivationPlan = ActivationPlan::of(ActivationFunction::Relu);

    const fn of(function: ActivationFunction) -> ActivationPlan {
        ActivationPlan {
            function,
            quantizer: ActivationQuantizerPlan::Float,
            levels: 1.0,
            alpha_index: None,
        }
    }

    /// PACT or LSQ with `bits.activation` bits and its α or step at `alpha_index` of the flat
    /// parameters; ReLU at 32 bits.
    ///
    /// # Errors
    /// [`Error::Usage`] for signed activations at 1 bit, which have no levels but 0.
    pub fn new(
        quantization: &QuantizationConfig,
        bits: LayerBits,
        alpha_index: Option<u32>,
    ) -> Result<Self> {
        let pact = quantization.pact;
        let Some(alpha_index) = alpha_index.filter(|_| bits.quantizes_activations()) else {
            return Ok(ActivationPlan::RELU);
        };
        if ActivationPlan::levels(pact, bits.activation) == 0 {
            return Err(Error::Usage(
                "signed PACT has no levels at 1 bit; use unsigned PACT, or 2 or more bits".into(),
            ));
        }
        let function = match pact {
            PactKind::Unsigned | PactKind::SignedAfterRelu => ActivationFunction::Relu,
            PactKind::Signed => ActivationFunction::Identity,
        };
        let quantizer = match quantization.act_quant {
            ActivationQuantizer::Pact => ActivationQuantizerPlan::Pact(pact),
            ActivationQuantizer::Lsq => ActivationQuantizerPlan::Lsq(pact),
        };
        let levels = ActivationPlan::levels(pact, bits.activation) as f32;
        Ok(ActivationPlan { function, quantizer, levels, alpha_index: Some(alpha_index) })
    }

    /// Number of steps from 0 to α: 2^b − 1 (unsigned) or 2^(b−1) − 1 (signed).
    pub fn levels(pact: PactKind, bits: u32) -> u32 {
        match pact {
            PactKind::Unsigned => (1 << bits) - 1,
            PactKind::Signed | PactKind::SignedAfterRelu => (1 << (bits - 1)) - 1,
        }
    }

    /// What becomes of x.
    pub fn function(self) -> ActivationFunction {
        self.function
    }

    /// What becomes of the function's values.
    pub fn quantizer(self) -> ActivationQuantizerPlan {
        self.quantizer
    }

    /// Its levels above 0, as the kernels have them.
    pub(crate) fn level_count(self) -> f32 {
        self.levels
    }

    /// Whether there is an α or a step to learn.
    pub fn is_pact(self) -> bool {
        self.alpha_index.is_some()
    }

    /// Where its α or step is in the flat parameters.
    pub fn alpha_index(self) -> Option<u32> {
        self.alpha_index
    }

    /// The factor on the gradient of the learned parameter where an image has `elements`
    /// activations: LSQ's 1/√(N·Q_p), else 1.
    pub fn gradient_scale(self, elements: u32) -> f64 {
        if matches!(self.quantizer, ActivationQuantizerPlan::Lsq(_)) {
            1.0 / (f64::from(elements) * f64::from(self.levels)).sqrt()
        } else {
            1.0
        }
    }
}
