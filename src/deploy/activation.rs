//! Activations as integer grids.

use crate::{
    Error, Result,
    config::{ActivationFunction, ActivationQuantizer, PactKind},
    graph::Activation,
    model::Model,
};

/// What stands behind a layer.
#[derive(Clone, Debug, PartialEq)]
pub enum DeployableActivation {
    /// A function of every value.
    Function(ActivationFunction),
    /// PACT, or a learned step and perhaps an offset: level = clamp(round(x / scale), lowest,
    /// highest), value = level · scale.
    Quantized(ActivationGrid),
}

impl DeployableActivation {
    /// What `activation` of `folded` is: a function, a quantizer that clips in its place, or a
    /// function and a quantizer behind it.
    pub(super) fn all(
        folded: &Model,
        activation: &Activation,
    ) -> Result<Vec<DeployableActivation>> {
        let (graph, pact) = (&folded.graph, folded.config.quantization.pact);
        let value = |id: Option<_>| -> Result<Option<f32>> {
            id.map(|id| Ok(graph.values_of(id, &folded.parameters)?[0])).transpose()
        };
        let function = activation.plan.function();
        let Some(learned) = value(activation.learned)? else {
            return Ok(vec![DeployableActivation::Function(function)]);
        };
        let learned = (learned, value(activation.offset)?.unwrap_or(0.0));
        let kind = activation.grid_kind(pact);
        let grid = ActivationGrid::new(activation.quantizer, kind, activation.bits, learned)?;
        // The ends of a grid are the clip of a ReLU.
        let is_clipped =
            matches!(function, ActivationFunction::Identity | ActivationFunction::Relu);
        let function = (!is_clipped).then_some(DeployableActivation::Function(function));
        Ok(function.into_iter().chain([DeployableActivation::Quantized(grid)]).collect())
    }

    /// Whether it clips values to a range, and does nothing else but round them.
    pub fn is_clip(&self) -> bool {
        match self {
            DeployableActivation::Function(function) => function.is_rectifier(),
            DeployableActivation::Quantized(_) => true,
        }
    }
}

/// The levels of a quantized activation.
///
/// The fake-quantized value is f32(level) · scale, with the product rounded once, as in
/// shaders/common/activation.wgsl. There x is clipped to α first; clamping the level instead gives
/// the same level, because α / scale is within 2^−23 · highest of `highest`. What can differ
/// between runtimes is round(x / scale) where x / scale is a few ulp from a half.
///
/// What is stored of a level is the number level + `zero_point`, a byte.
#[derive(Clone, Debug, PartialEq)]
pub struct ActivationGrid {
    /// How the scale was learned.
    pub quantizer: ActivationQuantizer,
    /// Range and place: [`PactKind::SignedAfterRelu`] is `Unsigned` with fewer levels; of LSQ+
    /// whether a ReLU stands in front.
    pub kind: PactKind,
    /// 1 to 8.
    pub bits: u32,
    /// Step between two levels: α / highest in f32, or the learned step.
    pub scale: f32,
    /// Lowest level: 0, or −(2^(b−1) − 1) of signed ones; of LSQ+ 0 behind a ReLU, else
    /// −`zero_point`.
    pub lowest: i32,
    /// Highest level: 2^b − 1, or 2^(b−1) − 1 of signed ones; of LSQ+ 2^b − 1 − `zero_point`.
    pub highest: i32,
    /// LSQ+'s number for 0, from 0 to 2^b − 1; else 0.
    pub zero_point: i32,
}

impl ActivationGrid {
    /// The grid of `bits` bits with what is learned: α, or the step of `lsq` and `lsq-plus`, and
    /// the offset of `lsq-plus`.
    ///
    /// # Errors
    /// [`Error::Model`] where there are no levels, or α is too small or large to divide.
    pub fn new(
        quantizer: ActivationQuantizer,
        kind: PactKind,
        bits: u32,
        (learned, offset): (f32, f32),
    ) -> Result<Self> {
        let has_offset = quantizer == ActivationQuantizer::LsqPlus;
        let highest = match kind {
            _ if has_offset => (1i32 << bits) - 1,
            PactKind::Unsigned => (1i32 << bits) - 1,
            PactKind::Signed | PactKind::SignedAfterRelu => (1 << (bits - 1)) - 1,
        };
        let scale = match quantizer {
            ActivationQuantizer::Pact => learned / highest as f32,
            ActivationQuantizer::Lsq | ActivationQuantizer::LsqPlus => learned,
        };
        if highest == 0 || !scale.is_normal() || scale < 0.0 {
            return Err(Error::Model(format!(
                "activations of {bits} bits with a range of {learned} have no levels"
            )));
        }
        let levels = highest as f32;
        let zero_point = match has_offset {
            true => (-offset / scale).round_ties_even().clamp(0.0, levels) as i32,
            false => 0,
        };
        let lowest = match kind {
            PactKind::Signed if has_offset => -zero_point,
            PactKind::Signed => -highest,
            PactKind::Unsigned | PactKind::SignedAfterRelu => 0,
        };
        let highest = highest - zero_point;
        Ok(ActivationGrid { quantizer, kind, bits, scale, lowest, highest, zero_point })
    }

    /// Whether stored numbers below 0 exist.
    pub fn is_signed(&self) -> bool {
        self.numbers()[0] < 0
    }

    /// Lowest and highest stored number, level + `zero_point`.
    pub fn numbers(&self) -> [i32; 2] {
        [self.lowest, self.highest].map(|level| level + self.zero_point)
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
                        ActivationGrid::new(ActivationQuantizer::Pact, kind, bits, (alpha, 0.0))
                            .unwrap();
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
        assert!(
            ActivationGrid::new(ActivationQuantizer::Pact, PactKind::Signed, 1, (1.0, 0.0))
                .is_err()
        );
        assert!(
            ActivationGrid::new(ActivationQuantizer::Lsq, PactKind::Unsigned, 4, (1e-39, 0.0))
                .is_err()
        );
        let step = ActivationGrid::new(ActivationQuantizer::Lsq, PactKind::Unsigned, 1, (0.5, 0.0))
            .unwrap();
        assert_eq!([-1.0, 0.24, 0.25, 0.26, 9.0].map(|x| step.level(x)), [0, 0, 0, 1, 1]);
    }

    #[test]
    fn an_offset_moves_the_levels_and_not_their_bytes() {
        let of = |kind, bits, offset| {
            ActivationGrid::new(ActivationQuantizer::LsqPlus, kind, bits, (0.5, offset)).unwrap()
        };
        for bits in 1..=8 {
            let levels = (1 << bits) - 1;
            for (offset, zero) in [(0.3, 0), (-0.2, 0), (-0.6, 1), (-1e9, levels)] {
                let all = of(PactKind::Signed, bits, offset);
                assert_eq!((all.zero_point, all.numbers()), (zero, [0, levels]));
                assert_eq!([all.lowest, all.highest], [-zero, levels - zero]);
                let rectified = of(PactKind::Unsigned, bits, offset);
                assert_eq!([rectified.lowest, rectified.highest], [0, levels - zero]);
                assert_eq!(rectified.numbers(), [zero, levels]);
                for grid in [all, rectified] {
                    assert!(!grid.is_signed() && grid.value(grid.level(0.0)) == 0.0, "{grid:?}");
                }
            }
        }
    }
}
