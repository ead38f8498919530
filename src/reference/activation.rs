//! Activations: ReLU, and PACT (Choi et al. 2018; signed: the paper's eq. (6)) with fake
//! quantization to `levels` steps from 0 to α: y = round(clip(x)·levels/α)·α/levels, rounding half
//! to even. LSQ (Esser et al. 2020) is the same with a learned step s = α/levels. LSQ+ (Bhalgat et
//! al. 2020) quantizes the values v of a function to 2^b levels with a learned step and a learned
//! offset β: y = s·(clamp(round(v/s) + z, 0, levels) − z). The paper has y = s·clamp(round((v −
//! β)/s), 0, levels) + β; here z = clamp(round(−β/s), 0, levels) stands for −β/s, so that 0 is a
//! level.

use crate::config::{ActivationFunction, LayerBits, PactKind};

/// A function in front of a quantizer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Function {
    /// x itself.
    Identity,
    /// max(x, 0).
    Relu,
    /// torch.nn.ReLU6.
    Relu6,
    /// torch.nn.LeakyReLU of this slope.
    LeakyRelu(f64),
    /// Hyperbolic tangent.
    Tanh,
    /// torch.nn.Sigmoid.
    Sigmoid,
    /// torch.nn.SiLU.
    Silu,
    /// torch.nn.Hardswish.
    HardSwish,
}

impl Function {
    /// The function `own` of a network.
    pub fn of(own: ActivationFunction) -> Function {
        match own {
            ActivationFunction::Identity => Function::Identity,
            ActivationFunction::Relu => Function::Relu,
            ActivationFunction::Relu6 => Function::Relu6,
            ActivationFunction::LeakyRelu { slope } => Function::LeakyRelu(f64::from(slope)),
            ActivationFunction::Tanh => Function::Tanh,
            ActivationFunction::Sigmoid => Function::Sigmoid,
            ActivationFunction::Silu => Function::Silu,
            ActivationFunction::HardSwish => Function::HardSwish,
        }
    }

    /// Its value at `x`.
    pub fn value(self, x: f64) -> f64 {
        match self {
            Function::Identity => x,
            Function::Relu => x.max(0.0),
            Function::Relu6 => x.clamp(0.0, 6.0),
            Function::LeakyRelu(slope) => x.max(0.0) + slope * x.min(0.0),
            Function::Tanh => x.tanh(),
            Function::Sigmoid => sigmoid(x),
            Function::Silu => x * sigmoid(x),
            Function::HardSwish => x * (x + 3.0).clamp(0.0, 6.0) / 6.0,
        }
    }

    /// Its derivative at `x`, at a kink as PyTorch has it.
    pub fn derivative(self, x: f64) -> f64 {
        match self {
            Function::Identity => 1.0,
            Function::Relu => f64::from(u8::from(x > 0.0)),
            Function::Relu6 => f64::from(u8::from(x > 0.0 && x < 6.0)),
            Function::LeakyRelu(slope) => {
                if x > 0.0 {
                    1.0
                } else {
                    slope
                }
            }
            Function::Tanh => 1.0 - x.tanh().powi(2),
            Function::Sigmoid => sigmoid(x) * sigmoid(-x),
            Function::Silu => sigmoid(x) * (1.0 + x * sigmoid(-x)),
            Function::HardSwish if x <= -3.0 => 0.0,
            Function::HardSwish if x >= 3.0 => 1.0,
            Function::HardSwish => x / 3.0 + 0.5,
        }
    }

    /// Where the derivative jumps.
    pub fn kinks(self) -> &'static [f64] {
        match self {
            Function::Relu | Function::LeakyRelu(_) => &[0.0],
            Function::Relu6 => &[0.0, 6.0],
            Function::HardSwish => &[-3.0, 3.0],
            Function::Identity | Function::Tanh | Function::Sigmoid | Function::Silu => &[],
        }
    }
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// LSQ+'s quantizer of a function's values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LsqPlus {
    /// Step s.
    pub step: f64,
    /// Offset β.
    pub offset: f64,
    /// Levels above the lowest: 2^b − 1.
    pub levels: f64,
    /// Whether values are rounded; else they are clipped alone, which is what the gradients are the
    /// derivative of, but for those inside that rounding has.
    pub rounding: bool,
}

impl LsqPlus {
    /// The level that stands for 0.
    pub fn zero_point(self) -> f64 {
        (-self.offset / self.step).round_ties_even().clamp(0.0, self.levels)
    }

    /// Lowest and highest value.
    pub fn range(self) -> (f64, f64) {
        let zero = self.zero_point();
        (-zero * self.step, (self.levels - zero) * self.step)
    }

    /// The quantized value of `v`.
    pub fn value(self, v: f64) -> f64 {
        let zero = self.zero_point();
        let position = (v / self.step).clamp(-zero, self.levels - zero);
        (if self.rounding { position.round_ties_even() } else { position }) * self.step
    }
}

