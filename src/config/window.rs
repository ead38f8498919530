//! Windows over images, those of convolutions and pools, and arithmetic along one axis.

use super::shape::Shape;

/// A window over pixels. Pairs are of rows and columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Height and width in taps.
    pub kernel: [u32; 2],
    /// Steps between outputs.
    pub stride: [u32; 2],
    /// Distance of taps.
    pub dilation: [u32; 2],
    /// Zeros above, to the left, below and to the right.
    pub padding: [u32; 4],
}

/// A square window as [kernel, stride, padding].
impl From<[u32; 3]> for Window {
    fn from([kernel, stride, padding]: [u32; 3]) -> Window {
        Window::plain([kernel, stride, padding])
    }
}

impl Window {
    /// A square window as [kernel, stride, padding].
    pub const fn plain([kernel, stride, padding]: [u32; 3]) -> Window {
        Window { kernel: [kernel; 2], stride: [stride; 2], dilation: [1; 2], padding: [padding; 4] }
    }

    /// Windows of `kernel` side by side.
    pub const fn side_by_side(kernel: [u32; 2]) -> Window {
        Window { kernel, stride: kernel, dilation: [1; 2], padding: [0; 4] }
    }

    /// Zeros in front of and behind the rows (0) or columns (1).
    pub fn pads(self, axis: usize) -> [u32; 2] {
        [self.padding[axis], self.padding[axis + 2]]
    }

    /// Largest number of windows that contain a pixel, of rows and of columns.
    pub fn overlaps(self) -> [u32; 2] {
        [0, 1].map(|axis| self.kernel[axis].div_ceil(self.stride[axis]))
    }

    /// Its [kernel, stride, padding], where it is square, with as many zeros on every side, and not
    /// dilated.
    pub fn square(self) -> Option<[u32; 3]> {
        let plain = [self.kernel[0], self.stride[0], self.padding[0]];
        (self == plain.into()).then_some(plain)
    }

    /// Taps of a filter.
    pub fn taps(self) -> u32 {
        self.kernel[0] * self.kernel[1]
    }

    /// Rows and columns from the first tap to the last one.
    pub fn extent(self) -> [u32; 2] {
        [0, 1].map(|axis| (self.kernel[axis] - 1) * self.dilation[axis] + 1)
    }

    /// Rows and columns that come out of an image of `input`.
    pub fn outputs(self, input: Shape) -> [u32; 2] {
        let ([top, left, bottom, right], [height, width]) = (self.padding, self.extent());
        [
            (input.height + top + bottom - height) / self.stride[0] + 1,
            (input.width + left + right - width) / self.stride[1] + 1,
        ]
    }

    /// [row, column] of the pixel of `input` that tap `tap` meets at the output `[row, column]`;
    /// none in the padding.
    pub fn pixel(self, input: Shape, output: [u32; 2], tap: u32) -> Option<[u32; 2]> {
        let taps = [tap / self.kernel[1], tap % self.kernel[1]];
        let along = |axis: usize, size: u32| {
            let place = output[axis] * self.stride[axis] + taps[axis] * self.dilation[axis];
            place.checked_sub(self.padding[axis]).filter(|&place| place < size)
        };
        Some([along(0, input.height)?, along(1, input.width)?])
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_square_where_both_axes_and_all_sides_are_alike() {
        let plain = Window::from([3, 2, 1]);
        assert_eq!(plain.square(), Some([3, 2, 1]));
        assert_eq!((plain.taps(), plain.extent()), (9, [3, 3]));
        assert_eq!(plain.outputs(Shape::new(1, 8, 9)), [4, 5]);
        for other in [
            Window { kernel: [3, 2], ..plain },
            Window { stride: [1, 2], ..plain },
            Window { dilation: [2; 2], ..plain },
            Window { padding: [1, 1, 2, 1], ..plain },
        ] {
            assert_eq!(other.square(), None);
        }
        let other =
            Window { kernel: [2, 3], stride: [1, 2], dilation: [3, 2], padding: [0, 1, 2, 0] };
        assert_eq!((other.taps(), other.extent()), (6, [4, 5]));
        let input = Shape::new(1, 8, 9);
        assert_eq!(other.outputs(input), [7, 3]);
        assert_eq!(other.pixel(input, [0, 0], 0), None);
        assert_eq!(other.pixel(input, [0, 0], 1), Some([0, 1]));
        assert_eq!(other.pixel(input, [6, 2], 3), None);
        assert_eq!(other.pixel(input, [4, 2], 5), Some([7, 7]));
    }
}
