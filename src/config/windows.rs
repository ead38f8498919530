//! Arithmetic of windows along one axis: those of convolutions and pools.

/// Pixels from the first tap of a window to its last one.
pub(crate) fn extent(kernel: u32, dilation: u32) -> u64 {
    u64::from(kernel.saturating_sub(1)) * u64::from(dilation) + 1
}

/// Zeros in front and behind together for ⌈size / stride⌉ outputs, TensorFlow's `SAME`. A `stride`
/// of 0 counts as 1.
pub(crate) fn same_padding(size: u32, extent: u64, stride: u32) -> u64 {
    let (size, stride) = (u64::from(size), u64::from(stride.max(1)));
    let covered = (size.div_ceil(stride) - 1) * stride + extent;
    covered.saturating_sub(size)
}

/// Windows along an axis of `size` pixels with `pads` in front and behind, as torch.nn's pools have
/// them; none where not even one fits. The `stride` is at least 1.
pub(crate) fn count_windows(
    size: u32,
    (extent, stride): (u64, u32),
    pads: [u32; 2],
    ceil_mode: bool,
) -> Option<u32> {
    let ([front, back], stride) = (pads.map(u64::from), u64::from(stride));
    let size = u64::from(size);
    let beyond = if ceil_mode { stride - 1 } else { 0 };
    let last = (size + front + back + beyond).checked_sub(extent)? / stride;
    // A window that would start behind the image is left out.
    let is_outside = ceil_mode && last * stride >= size + front;
    u32::try_from(last + u64::from(!is_outside)).ok()
}
