//! Average-pooling, torch.nn.AvgPool2d, by its documentation: output[n, c, y, x] is the sum of the
//! window's pixels inside the image, over how many pixels the mean is of.

use std::ops::Range;

use super::max_pool::count;
use crate::config::{AveragePool, Shape, Window};

/// Shape of the output of `pool` on images of `input`.
pub fn output_shape(input: Shape, pool: AveragePool) -> Shape {
    let of = |along| count(pool.window, pool.ceil_mode, along);
    Shape::new(input.channels, of((0, input.height)), of((1, input.width)))
}

/// A window along the rows (0) or columns (1), `size` pixels: its pixels inside the image, and over
/// how many pixels its mean is.
fn window(pool: AveragePool, at: u32, (axis, size): (usize, u32)) -> (Range<u32>, u32) {
    let Window { kernel, stride, padding, .. } = pool.window;
    let first = i64::from(at * stride[axis]) - i64::from(padding[axis]);
    let places = first..first + i64::from(kernel[axis]);
    let is_real = |place: &i64| (0..i64::from(size)).contains(place);
    // Padding reaches so many pixels beyond the image, and no further.
    let is_padded = |place: &i64| *place < i64::from(size + padding[axis + 2]);
    let real: Vec<i64> = places.clone().filter(is_real).collect();
    let averaged = match pool.count_include_pad {
        true => places.filter(is_padded).count(),
        false => real.len(),
    };
    let start = real.first().map_or(0, |&place| place as u32);
    (start..start + real.len() as u32, averaged as u32)
}

/// Of every window, in the order of the NCHW output: the indices of its pixels in the NCHW input,
/// and over how many pixels its mean is.
pub(super) fn windows(images: usize, input: Shape, pool: AveragePool) -> Vec<(Vec<usize>, f64)> {
    let output = output_shape(input, pool);
    let mut windows = Vec::new();
    for plane in 0..images as u32 * input.channels {
        for y in 0..output.height {
            let (rows, high) = window(pool, y, (0, input.height));
            for x in 0..output.width {
                let (columns, wide) = window(pool, x, (1, input.width));
                let row = |y: u32| columns.clone().map(move |x| (y, x));
                let index = |(y, x)| (plane * input.pixels() + y * input.width + x) as usize;
                windows.push((
                    rows.clone().flat_map(row).map(index).collect(),
                    f64::from(high * wide),
                ));
            }
        }
    }
    windows
}

