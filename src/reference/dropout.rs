//! Dropout in training.

use crate::layout::{ImagesRange, StepRecord};
use crate::random;

/// Factor on every element of the images of `images`, [image, element]: 0 or 1/(1 − rate). `layer`
/// numbers the dropout layers of a network; `elements` is the number of floats of an image, a
/// multiple of 4.
pub fn dropout(
    images: &ImagesRange,
    step: &StepRecord,
    layer: u32,
    rate: f32,
    elements: usize,
) -> Vec<f64> {
    let seed = u64::from(step.seed_low) | u64::from(step.seed_high) << 32;
    let key = random::random_key(seed, step.step, random::DROPOUT + layer);
    let mut factors = Vec::new();
    for image in images.first..images.first + images.count {
        let masked = image >= step.count;
        let place = step.position + if masked { image - step.count } else { image };
        for element in 0..elements {
            let draw = random::uniform01(
                random::random_bits(key, place, (element / 4) as u32, u32::from(masked))
                    [element % 4],
            );
            factors.push(if draw >= rate { 1.0 / (1.0 - f64::from(rate)) } else { 0.0 });
        }
    }
    factors
}
