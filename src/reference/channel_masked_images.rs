//! The images that Score-CAM looks at.

use super::{channel_ranges::channel_ranges, grad_cam::enlarged};
use crate::config::Shape;

/// A sample for each channel of one image's `layer`, [channel, row, column] of `shape`: `x`,
/// [channel, row, column] of `image`, in the shares of the enlarged channel, and `baseline` in the
/// rest.
pub fn channel_masked_images(
    layer: &[f64],
    shape: Shape,
    [x, baseline]: [&[f64]; 2],
    image: Shape,
) -> Vec<Vec<f64>> {
    let pixels = image.pixels() as usize;
    let channels = layer.chunks_exact(shape.pixels() as usize);
    let of_channel = |(channel, (lowest, highest)): (&[f64], (f64, f64))| -> Vec<f64> {
        let large = enlarged(channel, shape, image);
        let share = |pixel: usize| match highest > lowest {
            true => (large[pixel] - lowest) / (highest - lowest),
            false => 0.0,
        };
        let mixed = |(at, (x, b)): (usize, (&f64, &f64))| {
            (1.0 - share(at % pixels)) * b + share(at % pixels) * x
        };
        x.iter().zip(baseline).enumerate().map(mixed).collect()
    };
    channels.zip(channel_ranges(layer, shape, image)).map(of_channel).collect()
}
