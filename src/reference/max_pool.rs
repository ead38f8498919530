//! Max-pooling, torch.nn.MaxPool2d: output[n, c, y, x] = max over the window's pixels inside the
//! image; ties go to the first element in row-major order.

use crate::config::{MaxPool, Shape, Window};

/// Windows along the rows (0) or columns (1), `size` pixels: ⌊(size + front + back −
/// kernel)/stride⌋ + 1, or ⌈…⌉ + 1 in ceil mode, where windows that would start in the padding
/// behind the image are left out.
pub(super) fn count(window: Window, ceil_mode: bool, (axis, size): (usize, u32)) -> u32 {
    let [size, kernel, stride, front, back] = [
        size,
        window.kernel[axis],
        window.stride[axis],
        window.padding[axis],
        window.padding[axis + 2],
    ]
    .map(f64::from);
    let steps = (size + front + back - kernel) / stride;
    let all = if ceil_mode { steps.ceil() } else { steps.floor() } as u32 + 1;
    (0..all).filter(|&at| f64::from(at) * stride < size + front).count() as u32
}

/// Shape of the output of `pool` on images of `input`.
pub fn output_shape(input: Shape, pool: MaxPool) -> Shape {
    let of = |along| count(pool.window, pool.ceil_mode, along);
    Shape::new(input.channels, of((0, input.height)), of((1, input.width)))
}

/// Indices into the NCHW input of each window's elements in row-major order, window by window in
/// the order of the NCHW output.
pub(super) fn windows(images: usize, input: Shape, pool: MaxPool) -> Vec<Vec<usize>> {
    let (output, Window { kernel, stride, padding, .. }) = (output_shape(input, pool), pool.window);
    let mut windows = Vec::new();
    for plane in 0..images as u32 * input.channels {
        for y in 0..output.height {
            for x in 0..output.width {
                let element = |k: u32| {
                    let row = (y * stride[0] + k / kernel[1]).checked_sub(padding[0])?;
                    let column = (x * stride[1] + k % kernel[1]).checked_sub(padding[1])?;
                    let is_pixel = row < input.height && column < input.width;
                    is_pixel
                        .then_some((plane * input.pixels() + row * input.width + column) as usize)
                };
                windows.push((0..kernel[0] * kernel[1]).filter_map(element).collect());
            }
        }
    }
    windows
}

/// (maxima [images, channels, height, width], the index into `input` that each came from).
pub fn max_pool(
    images: usize,
    shape: Shape,
    pool: MaxPool,
    input: &[f64],
) -> (Vec<f64>, Vec<usize>) {
    windows(images, shape, pool)
        .into_iter()
        .map(|window| {
            let best = window
                .iter()
                .skip(1)
                .fold(window[0], |best, &at| if input[at] > input[best] { at } else { best });
            (input[best], best)
        })
        .unzip()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_go_to_the_first_and_windows_overlap() {
        let input = [1., 5., 5., 5., 0., 2., 0., 0., 0.];
        let (output, from) = max_pool(1, Shape::new(1, 3, 3), MaxPool::inside(2, 1), &input);
        assert_eq!(output, [5., 5., 5., 2.]);
        assert_eq!(from, [1, 1, 3, 5]);
    }

    /// By the rules of torch.nn.MaxPool2d's documentation.
    #[test]
    fn padding_never_wins() {
        let input = [-1., -5., -2., -7., -4., -3., -8., -6., -9.];
        let padded = MaxPool { window: [3, 2, 1].into(), ceil_mode: false };
        let (output, from) = max_pool(1, Shape::new(1, 3, 3), padded, &input);
        assert_eq!(output, [-1., -2., -4., -3.]);
        assert_eq!(from, [0, 2, 4, 5]);
        // One window of 2 rows and columns, or further ones with what is left.
        let ceil = MaxPool { ceil_mode: true, ..MaxPool::inside(2, 2) };
        assert_eq!(max_pool(1, Shape::new(1, 3, 3), ceil, &input).0, [-1., -2., -6., -9.]);
        assert_eq!(max_pool(1, Shape::new(1, 3, 3), MaxPool::inside(2, 2), &input).0, [-1.]);
        // A window that would start in the padding behind the image is left out.
        let both = MaxPool { window: [2, 2, 1].into(), ..ceil };
        assert_eq!(max_pool(1, Shape::new(1, 3, 3), both, &input).0, [-1., -2., -7., -3.]);
    }

    /// Rows by twos, columns by threes, with a row above and two columns to the right.
    #[test]
    fn axes_and_sides_have_sizes_of_their_own() {
        let input: Vec<f64> = (0..12).map(f64::from).collect();
        let window =
            Window { kernel: [2, 3], stride: [2, 2], dilation: [1; 2], padding: [1, 0, 0, 2] };
        let pool = MaxPool { window, ceil_mode: false };
        let (output, from) = max_pool(1, Shape::new(1, 3, 4), pool, &input);
        assert_eq!(output, [2., 3., 10., 11.]);
        assert_eq!(from, [2, 3, 10, 11]);
    }
}
