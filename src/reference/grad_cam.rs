//! Grad-CAM: a layer's channels weighted and enlarged to the image.

use crate::config::Shape;

/// `Σ_k weights[k] · layer[k]`, `[pixel]` of `image`, bilinear with align_corners false, of one
/// image's `layer`, [channel, row, column] of `shape`.
pub fn grad_cam(layer: &[f64], shape: Shape, weights: &[f64], image: Shape) -> Vec<f64> {
    let pixels = shape.pixels() as usize;
    let small: Vec<f64> = (0..pixels)
        .map(|pixel| {
            weights
                .iter()
                .enumerate()
                .map(|(channel, weight)| weight * layer[channel * pixels + pixel])
                .sum()
        })
        .collect();
    // (lower, upper, share of the upper) of the layer's rows or columns at pixel `at`.
    let place = |at: u32, length: u32, layer: u32| {
        let place = ((f64::from(at) + 0.5) * f64::from(layer) / f64::from(length) - 0.5).max(0.0);
        let low = (place.floor() as u32).min(layer - 1);
        (low, (low + 1).min(layer - 1), place - f64::from(low))
    };
    let value = |pixel: u32| {
        let (top, bottom, down) = place(pixel / image.width, image.height, shape.height);
        let (left, right, across) = place(pixel % image.width, image.width, shape.width);
        let at = |y: u32, x: u32| small[(y * shape.width + x) as usize];
        (1.0 - down) * ((1.0 - across) * at(top, left) + across * at(top, right))
            + down * ((1.0 - across) * at(bottom, left) + across * at(bottom, right))
    };
    (0..image.pixels()).map(value).collect()
}
