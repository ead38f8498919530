//! Windows of convolutions and pools as nodes describe them, and the pools that they are.

use super::{Fallible, node::Node};
use crate::config::{
    self, AveragePool, MAX_POOL_KERNEL, MAX_POOL_PIXELS, MaxPool, Shape, count_windows, extent,
    same_padding,
};

/// Most zeros on a side.
const MOST_PADDING: u32 = 1 << 16;

/// Places over an image that outputs are made of; pairs are of rows and columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) kernel: [u32; 2],
    pub(super) stride: [u32; 2],
    pub(super) dilation: [u32; 2],
    /// Pixels added above, to the left, below, to the right.
    pub(super) sides: [u32; 4],
    /// Whether a last window may reach beyond these.
    is_ceil: bool,
}

impl Window {
    /// The window of `node` over images of `input` with `pads` zeros around them.
    pub(super) fn new(
        node: Node<'_>,
        kernel: [u32; 2],
        input: Shape,
        pads: [u32; 4],
    ) -> Fallible<Window> {
        let stride = node.sizes("strides", 1, 1)?;
        let dilation = node.sizes("dilations", 1, 1)?;
        let size = [input.height, input.width];
        let own: [u32; 4] = match node.text("auto_pad").unwrap_or("NOTSET") {
            "NOTSET" | "" => node.sizes("pads", 0, 0)?,
            "VALID" => [0; 4],
            same @ ("SAME_UPPER" | "SAME_LOWER") if pads == [0; 4] => {
                let mut sides = [0; 4];
                for axis in 0..2 {
                    let extent = extent(kernel[axis], dilation[axis]);
                    let all = same_padding(size[axis], extent, stride[axis]);
                    let front = if same == "SAME_UPPER" { all / 2 } else { all.div_ceil(2) };
                    let fit = |pad: u64| u32::try_from(pad).map_err(|_| "its window is too large");
                    (sides[axis], sides[axis + 2]) = (fit(front)?, fit(all - front)?);
                }
                sides
            }
            other => return Err(format!("auto_pad {other} is not supported")),
        };
        let mut sides = [0; 4];
        for (side, (own, pad)) in sides.iter_mut().zip(own.into_iter().zip(pads)) {
            let sum = own.checked_add(pad).filter(|&sum| sum <= MOST_PADDING);
            *side = sum.ok_or_else(|| format!("it pads by more than {MOST_PADDING}"))?;
        }
        let is_ceil = node.integer("ceil_mode", 0)? != 0;
        Ok(Window { kernel, stride, dilation, sides, is_ceil })
    }

    /// One window over planes of at most `size` rows and columns.
    pub(super) fn whole(size: u32) -> Window {
        let both = [size; 2];
        Window { kernel: both, stride: both, dilation: [1; 2], sides: [0; 4], is_ceil: true }
    }

    /// Windows along the rows (0) or columns (1) of `input`; none where not even one fits.
    fn count(&self, axis: usize, input: Shape) -> Option<u32> {
        let window = (extent(self.kernel[axis], self.dilation[axis]), self.stride[axis]);
        let pads = [self.sides[axis], self.sides[axis + 2]];
        count_windows([input.height, input.width][axis], window, pads, self.is_ceil)
    }

    fn counts(&self, input: Shape) -> Option<[u32; 2]> {
        Some([self.count(0, input)?, self.count(1, input)?])
    }

    /// The windows of a pool, whose taps are neighbours, with `padding` around the image.
    fn of_pool(&self, padding: [u32; 4]) -> Option<config::Window> {
        let Window { kernel, stride, dilation, .. } = *self;
        (dilation == [1; 2]).then_some(config::Window { kernel, stride, dilation, padding })
    }

    /// The windows and ceil modes of pools that these windows may be of where padding does not
    /// count, those that PyTorch's pools have first.
    fn likely(&self) -> impl Iterator<Item = (config::Window, bool)> {
        let [top, left, ..] = self.sides;
        let windows = [[top, left, top, left], self.sides].map(|padding| self.of_pool(padding));
        let modes = |window| [false, true].map(|ceil_mode| (window, ceil_mode));
        windows.into_iter().flatten().flat_map(modes)
    }

