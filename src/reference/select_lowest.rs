//! Which features of an image have the lowest gradient (algorithm 1, step 2).

use std::cmp::Ordering;

/// NaN above everything, −0 equal to +0.
fn compare(a: f32, b: f32) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

/// 1 for the `k` pixels of every image with the lowest rank value, 0 for the others; ties go to the
/// lower pixel.
///
/// `gradient` is [image, pixel, padded channel]. The rank value is the average over channels of the
/// gradient, or of its magnitude with `by_magnitude`; averages are compared by their f32 sums in
/// channel order, as the kernel has to: a division could make ties of them. With `highest` the
/// negative of it is ranked: the k features of highest value are marked.
pub fn select_lowest(
    gradient: &[f32],
    pixels: usize,
    channels: usize,
    k: usize,
    by_magnitude: bool,
    highest: bool,
) -> Vec<u32> {
    let stride = channels.next_multiple_of(4);
    let mut mask = Vec::new();
    for image in gradient.chunks(pixels * stride) {
        let value = |&value: &f32| if by_magnitude { value.abs() } else { value };
        let ranks: Vec<f32> = image
            .chunks(stride)
            .map(|pixel| {
                pixel[1..channels].iter().map(value).fold(value(&pixel[0]), |sum, v| sum + v)
            })
            .map(|rank| if highest { -rank } else { rank })
            .collect();
        let mut order: Vec<usize> = (0..pixels).collect();
        order.sort_by(|&a, &b| compare(ranks[a], ranks[b]));
        let mut own = vec![0; pixels];
        order.iter().take(k).for_each(|&pixel| own[pixel] = 1);
        mask.extend(own);
    }
    mask
}
