//! Which features a round of a judgement removes.

/// 1 where `positions` is below `removed`, else 0; with `inverted` the other way round.
pub fn mask_ranked(positions: &[u32], removed: u32, inverted: bool) -> Vec<u32> {
    positions.iter().map(|&position| u32::from((position < removed) != inverted)).collect()
}
