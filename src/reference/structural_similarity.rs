//! Structural similarity of two maps (Wang et al. 2004).

/// Mean over windows and channels of every pair of maps, [image, channel, row, column]; each map
/// divided by its largest magnitude.
pub fn structural_similarity(
    a: &[f32],
    b: &[f32],
    [channels, height, width]: [usize; 3],
    window: usize,
) -> Vec<f64> {
    let radius = (window / 2) as f64;
    let gauss: Vec<f64> =
        (0..window).map(|tap| (-(tap as f64 - radius).powi(2) / (2.0 * 1.5 * 1.5)).exp()).collect();
    let total: f64 = gauss.iter().sum();
    let (c1, c2) = ((0.01f64 * 2.0).powi(2), (0.03f64 * 2.0).powi(2));
    let scaled = |map: &[f32]| -> Vec<f64> {
        let largest = map.iter().fold(0.0f32, |most, value| most.max(value.abs()));
        map.iter()
            .map(|&value| f64::from(value) / if largest == 0.0 { 1.0 } else { f64::from(largest) })
            .collect()
    };
    let of_image = |(a, b): (&[f32], &[f32])| {
        let (a, b) = (scaled(a), scaled(b));
        let mut similarities = Vec::new();
        for channel in 0..channels {
            for top in 0..=height - window {
                for left in 0..=width - window {
                    let mean = |f: &dyn Fn(f64, f64) -> f64| {
                        let mut sum = 0.0;
                        for (row, vertical) in gauss.iter().enumerate() {
                            for (column, horizontal) in gauss.iter().enumerate() {
                                let at = (channel * height + top + row) * width + left + column;
                                sum += vertical * horizontal / (total * total) * f(a[at], b[at]);
                            }
                        }
                        sum
                    };
                    let (mean_a, mean_b) = (mean(&|a, _| a), mean(&|_, b| b));
                    let variance_a = mean(&|a, _| (a - mean_a).powi(2));
                    let variance_b = mean(&|_, b| (b - mean_b).powi(2));
                    let covariance = mean(&|a, b| (a - mean_a) * (b - mean_b));
                    similarities.push(
                        (2.0 * mean_a * mean_b + c1) * (2.0 * covariance + c2)
                            / ((mean_a * mean_a + mean_b * mean_b + c1)
                                * (variance_a + variance_b + c2)),
                    );
                }
            }
        }
        similarities.iter().sum::<f64>() / similarities.len() as f64
    };
    let size = channels * height * width;
    a.chunks(size).zip(b.chunks(size)).map(of_image).collect()
}
