//! Which kernels a convolution has.

use crate::kernels::GroupedShape;

/// Taps of a depthwise filter at most whose weights and sums are in registers.
const MOST_TAPS: u32 = 49;
/// Pixels that a row of taps, some apart, spreads over at most: all are loaded.
const MOST_DILATED: u32 = 16;

/// Kernels of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConvolutionFamily {
    /// Every output sums all channels.
    Dense,
    /// Every channel has a filter of its own.
    Depthwise,
    /// Any sets of channels, any windows.
    Grouped,
}

impl ConvolutionFamily {
    /// The kernels for `shape`.
    pub fn of(shape: GroupedShape) -> ConvolutionFamily {
        let [_, dilation] = shape.window.dilation;
        let [_, extent] = shape.window.extent();
        let is_close = dilation == 1 || extent <= MOST_DILATED;
        match shape.set_channels() {
            _ if !is_close => ConvolutionFamily::Grouped,
            _ if shape.sets == 1 => ConvolutionFamily::Dense,
            [1, 1] if shape.window.taps() <= MOST_TAPS => ConvolutionFamily::Depthwise,
            _ => ConvolutionFamily::Grouped,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Shape, Window};

    #[test]
    fn families_are_told_by_sets_and_windows() {
        let plain = Window::from([3, 1, 1]);
        let of = |[inputs, outputs, sets]: [u32; 3], window| {
            let [input, output] = [inputs, outputs].map(|channels| Shape::new(channels, 40, 40));
            ConvolutionFamily::of(GroupedShape { input, output, window, sets })
        };
        use ConvolutionFamily::{Dense, Depthwise, Grouped};
        assert_eq!(of([6, 8, 1], plain), Dense);
        assert_eq!(of([6, 6, 6], plain), Depthwise);
        assert_eq!(of([6, 12, 6], plain), Grouped);
        assert_eq!(of([6, 4, 2], plain), Grouped);
        assert_eq!(of([1, 1, 1], plain), Dense);
        let dilated = |dilation| Window { dilation, ..plain };
        assert_eq!(of([6, 8, 1], dilated([9, 7])), Dense);
        assert_eq!(of([6, 8, 1], dilated([1, 8])), Grouped);
        assert_eq!(of([6, 6, 6], dilated([8, 8])), Grouped);
        assert_eq!(of([6, 6, 6], Window { kernel: [7, 8], ..plain }), Grouped);
    }
}
