//! From the scores of an image's samples to the attributions of its pixels.

use super::samples::Samples;

/// A value a pixel from the scores of all samples of an image; `kind` is the kernel's KIND: 4
/// occlusion, whose sample 0 is the image itself, 5 RISE.
pub fn accumulate_scores(samples: &Samples, kind: u32, scores: &[f64]) -> Vec<f64> {
    if kind == 5 {
        let masks: Vec<_> = (0..scores.len()).map(|sample| samples.mask(sample as u32)).collect();
        let weight = scores.len() as f64 * samples.grid.1;
        return (0..masks[0].len())
            .map(|pixel| {
                scores.iter().zip(&masks).map(|(score, mask)| score * mask[pixel]).sum::<f64>()
                    / weight
            })
            .collect();
    }
    let windows = samples.windows();
    let of_pixel = |pixel: u32| {
        let falls = windows
            .iter()
            .zip(&scores[1..])
            .filter(|(window, _)| samples.covers(**window, pixel))
            .map(|(_, score)| scores[0] - score);
        let (count, sum) = falls.fold((0, 0.0), |(count, sum), fall| (count + 1, sum + fall));
        sum / f64::from(count.max(1))
    };
    (0..samples.shape.pixels()).map(of_pixel).collect()
}
