//! The order of the features of every image by value.

use std::cmp::Ordering;

/// NaN above everything, −0 equal to +0.
fn compare(a: f32, b: f32) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

/// (positions, ranks) of the features of every image of `values`, [image, plane, feature]: places
/// from 0 with ties in the order of the features, ranks from 1 with ties sharing their average.
/// Values of planes are summed in f32, as the kernel has to: other sums could make other ties.
pub fn rank_values(
    values: &[f32],
    features: usize,
    planes: usize,
    magnitude: bool,
    descending: bool,
) -> (Vec<u32>, Vec<f64>) {
    let (mut positions, mut ranks) = (Vec::new(), Vec::new());
    for image in values.chunks(planes * features) {
        let value = |plane: usize, feature: usize| {
            let value = image[plane * features + feature];
            if magnitude { value.abs() } else { value }
        };
        let sums: Vec<f32> = (0..features)
            .map(|feature| {
                (1..planes).fold(value(0, feature), |sum, plane| sum + value(plane, feature))
            })
            .collect();
        let mut order: Vec<usize> = (0..features).collect();
        order.sort_by(|&a, &b| {
            if descending { compare(sums[b], sums[a]) } else { compare(sums[a], sums[b]) }
        });
        let (mut own_positions, mut own_ranks) = (vec![0; features], vec![0.0; features]);
        for (place, &feature) in order.iter().enumerate() {
            own_positions[feature] = place as u32;
            let equal = |&&other: &&usize| compare(sums[other], sums[feature]).is_eq();
            let before = order[..place].iter().rev().take_while(equal).count();
            let after = order[place..].iter().take_while(equal).count();
            own_ranks[feature] = place as f64 + 0.5 * (after as f64 - before as f64 + 1.0);
        }
        positions.extend(own_positions);
        ranks.extend(own_ranks);
    }
    (positions, ranks)
}