    /// What is said of a window that no pool has.
    fn misfit(&self) -> String {
        let Window { kernel, stride, sides, dilation, .. } = self;
        format!(
            "a pool with kernel {kernel:?}, strides {stride:?}, pads {sides:?} and dilations \
             {dilation:?} is not supported; dilations of 1, pads of at most a window on both \
             sides together, and overlapping windows of at most {MAX_POOL_PIXELS} pixels are"
        )
    }

    /// The max-pools that have these windows over `input`, one behind the other. What is padded is
    /// never a maximum: padding below and to the right only makes room for windows.
    pub(super) fn max_pools(&self, input: Shape) -> Fallible<Vec<MaxPool>> {
        let misfit = || self.misfit();
        let counts = self.counts(input).ok_or_else(misfit)?;
        if self.kernel[0].saturating_mul(self.kernel[1]) > MAX_POOL_PIXELS {
            return self.maxima_of_maxima(input, counts).ok_or_else(misfit);
        }
        let fits = |(window, ceil_mode)| {
            let pool = MaxPool { window, ceil_mode };
            let own = [pool.windows(0, input.height), pool.windows(1, input.width)];
            (own == counts.map(Ok)).then_some(vec![pool])
        };
        self.likely().find_map(fits).ok_or_else(misfit)
    }

    /// Max-pools one behind the other that have these windows, `counts` of them over `input`, each
    /// with windows of few pixels; none where windows overlap or are padded.
    fn maxima_of_maxima(&self, input: Shape, counts: [u32; 2]) -> Option<Vec<MaxPool>> {
        if self.dilation != [1; 2] || self.sides != [0; 4] {
            return None;
        }
        let pool = |kernel: [u32; 2], ceil_mode| MaxPool {
            window: config::Window::side_by_side(kernel),
            ceil_mode,
        };
        let mut size = [input.height, input.width];
        let is_all = counts == [1; 2] && (0..2).all(|axis| self.kernel[axis] >= size[axis]);
        let factors = self.kernel.map(|kernel| {
            (1..=MAX_POOL_KERNEL).rev().find(|factor| kernel.is_multiple_of(*factor)).unwrap_or(1)
        });
        let rest = [self.kernel[0] / factors[0], self.kernel[1] / factors[1]];
        let is_whole = self.kernel == self.stride
            && counts == [size[0] / self.kernel[0], size[1] / self.kernel[1]];
        if is_whole && rest[0].saturating_mul(rest[1]) <= MAX_POOL_PIXELS {
            return Some(vec![pool(factors, false), pool(rest, false)]);
        }
        if !is_all {
            return None;
        }
        // Of the whole image, windows need not divide the size: the last one has what is left.
        let mut pools = Vec::new();
        while size != [1; 2] {
            let kernel = size.map(|size| size.min(MAX_POOL_KERNEL));
            let rest = [size[0].div_ceil(kernel[0]), size[1].div_ceil(kernel[1])];
            let is_ceil = (0..2).any(|axis| rest[axis] * kernel[axis] != size[axis]);
            pools.push(pool(kernel, is_ceil));
            size = rest;
        }
        Some(pools)
    }

    /// The average-pool that has these windows over `input`; none where there is none.
    pub(super) fn average_pool(&self, input: Shape, counts_padding: bool) -> Option<AveragePool> {
        let counts = self.counts(input)?;
        let fits = |(window, ceil_mode)| {
            let pool = AveragePool { window, ceil_mode, count_include_pad: counts_padding };
            let own = [pool.windows(0, input.height), pool.windows(1, input.width)];
            (own == counts.map(Ok)).then_some(pool)
        };
        match counts_padding && self.sides != [0; 4] {
            // What counts is the same as in the file.
            true => self.of_pool(self.sides).and_then(|window| fits((window, self.is_ceil))),
            false => self.likely().find_map(fits),
        }
    }

