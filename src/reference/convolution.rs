//! 2-D convolution (cross-correlation) with bias, torch.nn.Conv2d: `output[n, o, y, x] = bias[o] +
//! Σ_{i, ky, kx} input[n, i, y·S + ky·D − P, x·S + kx·D − P] · weight[o, i, ky, kx]`, zero outside
//! the image, with stride S, dilation D and padding P of either axis. The activation that the
//! kernel applies on top is [`super::activation`].

use crate::config::{Shape, Window};

/// Shapes of one convolution.
#[derive(Clone, Copy, Debug)]
pub struct Convolution {
    /// Images.
    pub images: usize,
    /// Shape of an input image.
    pub input: Shape,
    /// Filters.
    pub out_channels: u32,
    /// Its windows.
    pub window: Window,
}

/// One product of the sums of a convolution and its gradients, as indices into the NCHW and [out,
/// in, kh, kw] arrays.
pub(super) struct Term {
    pub input: usize,
    pub weight: usize,
    pub output: usize,
}

impl Convolution {
    /// Shape of an output image.
    pub fn output(&self) -> Shape {
        let [height, width] = self.window.outputs(self.input);
        Shape::new(self.out_channels, height, width)
    }

    /// Number of weights.
    pub fn weights(&self) -> usize {
        (self.out_channels * self.input.channels * self.window.taps()) as usize
    }

    /// Calls `term` for every product of an input inside the image with a weight, by definition of
    /// the convolution.
    pub(super) fn for_each_term(&self, mut term: impl FnMut(Term)) {
        let [in_channels, in_height, in_width] =
            <[u32; 3]>::from(self.input).map(|size| size as usize);
        let [out_channels, out_height, out_width] =
            <[u32; 3]>::from(self.output()).map(|size| size as usize);
        let size = |size: u32| size as usize;
        let (kernel, stride) = (self.window.kernel.map(size), self.window.stride.map(size));
        let (dilation, padding) = (self.window.dilation.map(size), self.window.padding.map(size));
        for n in 0..self.images {
            for o in 0..out_channels {
                for i in 0..in_channels {
                    for y in 0..out_height {
                        for ky in 0..kernel[0] {
                            let Some(row) = (y * stride[0] + ky * dilation[0])
                                .checked_sub(padding[0])
                                .filter(|&row| row < in_height)
                            else {
                                continue;
                            };
                            for x in 0..out_width {
                                for kx in 0..kernel[1] {
                                    let Some(column) = (x * stride[1] + kx * dilation[1])
                                        .checked_sub(padding[1])
                                        .filter(|&column| column < in_width)
                                    else {
                                        continue;
                                    };
                                    term(Term {
                                        input: ((n * in_channels + i) * in_height + row) * in_width
                                            + column,
                                        weight: ((o * in_channels + i) * kernel[0] + ky)
                                            * kernel[1]
                                            + kx,
                                        output: ((n * out_channels + o) * out_height + y)
                                            * out_width
                                            + x,
                                    });
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The output, [images, out_channels, height, width].
pub fn convolution(shape: &Convolution, input: &[f64], weight: &[f64], bias: &[f64]) -> Vec<f64> {
    let pixels = shape.output().pixels() as usize;
    let mut output: Vec<f64> = (0..shape.images * bias.len() * pixels)
        .map(|index| bias[index / pixels % bias.len()])
        .collect();
    shape.for_each_term(|term| output[term.output] += input[term.input] * weight[term.weight]);
    output
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hand_computed_example() {
        let shape = Convolution {
            images: 1,
            input: Shape::new(1, 2, 3),
            out_channels: 1,
            window: [2, 2, 1].into(),
        };
        let output =
            convolution(&shape, &[1., 2., 3., 4., 5., 6.], &[1., 10., 100., 1000.], &[0.5]);
        // Windows with a border of zeros: [0 0 / 0 1], [0 0 / 2 3], [0 4 / 0 0], [5 6 / 0 0].
        assert_eq!(output, [1000.5, 3200.5, 40.5, 65.5]);
    }

    #[test]
    fn axes_and_sides_differ() {
        let window =
            Window { kernel: [1, 2], stride: [2, 1], dilation: [1, 2], padding: [0, 1, 1, 0] };
        let shape = Convolution { images: 1, input: Shape::new(1, 2, 3), out_channels: 1, window };
        assert_eq!(shape.output(), Shape::new(1, 2, 2));
        // Rows 0 and 2, of which the latter is padding; columns −1, 1 and 0, 2.
        let output = convolution(&shape, &[1., 2., 3., 4., 5., 6.], &[1., 10.], &[0.5]);
        assert_eq!(output, [20.5, 31.5, 0.5, 0.5]);
    }
}
