//! Sums over the images of a part.

/// (Σ cross entropy, Σ D_KL, Σ correct, images), and whether any of it was not finite.
pub fn sum_metrics(sums: &[[f32; 4]]) -> ([f64; 4], bool) {
    let mut total = [0.0, 0.0, 0.0, sums.len() as f64];
    for image in sums {
        (0..3).for_each(|field| total[field] += f64::from(image[field]));
    }
    (total, sums.iter().flatten().any(|value| !value.is_finite()))
}