    /// Whether the window is the whole of `input` and nothing else.
    pub(super) fn is_whole(&self, input: Shape) -> bool {
        self.kernel == [input.height, input.width]
            && self.sides == [0; 4]
            && self.dilation == [1; 2]
            && self.counts(input) == Some([1; 2])
    }

    /// Whether means over the windows of `input` are sums with the same factor everywhere.
    pub(super) fn is_uniform(&self, input: Shape, counts_padding: bool) -> bool {
        let whole = Window { is_ceil: false, ..*self };
        (counts_padding || self.sides == [0; 4])
            && self.counts(input).is_some_and(|counts| whole.counts(input) == Some(counts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Window =
        Window { kernel: [2; 2], stride: [2; 2], dilation: [1; 2], sides: [0; 4], is_ceil: false };

    #[test]
    fn padding_behind_an_image_makes_room_for_windows() {
        let input = Shape::new(1, 7, 7);
        let pools = |window: Window| window.max_pools(input);
        assert_eq!(pools(PLAIN), Ok(vec![MaxPool::inside(2, 2)]));
        let same = Window { sides: [0, 0, 1, 1], ..PLAIN };
        let ceil = MaxPool { ceil_mode: true, ..MaxPool::inside(2, 2) };
        assert_eq!(pools(same), Ok(vec![ceil]));
        for (kernel, sides) in [([2; 2], [1, 0, 0, 1]), ([2, 3], [0; 4])] {
            let found = pools(Window { kernel, sides, ..PLAIN }).unwrap();
            let window = config::Window { kernel, padding: sides, ..[2, 2, 0].into() };
            assert_eq!(found.len(), 1);
            assert_eq!(found[0].window.kernel, window.kernel);
            assert_eq!(found[0].output(input), MaxPool { window, ceil_mode: false }.output(input));
        }
        assert!(pools(Window { dilation: [1, 2], ..PLAIN }).is_err());
    }

    #[test]
    fn large_maxima_are_maxima_of_maxima() {
        let whole = Window { kernel: [16; 2], stride: [16; 2], ..PLAIN };
        let pools = whole.max_pools(Shape::new(1, 16, 16)).unwrap();
        assert_eq!(pools, [MaxPool::inside(8, 8), MaxPool::inside(2, 2)]);
        assert!(whole.max_pools(Shape::new(1, 15, 16)).is_err());
        for [height, width] in [[17, 17], [32, 30], [1, 241], [500, 7]] {
            let plane = Shape::new(1, height, width);
            let exact = Window { kernel: [height, width], stride: [1; 2], ..PLAIN };
            for window in [exact, Window::whole(height.max(width))] {
                let made = window.max_pools(plane).unwrap();
                let last = made.iter().try_fold(plane, |shape, pool| pool.output(shape));
                assert_eq!(last, Ok(Shape::new(1, 1, 1)));
            }
        }
        let overlapping = Window { kernel: [17; 2], stride: [1; 2], ..PLAIN };
        assert!(overlapping.max_pools(Shape::new(1, 20, 20)).is_err());
    }

    #[test]
    fn means_count_what_the_node_counts() {
        let input = Shape::new(1, 8, 8);
        let padded = Window { kernel: [3; 2], sides: [1; 4], ..PLAIN };
        for counts in [false, true] {
            let pool = padded.average_pool(input, counts).unwrap();
            assert_eq!((pool.window.padding, pool.count_include_pad), ([1; 4], counts));
        }
        let uneven = Window { sides: [0, 0, 1, 1], kernel: [3; 2], ..PLAIN };
        let own = uneven.average_pool(input, true).unwrap();
        assert_eq!((own.window.padding, own.ceil_mode), ([0, 0, 1, 1], false));
        assert!(uneven.is_uniform(input, true) && !uneven.is_uniform(input, false));
        assert!(uneven.average_pool(input, false).is_some_and(|pool| pool.ceil_mode));
    }
}
