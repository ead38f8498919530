//! What quantizing one slot alone does.

use serde::Serialize;

use super::{probe::Probe, slots::Space};
use crate::{
    Result,
    model::Model,
    post_training::{ActivationRanges, Calibration, PostTraining, WeightRanges},
};

/// The damage of one slot at one width, all others in float.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Sensitivity {
    /// Increase of the loss.
    pub loss: f64,
    /// 1 − rank correlation of maps with the float network's.
    pub alignment: f64,
    /// Mean squared gradient times squared quantization error.
    pub fisher: f64,
}

/// [`Sensitivity`] of every slot and width.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sensitivities(pub Vec<Vec<Sensitivity>>);

impl Sensitivities {
    /// Damages for [`super::solve`]: `share` of alignment, the rest of loss. Each is divided by
    /// what all slots do together at their worst. A loss beyond that of guessing counts as
    /// guessing.
    pub fn damages(&self, share: f64, classes: u32) -> Vec<Vec<f64>> {
        let guess = f64::from(classes).ln();
        let loss = self.scaled(|own| if own.loss.is_nan() { guess } else { own.loss.min(guess) });
        let alignment = self.scaled(|own| own.alignment);
        let mix = |(loss, alignment): (Vec<f64>, Vec<f64>)| {
            let pairs = loss.into_iter().zip(alignment);
            pairs.map(|(loss, alignment)| (1.0 - share) * loss + share * alignment).collect()
        };
        loss.into_iter().zip(alignment).map(mix).collect()
    }

    /// Damages by squared gradients.
    pub fn fisher_damages(&self) -> Vec<Vec<f64>> {
        self.scaled(|own| own.fisher)
    }

    /// Damages by the loss, without a limit.
    pub fn loss_damages(&self) -> Vec<Vec<f64>> {
        self.scaled(|own| own.loss)
    }

    fn scaled(&self, value: impl Fn(&Sensitivity) -> f64) -> Vec<Vec<f64>> {
        let finite = |own: &Sensitivity| {
            let value = value(own);
            if value.is_finite() { value } else { f64::from(f32::MAX) }
        };
        let worst = |slot: &Vec<Sensitivity>| slot.iter().map(finite).fold(0.0, f64::max);
        let scale = self.0.iter().map(worst).sum::<f64>().max(1e-12);
        self.0.iter().map(|slot| slot.iter().map(|own| finite(own) / scale).collect()).collect()
    }
}

/// Quantizes every slot of `model` alone, to every width, and measures it; `fisher` is what
/// [`super::fisher`] found. `progress` receives the number of finished measurements.
///
/// # Errors
/// Errors of quantization and of the device.
pub async fn sensitivities(
    space: &Space,
    model: &Model,
    (weights, activations): (&WeightRanges, &ActivationRanges),
    calibration: Calibration,
    (probe, fisher): (&Probe<'_>, &[Vec<f64>]),
    progress: &mut dyn FnMut(u64) -> Result<()>,
) -> Result<Sensitivities> {
    let mut all = Vec::new();
    let mut done = 0;
    for (slot, fisher) in fisher.iter().enumerate() {
        let mut of_slot = Vec::new();
        for (width, &fisher) in fisher.iter().enumerate() {
            let options = PostTraining { quantization: space.only(slot, width), calibration };
            let (quantized, _) = weights.quantize(model, &options, activations)?;
            let measured = probe.measure(&quantized).await?;
            of_slot.push(Sensitivity {
                loss: measured.loss - probe.float.loss,
                alignment: 1.0 - measured.alignment,
                fisher,
            });
            done += 1;
            progress(done)?;
        }
        all.push(of_slot);
    }
    Ok(Sensitivities(all))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damages_are_shares_of_the_worst() {
        let of = |loss, alignment| Sensitivity { loss, alignment, fisher: 2.0 * loss };
        let own = Sensitivities(vec![
            vec![of(9.0, 0.5), of(0.1, 0.25)],
            vec![of(f64::NAN, 0.5), of(0.0, 0.0)],
        ]);
        let guess = f64::from(4u32).ln();
        let loss = own.damages(0.0, 4);
        assert_eq!(loss[0][0], 0.5);
        assert_eq!(loss[1], [0.5, 0.0]);
        assert!((loss[0][1] - 0.1 / (2.0 * guess)).abs() < 1e-12);
        assert_eq!(own.damages(1.0, 4), [[0.5, 0.25], [0.5, 0.0]]);
        let half = own.damages(0.5, 4)[0][1];
        assert!((half - (0.125 + 0.05 / (2.0 * guess))).abs() < 1e-12, "{half}");
    }
}
