//! Running statistics, kept from one step that counts to the next.

/// Keeps `statistics` after a step that is applied, else takes them back to what was kept.
pub fn keep_statistics(apply: bool, statistics: &mut [f64], kept: &mut [f64]) {
    if apply {
        kept.copy_from_slice(statistics);
    } else {
        statistics.copy_from_slice(kept);
    }
}
