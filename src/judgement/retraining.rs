//! ROAR, remove and retrain (Hooker et al. 2019): accuracy of networks trained anew without the
//! features that an explanation calls important. Unlike the plain accuracy drop it does not show a
//! network images unlike those it was trained on.

use super::{DropCurve, Fill, Subject, removed_images};
use crate::{
    Result,
    config::{Normalize, RunConfig},
    data::{Dataset, Split},
    gpu::Gpu,
    train::{Observer, Start, Trainer},
};

/// What is removed, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct RetrainingOptions {
    /// What removed pixels become.
    pub fill: Fill,
    /// Shares of the pixels removed, ascending.
    pub shares: Vec<f64>,
    /// Seed of the fill.
    pub seed: u64,
}

/// Images in normalised units as bytes.
fn bytes(images: &[f32], (mean, deviation): (f32, f32)) -> Vec<u8> {
    images
        .iter()
        .map(|value| ((value * deviation + mean) * 255.0).round().clamp(0.0, 255.0) as u8)
        .collect()
}

/// Trains a network as `config` says, from scratch, for every share; `subjects` are the explained
/// model on the training and on the test images of `dataset`, `maps` its maps of them. Each run has
/// a folder of its own inside `config.out`. The accuracies are those on the test images, with the
/// same share of their pixels removed.
///
/// # Errors
/// Of the device and of training.
pub async fn retrain(
    gpu: &Gpu,
    config: &RunConfig,
    dataset: &Dataset,
    subjects: [Subject<'_>; 2],
    maps: [&[f32]; 2],
    options: &RetrainingOptions,
    observer: &mut dyn Observer,
) -> Result<DropCurve> {
    let mut accuracies = Vec::new();
    for &share in &options.shares {
        let mut left = Vec::new();
        for (subject, maps) in subjects.into_iter().zip(maps) {
            let mut images =
                removed_images(subject, maps, options.fill, &[share], options.seed, &mut |_| {})
                    .await?;
            let images = bytes(&images.swap_remove(0), subject.normalization);
            left.push(Split { images, labels: subject.images.labels.clone() });
        }
        let (test, train) = (left.pop().unwrap_or_default(), left.pop().unwrap_or_default());
        let removed = Dataset { train, test, ..dataset.clone() };
        let mut config = config.clone();
        config.init = None;
        // Of whole images, as the maps have it, not of images with features removed.
        let (mean, deviation) = subjects[0].normalization;
        config.normalize = Normalize::Fixed { mean, deviation };
        config.out = config.out.join(format!("{:02.0}", share * 100.0));
        let mut trainer = Trainer::new(gpu, &config, &removed)?;
        accuracies.push(trainer.run(Start::Replace, observer).await?.evaluation.accuracy);
    }
    Ok(DropCurve::new(options.shares.clone(), accuracies))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_survive_normalisation() {
        let normalization = (0.1307, 0.3081);
        let all: Vec<u8> = (0..=255).collect();
        let normalized: Vec<f32> =
            all.iter().map(|&byte| (f32::from(byte) / 255.0 - 0.1307) / 0.3081).collect();
        assert_eq!(bytes(&normalized, normalization), all);
        assert_eq!(bytes(&[-9.0, 9.0], normalization), [0, 255]);
    }
}
