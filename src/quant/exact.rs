//! Integers that f32 holds.

/// Whether f32 holds every integer up to `bound` in magnitude, and so every sum of integers, in any
/// order, that does not exceed it on the way.
pub const fn is_exact_in_f32(bound: u64) -> bool {
    bound <= 1 << f32::MANTISSA_DIGITS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_is_the_last_integer_before_a_gap() {
        let survives = |value: u64| (value as f32) as u64 == value;
        for bound in [0, 1, (1 << 24) - 1, 1 << 24] {
            assert!(is_exact_in_f32(bound) && survives(bound), "{bound}");
        }
        // The first integer that f32 does not hold; the next one it does hold, but not all up to
        // it.
        assert!(!is_exact_in_f32((1 << 24) + 1) && !survives((1 << 24) + 1));
        assert!(!is_exact_in_f32((1 << 24) + 2) && !is_exact_in_f32(u64::MAX));
    }
}
