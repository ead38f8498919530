//! Activations: ReLU, and PACT (Choi et al. 2018; signed: the paper's eq. (6)) with fake
//! quantization to `levels` steps from 0 to α: y = round(clip(x)·levels/α)·α/levels, rounding half
//! to even. LSQ (Esser et al. 2020) is the same with a learned step s = α/levels.

use crate::config::{LayerBits, PactKind};

/// Activation of one layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Activation {
    /// Identity.
    None,
    /// max(x, 0).
    Relu,
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
            _ => None,
        }
    }

    /// Ends of the range that is passed on unchanged.
    pub fn range(self) -> (f64, f64) {
        match self {
            Activation::None => (f64::NEG_INFINITY, f64::INFINITY),
            Activation::Relu => (0.0, f64::INFINITY),
            Activation::Pact { kind: PactKind::Signed, alpha, .. } => (-alpha, alpha),
            Activation::Pact { alpha, .. } => (0.0, alpha),
            Activation::Lsq { kind: PactKind::Signed, step, levels } => {
                (-levels * step, levels * step)
            }
            Activation::Lsq { step, levels, .. } => (0.0, levels * step),
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
}
