//! Activations as integer grids.

use crate::{
    Error, Result,
    config::{ActivationQuantizer, PactKind},
};

/// What stands behind a layer.
#[derive(Clone, Debug, PartialEq)]
pub enum DeployableActivation {
    /// max(x, 0).
    Relu,
    /// PACT or a learned step: level = clamp(round(x / scale), lowest, highest), value = level ·
    /// scale.
    Quantized(ActivationGrid),
}

/// The levels of a quantized activation.
///
/// The fake-quantized value is f32(level) · scale, with the product rounded once, as in
/// shaders/common/activation.wgsl. There x is clipped to α first; clamping the level instead gives
/// the same level, because α / scale is within 2^−23 · highest of `highest`. What can differ
/// between runtimes is round(x / scale) where x / scale is a few ulp from a half.
#[derive(Clone, Debug, PartialEq)]
pub struct ActivationGrid {
    /// How the scale was learned.
    pub quantizer: ActivationQuantizer,
    /// Range and place: [`PactKind::SignedAfterRelu`] is `Unsigned` with fewer levels.
    pub kind: PactKind,
    /// 1 to 8.
    pub bits: u32,
    /// Step between two levels: α / highest in f32, or the learned step.
    pub scale: f32,
    /// Lowest level: 0, or −(2^(b−1) − 1) of signed ones.
    pub lowest: i32,
    /// Highest level: 2^b − 1, or 2^(b−1) − 1 of signed ones.
    pub highest: i32,
}

impl ActivationGrid {
    /// The grid of `bits` bits with the learned parameter `learned`: α, or the step of `lsq`.
    ///
    /// # Errors
    /// [`Error::Model`] where there are no levels, or α is too small or large to divide.
    pub fn new(
        quantizer: ActivationQuantizer,
        kind: PactKind,
        bits: u32,
        learned: f32,
    ) -> Result<Self> {
        let highest = match kind {
            PactKind::Unsigned => (1i32 << bits) - 1,
            PactKind::Signed | PactKind::SignedAfterRelu => (1 << (bits - 1)) - 1,
        };
        let scale = match quantizer {
            ActivationQuantizer::Pact => learned / highest as f32,
            ActivationQuantizer::Lsq => learned,
        };
        if highest == 0 || !scale.is_normal() || scale < 0.0 {
            return Err(Error::Model(format!(
                "activations of {bits} bits with a range of {learned} have no levels"
            )));
        }
        let lowest = if kind == PactKind::Signed { -highest } else { 0 };
        Ok(ActivationGrid { quantizer, kind, bits, scale, lowest, highest })
    }

    /// Whether levels below 0 exist.
    pub fn is_signed(&self) -> bool {
        self.lowest < 0
    }

    /// The level of `x`, in f32 as the kernels compute it.
    pub fn level(&self, x: f32) -> i32 {
        ((x / self.scale).round_ties_even() as i32).clamp(self.lowest, self.highest)
    }

    /// The fake-quantized value of `level`.
    pub fn value(&self, level: i32) -> f32 {
        level as f32 * self.scale
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_those_of_the_clipped_value() {
        for kind in [PactKind::Unsigned, PactKind::Signed, PactKind::SignedAfterRelu] {
            for bits in 2..=8 {
                for alpha in [0.1f32, 0.7, 1.0, 3.3, 1234.5] {
                    let grid =
                        ActivationGrid::new(ActivationQuantizer::Pact, kind, bits, alpha).unwrap();
                    assert_eq!(grid.is_signed(), kind == PactKind::Signed);
                    for at in -30..30 {
                        let x = alpha * at as f32 / 20.0;
                        let low = if kind == PactKind::Signed { -alpha } else { 0.0 };
                        let fake =
                            (x.clamp(low, alpha) / grid.scale).round_ties_even() * grid.scale;
                        assert_eq!(grid.value(grid.level(x)), fake, "{grid:?} {x}");
                    }
                }
            }
        }
        assert!(ActivationGrid::new(ActivationQuantizer::Pact, PactKind::Signed, 1, 1.0).is_err());
        assert!(
            ActivationGrid::new(ActivationQuantizer::Lsq, PactKind::Unsigned, 4, 1e-39).is_err()
        );
        let step =
            ActivationGrid::new(ActivationQuantizer::Lsq, PactKind::Unsigned, 1, 0.5).unwrap();
        assert_eq!([-1.0, 0.24, 0.25, 0.26, 9.0].map(|x| step.level(x)), [0, 0, 0, 1, 1]);
    }
}
