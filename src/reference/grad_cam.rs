//! Grad-CAM: a layer's channels weighted and enlarged to the image.

use crate::config::Shape;

/// `Σ_k weights[k] · layer[k]`, `[pixel]` of `image`, bilinear with align_corners false, of one
/// image's `layer`, [channel, row, column] of `shape`; with its negative values set to 0 before it
/// is enlarged where it is `rectified`.
pub fn grad_cam(
    layer: &[f64],
    shape: Shape,
    weights: &[f64],
    image: Shape,
    rectified: bool,
) -> Vec<f64> {
    let pixels = shape.pixels() as usize;
    let sum = |pixel: usize| -> f64 {
        let channels = weights.iter().enumerate();
        channels.map(|(channel, weight)| weight * layer[channel * pixels + pixel]).sum()
    };
    let relu = |value: f64| if rectified { value.max(0.0) } else { value };
    let small: Vec<f64> = (0..pixels).map(|pixel| relu(sum(pixel))).collect();
    enlarged(&small, shape, image)
}

/// `small`, one value a pixel of `shape`, enlarged to `image`.
pub fn enlarged(small: &[f64], shape: Shape, image: Shape) -> Vec<f64> {
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
