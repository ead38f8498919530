//! The number of invocations per workgroup and of workgroups per dispatch, and the data that a
//! dispatch moves.

use super::ImageRange;
use crate::{gpu::Work, shaders::Specialization, storage::Format};

/// Invocations of a workgroup of the elementwise kernels.
pub const ELEMENTWISE: u32 = 64;

/// Invocations of a workgroup in kernels with one image (or pixel) per invocation.
pub const LANES: u32 = 64;

/// Invocations of a workgroup that works on one image.
pub const PER_IMAGE: u32 = 64;

/// One workgroup per image.
pub(in crate::kernels) fn per_image() -> Specialization {
    Specialization::new().tile("WORKGROUP", PER_IMAGE)
}

/// Workgroups for a flat kernel over `items` with `per_workgroup` items a workgroup: along x as far
/// as one dimension goes, then along y.
pub fn flat_workgroups(items: u64, per_workgroup: u32) -> [u32; 3] {
    const PER_DIMENSION: u64 = 65_535;
    let total = items.div_ceil(u64::from(per_workgroup.max(1)));
    let columns = total.min(PER_DIMENSION);
    let rows = if columns == 0 { 0 } else { total.div_ceil(columns) };
    [columns as u32, u32::try_from(rows).unwrap_or(u32::MAX), 1]
}

/// `workgroups` spread over two dimensions.
pub fn grid(workgroups: u32) -> [u32; 3] {
    flat_workgroups(u64::from(workgroups), 1)
}

/// The work of a pass that moves `elements` groups of 4 numbers in `format` for each of `images`
/// and computes very little.
pub(in crate::kernels) fn moved(images: ImageRange<'_>, elements: u32, format: Format) -> Work {
    let bytes = format.group_bytes() * u64::from(images.most) * u64::from(elements);
    Work { flops: 0, bytes }
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
