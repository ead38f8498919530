//! How many invocations a workgroup has, and how many workgroups a dispatch.

/// Invocations of a workgroup in kernels that take an image (or a pixel) an invocation.
pub const LANES: u32 = 64;

/// Workgroups for a flat kernel over `items` with `per_workgroup` items a workgroup: along x as far
/// as one dimension goes, then along y.
pub fn flat_workgroups(items: u64, per_workgroup: u32) -> [u32; 3] {
    const PER_DIMENSION: u64 = 65_535;
    let total = items.div_ceil(u64::from(per_workgroup.max(1)));
    let columns = total.min(PER_DIMENSION);
    let rows = if columns == 0 { 0 } else { total.div_ceil(columns) };
    [columns as u32, u32::try_from(rows).unwrap_or(u32::MAX), 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flat_workgroups_cover_everything() {
        assert_eq!(flat_workgroups(0, 8), [0, 0, 1]);
        assert_eq!(flat_workgroups(9, 8), [2, 1, 1]);
        let [x, y, _] = flat_workgroups(65_536 * 8, 8);
        assert_eq!((x, y), (65_535, 2));
    }
}
