//! The images that an attribution method looks at.

use super::samples::Samples;
use crate::layout::padded;

/// Sample `sample` of image `image`, [pixel, channel (padded)]; `kind` is the kernel's KIND.
pub fn sample_images(samples: &Samples, kind: u32, image: usize, sample: u32) -> Vec<f64> {
    let (x, b) = (samples.image(image), samples.baseline(image));
    let stride = padded(samples.shape.channels) as usize;
    let between = |b: &[f64], x: &[f64], share: &dyn Fn(usize) -> f64| -> Vec<f64> {
        b.iter().zip(x).enumerate().map(|(at, (b, x))| b + share(at / stride) * (x - b)).collect()
    };
    let noisy = || -> Vec<f64> {
        x.iter().zip(samples.noise(image, sample)).map(|(x, noise)| x + noise).collect()
    };
    let mut value = match kind {
        1 => noisy(),
        2 => between(b, x, &|_| samples.table[sample as usize][0]),
        3 => {
            let (along, number) = samples.random_start(image, sample);
            between(samples.baseline(number), &noisy(), &|_| along)
        }
        4 if sample > 0 => {
            let window = samples.windows()[sample as usize - 1];
            between(b, x, &|pixel| f64::from(u8::from(!samples.covers(window, pixel as u32))))
        }
        5 => {
            let mask = samples.mask(sample);
            between(b, x, &|pixel| mask[pixel])
        }
        _ => x.to_vec(),
    };
    let channels = samples.shape.channels as usize;
    value
        .iter_mut()
        .enumerate()
        .filter(|(at, _)| at % stride >= channels)
        .for_each(|(_, value)| *value = 0.0);
    value
}
