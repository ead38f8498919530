//! How concentrated a map is.

/// (Gini coefficient, entropy) of every image's `values` values.
pub fn map_clarity(maps: &[f32], values: usize) -> Vec<[f64; 2]> {
    let of_image = |map: &[f32]| {
        let magnitudes: Vec<f64> = map.iter().map(|value| f64::from(value.abs())).collect();
        let mut sorted: Vec<f64> = magnitudes.iter().map(|value| value + 1e-7).collect();
        sorted.sort_unstable_by(f64::total_cmp);
        let count = values as f64;
        let weighted: f64 =
            sorted.iter().zip(1..).map(|(a, i)| (2.0 * f64::from(i) - count - 1.0) * a).sum();
        let total: f64 = magnitudes.iter().sum();
        let share = |value: f64| if total == 0.0 { 0.0 } else { value / total };
        let entropy = -magnitudes
            .iter()
            .map(|&value| share(value) * (share(value) + 1e-12).ln())
            .sum::<f64>();
        // Both are 0 or more; a value below 0 is a rounding error.
        [weighted / (count * sorted.iter().sum::<f64>()), entropy]
            .map(|value| if value < 0.0 { 0.0 } else { value })
    };
    maps.chunks(values).map(of_image).collect()
}
