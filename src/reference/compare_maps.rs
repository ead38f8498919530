//! How alike two maps are.

fn normalized(product: f64, first: f64, second: f64) -> f64 {
    if first == 0.0 || second == 0.0 {
        return if first == second { 1.0 } else { 0.0 };
    }
    // √(x·x) is x: equal maps have exactly 1.
    (product / (first * second).sqrt()).clamp(-1.0, 1.0)
}

/// (Pearson correlation, cosine, ‖b − a‖₂ / ‖a‖₂, a · b) of every image's `values` values; what is
/// not defined as in the kernel.
pub fn compare_maps(a: &[f32], b: &[f32], values: usize) -> Vec<[f64; 4]> {
    let of_image = |(a, b): (&[f32], &[f32])| {
        let pairs: Vec<(f64, f64)> =
            a.iter().zip(b).map(|(&a, &b)| (f64::from(a), f64::from(b))).collect();
        let sum = |f: &dyn Fn(f64, f64) -> f64| pairs.iter().map(|&(a, b)| f(a, b)).sum::<f64>();
        let count = values as f64;
        // Differences from the first: the mean of a constant map is exact.
        let first = pairs[0];
        let (mean_a, mean_b) = (
            first.0 + sum(&|a, _| a - first.0) / count,
            first.1 + sum(&|_, b| b - first.1) / count,
        );
        let norm = sum(&|a, _| a * a);
        [
            normalized(
                sum(&|a, b| (a - mean_a) * (b - mean_b)),
                sum(&|a, _| (a - mean_a).powi(2)),
                sum(&|_, b| (b - mean_b).powi(2)),
            ),
            normalized(sum(&|a, b| a * b), norm, sum(&|_, b| b * b)),
            sum(&|a, b| (b - a).powi(2)).sqrt() / if norm == 0.0 { 1.0 } else { norm.sqrt() },
            sum(&|a, b| a * b),
        ]
    };
    a.chunks(values).zip(b.chunks(values)).map(of_image).collect()
}
