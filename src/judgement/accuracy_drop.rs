//! Accuracy drop (paper, IV-C and Fig. 3): the accuracy as the features with the highest
//! attribution are removed.

use serde::{Deserialize, Serialize};

use super::{
    Fill, Subject,
    removal::{Removal, Round},
};
use crate::{Result, sgt::features_of};

/// Removed shares: 0, `step`, 2·`step`, … percent, up to 90.
pub fn removed_shares(step: u32) -> Vec<f64> {
    (0..=90).step_by(step.max(1) as usize).map(|percent| f64::from(percent) / 100.0).collect()
}

/// Accuracy against the removed share of the features.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DropCurve {
    /// Removed shares, 0..=1, ascending.
    pub removed: Vec<f64>,
    /// Accuracy at each share, 0..=1.
    pub accuracy: Vec<f64>,
    /// Area under the curve by the trapezoid rule, divided by the range of shares: the mean
    /// accuracy. Lower is better: the explanation ranks the features that the network uses first.
    pub area: f64,
}

impl DropCurve {
    /// The curve through these points.
    pub fn new(removed: Vec<f64>, accuracy: Vec<f64>) -> DropCurve {
        let area = area(&removed, &accuracy);
        DropCurve { removed, accuracy, area }
    }
}

/// Area under the curve by the trapezoid rule, divided by the range of `x`; the mean of `y` if the
/// range is empty.
pub(super) fn area(x: &[f64], y: &[f64]) -> f64 {
    let range = x.last().zip(x.first()).map_or(0.0, |(last, first)| last - first);
    if range <= 0.0 {
        return y.iter().sum::<f64>() / y.len().max(1) as f64;
    }
    let trapezoids =
        x.windows(2).zip(y.windows(2)).map(|(x, y)| (x[1] - x[0]) * (y[0] + y[1]) / 2.0);
    trapezoids.sum::<f64>() / range
}

/// A recorded accuracy drop.
pub struct AccuracyDrop<'a> {
    removal: Removal<'a>,
    shares: Vec<f64>,
    labels: Vec<u32>,
}

impl<'a> AccuracyDrop<'a> {
    /// Records the removal of `shares` of the pixels with `fill`.
    ///
    /// # Errors
    /// Errors of the device.
    pub fn record(
        subject: Subject<'a>,
        fill: Fill,
        shares: &[f64],
        seed: u64,
    ) -> Result<AccuracyDrop<'a>> {
        let pixels = subject.shape().pixels();
        let rounds: Vec<Round> = shares
            .iter()
            .map(|&share| Round { removed: features_of(share, pixels), ..Round::default() })
            .collect();
        let removal = Removal::record(subject, None, fill, &rounds, seed)?;
        let labels = subject.images.labels.clone();
        Ok(AccuracyDrop { removal, shares: shares.to_vec(), labels })
    }

    /// The curve for `maps`, [N, C, H, W].
    ///
    /// # Errors
    /// Errors of the device.
    pub async fn run(&self, maps: &[f32], progress: &mut dyn FnMut(u64)) -> Result<DropCurve> {
        Ok(self.run_by_image(maps, progress).await?.0)
    }

    /// As [`Self::run`], with the area under the curve of every single image, whose accuracy is 1
    /// or 0 at each share. A comparison of two curves image by image needs these areas. Their mean
    /// is the curve's area.
    ///
    /// # Errors
    /// Errors of the device.
    pub async fn run_by_image(
        &self,
        maps: &[f32],
        progress: &mut dyn FnMut(u64),
    ) -> Result<(DropCurve, Vec<f64>)> {
        let outcomes = self.removal.run(maps, progress).await?;
        let correct: Vec<Vec<f64>> = outcomes
            .iter()
            .map(|round| {
                round
                    .iter()
                    .zip(&self.labels)
                    .map(|(one, label)| f64::from(one.predicted == *label))
                    .collect()
            })
            .collect();
        let (accuracy, areas) = by_image(&self.shares, &correct, self.labels.len());
        Ok((DropCurve::new(self.shares.clone(), accuracy), areas))
    }
}

/// Accuracy at every share, and the area of every image's own curve, computed from
/// `correct[share][image]`, 1 or 0.
fn by_image(shares: &[f64], correct: &[Vec<f64>], images: usize) -> (Vec<f64>, Vec<f64>) {
    let accuracy =
        correct.iter().map(|round| round.iter().sum::<f64>() / images.max(1) as f64).collect();
    let own = |image: usize| correct.iter().map(|round| round[image]).collect::<Vec<f64>>();
    (accuracy, (0..images).map(|image| area(shares, &own(image))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_area_is_the_mean_of_the_images_areas() {
        let shares = [0.0, 0.3, 0.9];
        let correct =
            [vec![1.0, 1.0, 0.0, 1.0], vec![1.0, 0.0, 0.0, 1.0], vec![0.0, 1.0, 0.0, 1.0]];
        let (accuracy, areas) = by_image(&shares, &correct, 4);
        assert_eq!(accuracy, [0.75, 0.5, 0.5]);
        // For the first image: (0.3·1 + 0.6·0.5)/0.9.
        assert!(
            (areas[0] - 0.6 / 0.9).abs() < 1e-12
                && areas[2] == 0.0
                && (areas[3] - 1.0).abs() < 1e-12,
            "{areas:?}"
        );
        let curve = DropCurve::new(shares.into(), accuracy);
        assert!((areas.iter().sum::<f64>() / 4.0 - curve.area).abs() < 1e-12);
    }

    #[test]
    fn shares_and_areas() {
        assert_eq!(removed_shares(30), [0.0, 0.3, 0.6, 0.9]);
        assert_eq!(removed_shares(10).len(), 10);
        assert!((area(&[0.0, 0.5, 1.0], &[1.0, 0.5, 0.0]) - 0.5).abs() < 1e-15);
        assert!((area(&[0.0, 0.9], &[0.4, 0.4]) - 0.4).abs() < 1e-15);
        assert_eq!(area(&[0.0], &[0.7]), 0.7);
    }
}
