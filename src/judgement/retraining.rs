//! ROAR, remove and retrain (Hooker et al. 2019): the accuracy of networks that are trained again
//! without the features of highest attribution. Unlike the plain accuracy drop, it does not test a
//! network on images that differ from its training images.

use super::{DropCurve, Fill, Subject, removed_images};
use crate::{
    Result,
    config::{Normalize, PixelNormalization, RunConfig, Shape},
    data::{Dataset, Split},
    gpu::Gpu,
    train::{Observer, Start, Trainer},
};

/// The removed shares and the fill.
#[derive(Clone, Debug, PartialEq)]
pub struct RetrainingOptions {
    /// Values that replace removed pixels.
    pub fill: Fill,
    /// Removed shares of the pixels, ascending.
    pub shares: Vec<f64>,
    /// Seed of the fill.
    pub seed: u64,
}

/// Converts images in normalised units to bytes.
fn bytes(images: &[f32], normalization: &PixelNormalization, shape: Shape) -> Vec<u8> {
    let byte = |(at, value): (usize, &f32)| {
        let pixel = normalization.pixel(*value, shape.channel_of(at));
        (pixel * 255.0).round().clamp(0.0, 255.0) as u8
    };
    images.iter().enumerate().map(byte).collect()
}

/// Trains a network by `config` from scratch for every share. `subjects` are the explained model on
/// the training and on the test images of `dataset`, and `maps` its maps of these images. Each run
/// has its own folder inside `config.out`. The accuracies are those on the test images with the
/// same share of their pixels removed.
///
/// # Errors
/// Errors of the device and of training.
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
            let images = bytes(&images.swap_remove(0), &subject.normalization, subject.shape());
            left.push(Split { images, labels: subject.images.labels.clone() });
        }
        let (test, train) = (left.pop().unwrap_or_default(), left.pop().unwrap_or_default());
        let removed = Dataset { train, test, ..dataset.clone() };
        let mut config = config.clone();
        config.init = None;
        // The normalisation of the whole images, as for the maps, not that of images with removed
        // features.
        config.normalize = Normalize::Fixed(subjects[0].normalization);
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
        let normalization = PixelNormalization::uniform(0.1307, 0.3081);
        let shape = Shape::new(1, 16, 16);
        let all: Vec<u8> = (0..=255).collect();
        let normalized: Vec<f32> =
            all.iter().map(|&byte| (f32::from(byte) / 255.0 - 0.1307) / 0.3081).collect();
        assert_eq!(bytes(&normalized, &normalization, shape), all);
        assert_eq!(bytes(&[-9.0, 9.0], &normalization, shape), [0, 255]);
    }
}
