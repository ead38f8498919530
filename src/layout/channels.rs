//! Channels in groups of 4: the memory layout of activations.

use crate::config::Shape;

/// Channels in a group: activations are stored as vectors of 4 channels, padded with zeros.
pub const GROUP: u32 = 4;

/// Number of groups of 4 that contain `channels`.
pub const fn groups(channels: u32) -> u32 {
    channels.div_ceil(GROUP)
}

/// `channels` with padding.
pub const fn padded(channels: u32) -> u32 {
    groups(channels) * GROUP
}

/// Values in the kernels' layout, [image, row, column, channel (padded)], as [image, channel, row,
/// column].
pub fn to_nchw(values: &[f32], shape: Shape) -> Vec<f32> {
    let (channels, pixels, stride) =
        (shape.channels as usize, shape.pixels() as usize, padded(shape.channels) as usize);
    let mut output = Vec::with_capacity(values.len() / stride * channels);
    for image in values.chunks_exact(pixels * stride) {
        for channel in 0..channels {
            output.extend((0..pixels).map(|pixel| image[pixel * stride + channel]));
        }
    }
    output
}

/// The inverse of [`to_nchw`], with zeros in the padding.
pub fn from_nchw(values: &[f32], shape: Shape) -> Vec<f32> {
    let (channels, pixels, stride) =
        (shape.channels as usize, shape.pixels() as usize, padded(shape.channels) as usize);
    let mut output = Vec::with_capacity(values.len() / channels * stride);
    for image in values.chunks_exact(pixels * channels) {
        for pixel in 0..pixels {
            output.extend((0..stride).map(|channel| {
                if channel < channels { image[channel * pixels + pixel] } else { 0.0 }
            }));
        }
    }
    output
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_are_inverse_to_each_other() {
        let shape = Shape::new(3, 2, 2);
        let values: Vec<f32> = (0..24).map(|value| value as f32).collect();
        let packed = from_nchw(&values, shape);
        assert_eq!(packed[..8], [0.0, 4.0, 8.0, 0.0, 1.0, 5.0, 9.0, 0.0]);
        assert_eq!(to_nchw(&packed, shape), values);
    }
}