/// Activation of one layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Activation {
    /// Identity.
    None,
    /// max(x, 0).
    Relu,
    /// Another function.
    Float(Function),
    /// clip(x, 0, α), or clip(x, −α, α), or the latter after a ReLU.
    Pact {
        /// Range and place.
        kind: PactKind,
        /// Clipping threshold α.
        alpha: f64,
        /// Steps from 0 to α; `None` leaves the clip unrounded, which is what its gradients are the
        /// derivative of.
        levels: Option<f64>,
    },
    /// PACT's grids with a learned step.
    Lsq {
        /// Range and place.
        kind: PactKind,
        /// Step s.
        step: f64,
        /// Steps from 0 to the end of the range.
        levels: f64,
    },
    /// A function whose values LSQ+ quantizes.
    LsqPlus(Function, LsqPlus),
}

impl Activation {
    /// PACT of `bits.activation` bits: 2^b − 1 steps unsigned, 2^(b−1) − 1 signed. ReLU at 32 bits.
    pub fn new(kind: PactKind, bits: LayerBits, alpha: f64) -> Self {
        if bits.activation >= 32 {
            return Activation::Relu;
        }
        Activation::Pact { kind, alpha, levels: Some(Activation::levels(kind, bits)) }
    }

    /// Steps from 0 to the end of the range: 2^b − 1 unsigned, 2^(b−1) − 1 signed.
    pub fn levels(kind: PactKind, bits: LayerBits) -> f64 {
        match kind {
            PactKind::Unsigned => 2f64.powi(bits.activation as i32) - 1.0,
            PactKind::Signed | PactKind::SignedAfterRelu => {
                2f64.powi(bits.activation as i32 - 1) - 1.0
            }
        }
    }

    /// The step between two levels, where values are rounded.
    pub fn step(self) -> Option<f64> {
        match self {
            Activation::Pact { alpha, levels: Some(levels), .. } => Some(alpha / levels),
            Activation::Lsq { step, .. } => Some(step),
            Activation::LsqPlus(_, own) if own.rounding => Some(own.step),
            _ => None,
        }
    }

    /// Ends of the range that is passed on unchanged.
    pub fn range(self) -> (f64, f64) {
        match self {
            Activation::None | Activation::Float(_) => (f64::NEG_INFINITY, f64::INFINITY),
            Activation::Relu => (0.0, f64::INFINITY),
            Activation::Pact { kind: PactKind::Signed, alpha, .. } => (-alpha, alpha),
            Activation::Pact { alpha, .. } => (0.0, alpha),
            Activation::Lsq { kind: PactKind::Signed, step, levels } => {
                (-levels * step, levels * step)
            }
            Activation::Lsq { step, levels, .. } => (0.0, levels * step),
            Activation::LsqPlus(function, own) => {
                let (low, high) = own.range();
                // A ReLU's values end at 0.
                (if function == Function::Relu { 0.0 } else { low }, high)
            }
        }
    }

    /// The clipped value.
    pub fn clip(self, x: f64) -> f64 {
        let (low, high) = self.range();
        x.max(low).min(high)
    }
}

/// The activated value of `x`.
pub fn activation(activation: Activation, x: f64) -> f64 {
    let clipped = activation.clip(x);
    match activation {
        Activation::Pact { alpha, levels: Some(levels), .. } => {
            (clipped * levels / alpha).round_ties_even() * alpha / levels
        }
        Activation::Lsq { step, .. } => (clipped / step).round_ties_even() * step,
        Activation::LsqPlus(function, own) => own.value(function.value(x)),
        Activation::Float(function) => function.value(x),
        _ => clipped,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_counted_from_the_bits() {
        let of = |kind, bits, x| {
            activation(Activation::new(kind, LayerBits { weight: 32, activation: bits }, 3.0), x)
        };
        assert_eq!(
            [-1.0, 0.4, 0.6, 1.5, 2.5, 9.0].map(|x| of(PactKind::Unsigned, 2, x)),
            [0., 0., 1., 2., 2., 3.]
        );
        assert_eq!([-9.0, -1.6, 1.4, 2.0].map(|x| of(PactKind::Signed, 2, x)), [-3., -3., 0., 3.]);
        assert_eq!([-9.0, 1.4, 2.0].map(|x| of(PactKind::SignedAfterRelu, 2, x)), [0., 0., 3.]);
        assert_eq!([-9.0, 1.4].map(|x| of(PactKind::Signed, 32, x)), [0., 1.4]);
    }

    #[test]
    fn an_offset_is_a_whole_number_of_levels() {
        let of = |function, offset, x| {
            let own = LsqPlus { step: 0.5, offset, levels: 3.0, rounding: true };
            activation(Activation::LsqPlus(function, own), x)
        };
        let values = [-9.0, -0.6, -0.2, 0.0, 0.3, 0.8, 1.1, 9.0];
        let all = |function, offset| values.map(|x| of(function, offset, x));
        let lowered = [-0.5, -0.5, 0.0, 0.0, 0.5, 1.0, 1.0, 1.0];
        // From −0.75, a tie, to −0.25 exclusive.
        for offset in [-0.7, -0.5, -0.3] {
            assert_eq!(all(Function::Identity, offset), lowered, "{offset}");
            assert_eq!(all(Function::Relu, offset), lowered.map(|value: f64| value.max(0.0)));
        }
        // 0 is the lowest level at most, and the highest at least.
        for (offset, low, high) in [(0.2, 0.0, 1.5), (7.0, 0.0, 1.5), (-7.0, -1.5, 0.0)] {
            let found = all(Function::Identity, offset);
            assert_eq!((found[0], found[3], found[7]), (low, 0.0, high), "{offset}");
        }
    }
}
