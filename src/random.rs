//! Counter-based random numbers, bit for bit those of `shaders/common/random.wgsl`: pcg4d
//! (Jarzynski and Olano, "Hash Functions for GPU Rendering", JCGT 9(3), 2020) of the key and the
//! counter of a number. The library's own random numbers (initial weights) come from here too.

/// The order of an epoch; keyed by epoch.
pub const SHUFFLE: u32 = 1;
/// Augmentation; keyed by step.
pub const AUGMENT: u32 = 2;
/// Values of masked features; keyed by step.
pub const FILL: u32 = 3;
/// Attribution methods.
pub const EXPLAIN: u32 = 4;
/// Initial weights.
pub const INITIALIZE: u32 = 5;
/// Noise of attribution methods; keyed by the image's number.
pub const NOISE: u32 = 16;
/// Points on the paths of attribution methods; keyed by the image's number.
pub const PATH: u32 = 17;
/// Masks of attribution methods, the same for every image.
pub const MASKS: u32 = 18;
/// Noise added to images for judgements.
pub const PERTURB: u32 = 32;
/// Resamples of the bootstrap.
pub const BOOTSTRAP: u32 = 33;
/// The images of `--test-share`.
pub const TEST_SHARE: u32 = 34;
/// Random assignments of bits; keyed by their number.
pub const SEARCH: u32 = 35;
/// Dropout layer 0; layer L uses `DROPOUT + L`, so no stream may follow.
pub const DROPOUT: u32 = 256;

const FEISTEL_ROUNDS: u32 = 8;

/// The hash: four words in, four well-mixed words out.
pub fn pcg4d(input: [u32; 4]) -> [u32; 4] {
    let [mut x, mut y, mut z, mut w] =
        input.map(|word| word.wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
    for round in 0..2 {
        x = x.wrapping_add(y.wrapping_mul(w));
        y = y.wrapping_add(z.wrapping_mul(x));
        z = z.wrapping_add(x.wrapping_mul(y));
        w = w.wrapping_add(y.wrapping_mul(z));
        if round == 0 {
            [x, y, z, w] = [x, y, z, w].map(|word| word ^ (word >> 16));
        }
    }
    [x, y, z, w]
}

/// The key of all numbers of one `stream` at one `step` (or epoch, or layer) of a run.
pub fn random_key(seed: u64, step: u32, stream: u32) -> [u32; 4] {
    pcg4d([seed as u32, (seed >> 32) as u32, step, stream])
}

/// Four numbers of 32 random bits for the counter (a, b, c).
pub fn random_bits(key: [u32; 4], a: u32, b: u32, c: u32) -> [u32; 4] {
    pcg4d([key[0].wrapping_add(a), key[1].wrapping_add(b), key[2].wrapping_add(c), key[3]])
}

/// A number in [0, 1), a multiple of 2⁻²⁴.
pub fn uniform01(bits: u32) -> f32 {
    (bits >> 8) as f32 * (1.0 / 16_777_216.0)
}

/// The image of `index` under a bijection of [0, `length`) that `key` selects: a Feistel network on
/// as many bits as `length` needs, repeated until the result is inside. An index outside is
/// returned unchanged.
pub fn permute(index: u32, length: u32, key: [u32; 4]) -> u32 {
    if index >= length {
        return index;
    }
    let bits = 32 - (length - 1).leading_zeros();
    let right_bits = bits - bits / 2;
    let (left_mask, right_mask) = ((1u32 << (bits / 2)) - 1, (1u32 << right_bits) - 1);
    let mut value = index;
    loop {
        let (mut left, mut right) = (value >> right_bits, value & right_mask);
        for round in (0..FEISTEL_ROUNDS).step_by(2) {
            left ^= random_bits(key, right, round, 0)[0] & left_mask;
            right ^= random_bits(key, left, round + 1, 0)[0] & right_mask;
        }
        value = (left << right_bits) | right;
        if value < length {
            return value;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_are_spread_evenly() {
        let key = random_key(7, 3, FILL);
        let count = 100_000u32;
        let (mut sum, mut square, mut product) = (0.0, 0.0, 0.0);
        for index in 0..count {
            let [x, y, _, _] = random_bits(key, index / 1000, index % 1000, 0)
                .map(|bits| f64::from(uniform01(bits)));
            assert!((0.0..1.0).contains(&x));
            sum += x;
            square += x * x;
            product += x * y;
        }
        let mean = sum / f64::from(count);
        assert!((mean - 0.5).abs() < 0.005, "{mean}");
        assert!((square / f64::from(count) - 1.0 / 3.0).abs() < 0.005);
        assert!((product / f64::from(count) - 0.25).abs() < 0.005);
    }

    #[test]
    fn streams_steps_and_seeds_differ() {
        let keys = [
            random_key(1, 1, FILL),
            random_key(1, 1, AUGMENT),
            random_key(1, 2, FILL),
            random_key(1 << 32 | 1, 1, FILL),
        ];
        for (index, key) in keys.iter().enumerate() {
            assert!(!keys[..index].contains(key));
        }
    }

    #[test]
    fn large_permutations_stay_inside() {
        for length in [60_000, (1 << 24) - 1, 1 << 24, u32::MAX] {
            let key = random_key(5, 0, SHUFFLE);
            assert!(
                (0..1000)
                    .chain(length - 1000..length)
                    .all(|index| permute(index, length, key) < length)
            );
        }
    }

    #[test]
    fn short_permutations_reach_every_order() {
        let mut orders = std::collections::HashSet::new();
        for epoch in 0..2000 {
            let key = random_key(11, epoch, SHUFFLE);
            orders.insert((0..5).map(|index| permute(index, 5, key)).collect::<Vec<_>>());
        }
        assert_eq!(orders.len(), 120);
    }

    proptest! {
        #[test]
        fn a_permutation_is_a_bijection(length in 1u32..5000, seed: u64, epoch: u32) {
            let key = random_key(seed, epoch, SHUFFLE);
            let mut seen = vec![false; length as usize];
            for index in 0..length {
                let target = permute(index, length, key) as usize;
                prop_assert!(!std::mem::replace(&mut seen[target], true));
            }
        }
    }
}
