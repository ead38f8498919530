//! Which activation a layer has: a function, and a quantizer of its values.

use crate::{
    Error, Result,
    config::{ActivationFunction, ActivationQuantizer, LayerBits, PactKind, QuantizationConfig},
};

/// What becomes of the values of a function (shaders/common/activation.wgsl).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActivationQuantizerPlan {
    /// Nothing.
    Float,
    /// PACT's clip at a learned α, and levels.
    Pact(PactKind),
    /// The same grids with a learned step.
    Lsq(PactKind),
    /// 2^b levels with a learned step, and a learned offset rounded to a whole level.
    LsqPlus,
}

/// Activation of one layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ActivationPlan {
    function: ActivationFunction,
    quantizer: ActivationQuantizerPlan,
    pub(crate) levels: f32,
    alpha_index: Option<u32>,
    offset_index: Option<u32>,
}

impl ActivationPlan {
    /// No activation.
    pub const NONE: ActivationPlan = ActivationPlan::of(ActivationFunction::Identity);
    /// ReLU.
    pub const RELU: ActivationPlan = ActivationPlan::of(ActivationFunction::Relu);

    /// `function` in float.
    pub const fn of(function: ActivationFunction) -> ActivationPlan {
        ActivationPlan {
            function,
            quantizer: ActivationQuantizerPlan::Float,
            levels: 1.0,
            alpha_index: None,
            offset_index: None,
        }
    }

    /// `function` with the quantizer of `bits.activation` bits that has its α or step at the first
    /// index of the flat parameters and its offset, if it has one, at the second; the function
    /// alone at 32 bits. Signed grids of a ReLU, or of a ReLU6, stand in its place, and so do
    /// PACT's and LSQ's unsigned ones.
    ///
    /// # Errors
    /// [`Error::Usage`] for signed activations at 1 bit, which have no levels but 0.
    pub fn new(
        quantization: &QuantizationConfig,
        function: ActivationFunction,
        bits: LayerBits,
        (alpha_index, offset_index): (Option<u32>, Option<u32>),
    ) -> Result<Self> {
        let pact = quantization.pact;
        let Some(alpha_index) = alpha_index.filter(|_| bits.quantizes_activations()) else {
            return Ok(ActivationPlan::of(function));
        };
        let quantizer = quantization.quantizer_of(function);
        let levels = ActivationPlan::levels(quantizer, pact, bits.activation);
        if levels == 0 {
            return Err(Error::Usage(
                "signed PACT has no levels at 1 bit; use unsigned PACT, or 2 or more bits".into(),
            ));
        }
        let function = match (quantizer, pact) {
            _ if !function.is_rectifier() => function,
            (_, PactKind::Signed) => ActivationFunction::Identity,
            (ActivationQuantizer::LsqPlus, _) => function,
            (_, PactKind::Unsigned | PactKind::SignedAfterRelu) => ActivationFunction::Relu,
        };
        let quantizer = match quantizer {
            ActivationQuantizer::Pact => ActivationQuantizerPlan::Pact(pact),
            ActivationQuantizer::Lsq => ActivationQuantizerPlan::Lsq(pact),
            ActivationQuantizer::LsqPlus => ActivationQuantizerPlan::LsqPlus,
        };
        Ok(ActivationPlan {
            function,
            quantizer,
            levels: levels as f32,
            alpha_index: Some(alpha_index),
            offset_index,
        })
    }

    /// Number of steps from 0 to α: 2^b − 1 (unsigned) or 2^(b−1) − 1 (signed); of LSQ+ from the
    /// lowest to the highest level, 2^b − 1.
    pub fn levels(quantizer: ActivationQuantizer, pact: PactKind, bits: u32) -> u32 {
        match (quantizer, pact) {
            (ActivationQuantizer::LsqPlus, _) | (_, PactKind::Unsigned) => (1 << bits) - 1,
            (_, PactKind::Signed | PactKind::SignedAfterRelu) => (1 << (bits - 1)) - 1,
        }
    }

    /// Whether its derivative is computed from its output, which then need not be kept beside its
    /// input: of a ReLU or ReLU6 in float.
    pub fn is_derived_from_output(self) -> bool {
        !self.is_pact()
            && matches!(
                self.function,
                ActivationFunction::Identity | ActivationFunction::Relu | ActivationFunction::Relu6
            )
    }

    /// Whether the kernel of the layer in front can apply it: it needs nothing but the flat
    /// parameters, and zeros that pad channels stay zeros. Functions that need their input kept
    /// write no less on their own.
    pub fn is_epilogue(self) -> bool {
        self.function.keeps_zero() && (self.is_pact() || self.is_derived_from_output())
    }

    /// What becomes of x.
    pub fn function(self) -> ActivationFunction {
        self.function
    }

    /// What becomes of the function's values.
    pub fn quantizer(self) -> ActivationQuantizerPlan {
        self.quantizer
    }

    /// Its levels above 0, of LSQ+ above the lowest, as the kernels have them.
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

    /// Where its offset is in the flat parameters, if it learns one (LSQ+).
    pub fn offset_index(self) -> Option<u32> {
        self.offset_index
    }

    /// The factor on the gradients of the learned parameters where an image has `elements`
    /// activations: 1/√(N·Q_p) of LSQ's step and of LSQ+'s step and offset, else 1.
    pub fn gradient_scale(self, elements: u32) -> f64 {
        if matches!(
            self.quantizer,
            ActivationQuantizerPlan::Lsq(_) | ActivationQuantizerPlan::LsqPlus
        ) {
            1.0 / (f64::from(elements) * f64::from(self.levels)).sqrt()
        } else {
            1.0
        }
    }
}
