//! What replaces masked features (algorithm 1, step 3).

use super::image_statistics;
use crate::{config::MaskFill, layout::StepRecord, random};

/// Standard deviation of the blur in pixels.
const SIGMA: f64 = 2.0;
/// Pixels that the blur reaches, each way.
const RADIUS: i64 = 8;

/// Mirrors `at` at both ends into [0, length) without repeating the border, as often as it takes.
fn reflect(mut at: i64, length: i64) -> usize {
    while length > 1 && !(0..length).contains(&at) {
        at = if at < 0 { -at } else { 2 * (length - 1) - at };
    }
    if length == 1 { 0 } else { at as usize }
}

/// The masked copies of `pixels` [image, row, column, padded channel], where `mask` [image, pixel]
/// is not 0.
pub fn fill_masked(
    fill: MaskFill,
    step: &StepRecord,
    pixels: &[f32],
    mask: &[u32],
    [height, width, channels]: [usize; 3],
) -> Vec<f64> {
    let stride = channels.next_multiple_of(4);
    let per_image = height * width * stride;
    let seed = u64::from(step.seed_low) | u64::from(step.seed_high) << 32;
    let key = random::random_key(seed, step.step, random::FILL);
    let statistics = image_statistics::image_statistics(pixels, height * width, channels);
    let weights: Vec<f64> =
        (-RADIUS..=RADIUS).map(|d| (-(d * d) as f64 / (2.0 * SIGMA * SIGMA)).exp()).collect();
    let weight_sum = weights.iter().sum::<f64>();
    let mut output: Vec<f64> = pixels.iter().map(|&value| f64::from(value)).collect();
    for (image, clean) in pixels.chunks(per_image).enumerate() {
        let [lowest, highest, mean, _] = statistics[image];
        for pixel in (0..height * width).filter(|pixel| mask[image * height * width + pixel] != 0) {
            for channel in 0..channels {
                let element = pixel * stride + channel;
                let value = match fill {
                    MaskFill::Uniform => {
                        let bits = random::random_bits(
                            key,
                            step.position + image as u32,
                            (element / 4) as u32,
                            0,
                        );
                        lowest
                            + f64::from(random::uniform01(bits[channel % 4])) * (highest - lowest)
                    }
                    MaskFill::Zero => 0.0,
                    MaskFill::Mean => mean,
                    MaskFill::Corner => f64::from(clean[channel]),
                    MaskFill::Blur => {
                        let (y, x) = ((pixel / width) as i64, (pixel % width) as i64);
                        let mut sum = 0.0;
                        for dy in -RADIUS..=RADIUS {
                            for dx in -RADIUS..=RADIUS {
                                let weight = weights[(dy + RADIUS) as usize]
                                    * weights[(dx + RADIUS) as usize]
                                    / (weight_sum * weight_sum);
                                let source = reflect(y + dy, height as i64) * width
                                    + reflect(x + dx, width as i64);
                                sum += weight * f64::from(clean[source * stride + channel]);
                            }
                        }
                        sum
                    }
                };
                output[image * per_image + element] = value;
            }
        }
    }
    output
}
