//! Smallest, largest and mean value of images.

/// (min, max, mean, 0) of each image of `pixels` [image, pixel, padded channel] over its real
/// channels.
pub fn image_statistics(pixels: &[f32], pixels_per_image: usize, channels: usize) -> Vec<[f64; 4]> {
    let stride = channels.next_multiple_of(4);
    pixels
        .chunks(pixels_per_image * stride)
        .map(|image| {
            let values: Vec<f64> = image
                .chunks(stride)
                .flat_map(|pixel| &pixel[..channels])
                .map(|&value| f64::from(value))
                .collect();
            let lowest = values.iter().copied().fold(f64::INFINITY, f64::min);
            let highest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            [lowest, highest, values.iter().sum::<f64>() / values.len() as f64, 0.0]
        })
        .collect()
}
