//! Max-pooling without padding, torch.nn.MaxPool2d: output[n, c, y, x] = max over the window; ties
//! go to the first element in row-major order.

use crate::config::Shape;

/// Shape of the output of `kernel` × `kernel` windows, `stride` apart, on images of `input`.
pub fn output_shape(input: Shape, kernel: u32, stride: u32) -> Shape {
    Shape::new(
        input.channels,
        (input.height - kernel) / stride + 1,
        (input.width - kernel) / stride + 1,
    )
}

/// Indices into the NCHW input of each window's elements in row-major order, window by window in
/// the order of the NCHW output.
pub(super) fn windows(images: usize, input: Shape, kernel: u32, stride: u32) -> Vec<Vec<usize>> {
    let output = output_shape(input, kernel, stride);
    let mut windows = Vec::new();
    for plane in 0..images as u32 * input.channels {
        for y in 0..output.height {
            for x in 0..output.width {
                let element = |k: u32| {
                    (plane * input.pixels()
                        + (y * stride + k / kernel) * input.width
                        + x * stride
                        + k % kernel) as usize
                };
                windows.push((0..kernel * kernel).map(element).collect());
            }
        }
    }
    windows
}

/// (maxima [images, channels, height, width], the index into `input` that each came from).
pub fn max_pool(
    images: usize,
    shape: Shape,
    kernel: u32,
    stride: u32,
    input: &[f64],
) -> (Vec<f64>, Vec<usize>) {
    windows(images, shape, kernel, stride)
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
        let (output, from) = max_pool(1, Shape::new(1, 3, 3), 2, 1, &input);
        assert_eq!(output, [5., 5., 5., 2.]);
        assert_eq!(from, [1, 1, 3, 5]);
    }
}
