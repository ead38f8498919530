//! Images in another normalisation.

/// `values`, normalised by `from` (mean, deviation), as `to` normalises the same pixels.
pub fn renormalize_images(values: &[f64], from: (f64, f64), to: (f64, f64)) -> Vec<f64> {
    values.iter().map(|value| ((value * from.1 + from.0) - to.0) / to.1).collect()
}
