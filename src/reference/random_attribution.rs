//! Attribution at random.

use crate::random;

/// U(−1, 1) for every pixel and channel of image number `index` of the data set, [pixel, padded
/// channel].
pub fn random_attribution(seed: u64, index: u32, pixels: usize, channels: usize) -> Vec<f32> {
    let stride = channels.next_multiple_of(4);
    let key = random::random_key(seed, 0, random::EXPLAIN);
    (0..pixels * stride)
        .map(|element| {
            let bits = random::random_bits(key, index, (element / 4) as u32, 0)[element % 4];
            if element % stride < channels { random::uniform01(bits) * 2.0 - 1.0 } else { 0.0 }
        })
        .collect()
}
