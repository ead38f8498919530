//! Input × gradient.

/// The product, element by element.
pub fn input_times_gradient(pixels: &[f32], gradient: &[f32]) -> Vec<f64> {
    pixels.iter().zip(gradient).map(|(&pixel, &slope)| f64::from(pixel) * f64::from(slope)).collect()
}
