//! Initial step sizes of LSQ (Esser et al. 2020): 2·E|w|/√Q_p.

/// A step never falls below this: levels stay apart.
pub const STEP_FLOOR: f32 = 1e-6;

/// Q_p, the highest level of signed LSQ with `bits` bits (2 or more): 2^(b−1) − 1. The lowest is
/// −Q_p − 1.
pub fn highest_level(bits: u32) -> u32 {
    (1 << (bits - 1)) - 1
}

/// 2·E|x|/√`highest` for the mean magnitude E|x|, at least [`STEP_FLOOR`].
pub fn initial_step(mean_magnitude: f64, highest: u32) -> f32 {
    ((2.0 * mean_magnitude / f64::from(highest).sqrt()) as f32).max(STEP_FLOOR)
}

/// The initial steps of `weights` [out, …] with levels up to `highest`, in `count` equal pieces: 1,
/// or one an output channel.
pub fn initial_steps(weights: &[f32], count: usize, highest: u32) -> Vec<f32> {
    let piece = (weights.len() / count.max(1)).max(1);
    let mean =
        |piece: &[f32]| piece.iter().map(|&w| f64::from(w).abs()).sum::<f64>() / piece.len() as f64;
    weights.chunks_exact(piece).map(|piece| initial_step(mean(piece), highest)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_twice_the_mean_magnitude_over_the_root_of_the_highest_level() {
        assert_eq!([2, 3, 4, 8].map(highest_level), [1, 3, 7, 127]);
        let weights = [1.0, -1.0, 0.5, -0.5, 0.0, 0.0];
        assert_eq!(initial_steps(&weights, 1, 1), [1.0]);
        assert_eq!(initial_steps(&weights, 3, 4), [1.0, 0.5, STEP_FLOOR]);
    }
}
