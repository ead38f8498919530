//! From the gradients of an image's samples to its attributions.

use super::samples::Samples;

/// Attributions of image `image`, [pixel, channel (padded)], from the gradients of all its samples;
/// `kind` is the kernel's KIND.
pub fn accumulate_gradients(
    samples: &Samples,
    kind: u32,
    image: usize,
    gradients: &[Vec<f64>],
) -> Vec<f64> {
    let (x, b, n) = (samples.image(image), samples.baseline(image), gradients.len() as f64);
    let sum = |f: &dyn Fn(usize, usize) -> f64| -> Vec<f64> {
        (0..x.len()).map(|at| (0..gradients.len()).map(|sample| f(sample, at)).sum()).collect()
    };
    match kind {
        1 => sum(&|sample, at| gradients[sample][at].powi(2) / n),
        2 => {
            let mean = sum(&|sample, at| gradients[sample][at] / n);
            sum(&|sample, at| (gradients[sample][at] - mean[at]).powi(2) / n)
        }
        3 => sum(&|sample, at| x[at] * gradients[sample][at]),
        4 => sum(&|sample, at| (x[at] - b[at]) * samples.table[sample][1] * gradients[sample][at]),
        5 => {
            let noise: Vec<_> =
                (0..gradients.len()).map(|sample| samples.noise(image, sample as u32)).collect();
            let from: Vec<_> = (0..gradients.len())
                .map(|sample| samples.baseline(samples.random_start(image, sample as u32).1))
                .collect();
            sum(&|sample, at| {
                (x[at] + noise[sample][at] - from[sample][at]) * gradients[sample][at] / n
            })
        }
        _ => sum(&|sample, at| gradients[sample][at] / n),
    }
}
