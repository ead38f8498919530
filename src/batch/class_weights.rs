//! Weights of classes in the cross entropy.

use crate::{
    Result,
    data::Split,
    gpu::{Buffer, Gpu},
    layout::StepRecord,
    random,
};

/// Weights of classes, with what is needed to sum them over a batch.
pub struct ClassWeights {
    /// A float each.
    pub buffer: Buffer,
    of_images: Vec<f32>,
}

impl ClassWeights {
    /// The weights of [`inverse_frequencies`] of the images of `split`, of `classes` classes.
    ///
    /// # Errors
    /// [`crate::Error::OutOfMemory`]
    pub fn balanced(gpu: &Gpu, split: &Split, classes: u32) -> Result<ClassWeights> {
        let weights = inverse_frequencies(&split.labels, classes);
        let of_images = split.labels.iter().map(|&label| weights[label as usize]).collect();
        Ok(ClassWeights { buffer: gpu.upload("class weights", &weights)?, of_images })
    }

    /// The sum over the images of `batch`, one record for the whole.
    pub fn sum(&self, batch: &StepRecord, shuffle: bool) -> f32 {
        let order = random::random_key(batch.seed(), batch.epoch, random::SHUFFLE);
        let source = |place| match shuffle {
            true => random::permute(place, batch.epoch_images, order),
            false => place,
        };
        let places = batch.position..batch.position + batch.batch;
        places.map(|place| f64::from(self.of_images[source(place) as usize])).sum::<f64>() as f32
    }
}

/// For every class (images) / ((classes with images) · (images of the class)), so that the mean
/// weight of an image is 1; 0 for a class without images.
pub fn inverse_frequencies(labels: &[u32], classes: u32) -> Vec<f32> {
    let mut counts = vec![0usize; classes as usize];
    labels.iter().for_each(|&label| counts[label as usize] += 1);
    let there = counts.iter().filter(|&&count| count > 0).count();
    let weight = |&count: &usize| match count {
        0 => 0.0,
        _ => (labels.len() as f64 / (there * count) as f64) as f32,
    };
    counts.iter().map(weight).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As scikit-learn's `compute_class_weight("balanced")`.
    #[test]
    fn weights_are_inverse_frequencies() {
        assert_eq!(
            inverse_frequencies(&[0, 0, 0, 2, 0, 2, 3, 0], 5),
            [8.0 / 15.0, 0.0, 8.0 / 6.0, 8.0 / 3.0, 0.0]
        );
        assert!(inverse_frequencies(&[], 2).iter().all(|&weight| weight == 0.0));
    }
}
