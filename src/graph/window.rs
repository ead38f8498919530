//! The windows of a convolution.

use crate::config::Shape;

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
        Window { kernel: [kernel; 2], stride: [stride; 2], dilation: [1; 2], padding: [padding; 4] }
    }
}

impl Window {
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