/// Means [images, channels, height, width] of `input`.
pub fn average_pool(images: usize, shape: Shape, pool: AveragePool, input: &[f64]) -> Vec<f64> {
    let mean = |(window, averaged): (Vec<usize>, f64)| {
        window.iter().map(|&at| input[at]).sum::<f64>() / averaged
    };
    windows(images, shape, pool).into_iter().map(mean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_global_window_is_over_all_pixels() {
        for shape in [Shape::new(2, 2, 2), Shape::new(2, 1, 5), Shape::new(2, 4, 3)] {
            let pool = AveragePool::global(shape);
            assert_eq!(output_shape(shape, pool), Shape::new(2, 1, 1));
            let values: Vec<f64> = (0..2 * shape.elements()).map(f64::from).collect();
            let mean = |plane: &[f64]| plane.iter().sum::<f64>() / plane.len() as f64;
            let expected: Vec<f64> =
                values.chunks_exact(shape.pixels() as usize).map(mean).collect();
            let found = average_pool(2, shape, pool, &values);
            assert!(found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-12), "{shape}");
        }
    }

    const POOL: AveragePool =
        AveragePool { window: Window::plain([2, 2, 0]), ceil_mode: false, count_include_pad: true };

    /// The means of 1, 2, 3, … in rows of `width` pixels.
    fn means([height, width]: [u32; 2], pool: AveragePool) -> Vec<f64> {
        let input: Vec<f64> = (1..=height * width).map(f64::from).collect();
        average_pool(1, Shape::new(1, height, width), pool, &input)
    }

    /// Written down from the rules of torch.nn.AvgPool2d's documentation.
    #[test]
    fn means_by_hand() {
        assert_eq!(means([4, 4], POOL), [3.5, 5.5, 11.5, 13.5]);
        // The last row and column are left out, or are windows of 2 and 1 pixels.
        assert_eq!(means([3, 3], POOL), [3.0]);
        let ceil = AveragePool { ceil_mode: true, ..POOL };
        assert_eq!(means([3, 3], ceil), [3.0, 4.5, 7.5, 9.0]);
        assert_eq!(
            means([3, 3], AveragePool { count_include_pad: false, ..ceil }),
            means([3, 3], ceil)
        );
        // Overlapping windows, and windows with a gap between them.
        assert_eq!(means([2, 3], AveragePool { window: [2, 1, 0].into(), ..POOL }), [3.0, 4.0]);
        assert_eq!(means([2, 5], AveragePool { window: [2, 3, 0].into(), ..POOL }), [4.0, 7.0]);
    }

    #[test]
    fn padded_pixels_count_or_do_not() {
        // 1 2 3 in one row: 0 | 0 1 2 | 3 … of windows of 3 rows of which one is real.
        let pool = AveragePool { window: [3, 2, 1].into(), ..POOL };
        assert_eq!(means([1, 3], pool), [3.0 / 9.0, 5.0 / 9.0]);
        let real = AveragePool { count_include_pad: false, ..pool };
        assert_eq!(means([1, 3], real), [1.5, 2.5]);
    }

    #[test]
    fn nothing_counts_beyond_the_padding() {
        // 1 2 3 4: 0 1 2 | 2 3 4 | 4 0 and a column that ceil mode alone reaches.
        let pool = AveragePool { window: [3, 2, 1].into(), ceil_mode: true, ..POOL };
        assert_eq!(means([1, 4], pool), [3.0 / 9.0, 9.0 / 9.0, 4.0 / 6.0]);
        let real = AveragePool { count_include_pad: false, ..pool };
        assert_eq!(means([1, 4], real), [1.5, 3.0, 4.0]);
    }

    #[test]
    fn axes_and_sides_have_sizes_of_their_own() {
        // 1 2 3 4 / 5 6 7 8 with a row of zeros above and a column to the right.
        let window =
            Window { kernel: [2, 3], stride: [2, 2], dilation: [1; 2], padding: [1, 0, 0, 1] };
        let pool = AveragePool { window, ..POOL };
        assert_eq!(means([2, 4], pool), [1.0, 7.0 / 6.0]);
        let real = AveragePool { count_include_pad: false, ..pool };
        assert_eq!(means([2, 4], real), [2.0, 3.5]);
    }

    #[test]
    fn windows_behind_the_image_are_left_out() {
        // ⌈(3 + 2 − 2)/3⌉ + 1 = 2 windows, at −1 and 2 of 3 pixels.
        let pool = AveragePool { window: [2, 3, 1].into(), ceil_mode: true, ..POOL };
        assert_eq!(output_shape(Shape::new(1, 3, 3), pool), Shape::new(1, 2, 2));
        // ⌈(2 + 2 − 2)/3⌉ + 1 = 2, but the second would start in the padding: 2 ≥ 2.
        assert_eq!(output_shape(Shape::new(1, 2, 2), pool), Shape::new(1, 1, 1));
        // In ceil mode a window may be larger than the image.
        let large = AveragePool { window: [4, 4, 0].into(), ceil_mode: true, ..POOL };
        assert_eq!(means([3, 3], large), [5.0]);
    }

    #[test]
    fn the_configuration_counts_as_many() {
        for size in 1..12 {
            for kernel in 1..6 {
                for (stride, padding) in
                    (1..5).flat_map(|stride| (0..=kernel / 2).map(move |padding| (stride, padding)))
                {
                    for ceil_mode in [false, true] {
                        let window = [kernel, stride, padding].into();
                        let pool = AveragePool { window, ceil_mode, ..POOL };
                        let fits =
                            size + 2 * padding + if ceil_mode { stride - 1 } else { 0 } >= kernel;
                        let own = pool.windows(0, size);
                        assert_eq!(own.is_ok(), fits, "{size} {pool:?}");
                        if let Ok(own) = own {
                            assert_eq!(own, count(window, ceil_mode, (0, size)), "{size} {pool:?}");
                        }
                    }
                }
            }
        }
    }
}
