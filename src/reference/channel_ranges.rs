//! Lowest and highest value of every channel of a layer, enlarged to the image.

use super::grad_cam::enlarged;
use crate::config::Shape;

/// `[channel]` (lowest, highest) of one image's `layer`, [channel, row, column] of `shape`.
pub fn channel_ranges(layer: &[f64], shape: Shape, image: Shape) -> Vec<(f64, f64)> {
    let of_channel = |channel: &[f64]| {
        let large = enlarged(channel, shape, image);
        let lowest = large.iter().copied().fold(f64::INFINITY, f64::min);
        (lowest, large.iter().copied().fold(f64::NEG_INFINITY, f64::max))
    };
    layer.chunks_exact(shape.pixels() as usize).map(of_channel).collect()
}
