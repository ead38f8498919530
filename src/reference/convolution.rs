//! 2-D convolution (cross-correlation) with bias, torch.nn.Conv2d: `output[n, o, y, x] = bias[o] +
//! Σ_{i, ky, kx} input[n, i, y·S + ky − P, x·S + kx − P] · weight[o, i, ky, kx]`, zero outside the
//! image. The activation that the kernel applies on top is [`super::activation`].

use crate::config::Shape;

/// Shapes of one convolution.
#[derive(Clone, Copy, Debug)]
pub struct Convolution {
    /// Images.
    pub images: usize,
    /// Shape of an input image.
    pub input: Shape,
    /// Filters.
    pub out_channels: u32,
    /// Height and width of a filter.
    pub kernel: u32,
    /// Step between outputs.
    pub stride: u32,
    /// Zero rows and columns added on each side.
    pub padding: u32,
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
        let size = |input: u32| (input + 2 * self.padding - self.kernel) / self.stride + 1;
        Shape::new(self.out_channels, size(self.input.height), size(self.input.width))
    }

    /// Number of weights.
    pub fn weights(&self) -> usize {
        (self.out_channels * self.input.channels * self.kernel * self.kernel) as usize
    }

    /// Calls `term` for every product of an input inside the image with a weight, by definition of
    /// the convolution.
    pub(super) fn for_each_term(&self, mut term: impl FnMut(Term)) {
        let [in_channels, in_height, in_width] =
            <[u32; 3]>::from(self.input).map(|size| size as usize);
        let [out_channels, out_height, out_width] =
            <[u32; 3]>::from(self.output()).map(|size| size as usize);
        let [kernel, stride, padding] =
            [self.kernel, self.stride, self.padding].map(|size| size as usize);
        for n in 0..self.images {
            for o in 0..out_channels {
                for i in 0..in_channels {
                    for y in 0..out_height {
                        for ky in 0..kernel {
                            let Some(row) = (y * stride + ky)
                                .checked_sub(padding)
                                .filter(|&row| row < in_height)
                            else {
                                continue;
                            };
                            for x in 0..out_width {
                                for kx in 0..kernel {
                                    let Some(column) = (x * stride + kx)
                                        .checked_sub(padding)
                                        .filter(|&column| column < in_width)
                                    else {
                                        continue;
                                    };
                                    term(Term {
                                        input: ((n * in_channels + i) * in_height + row) * in_width
                                            + column,
                                        weight: ((o * in_channels + i) * kernel + ky) * kernel + kx,
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
            kernel: 2,
            stride: 2,
            padding: 1,
        };
        let output =
            convolution(&shape, &[1., 2., 3., 4., 5., 6.], &[1., 10., 100., 1000.], &[0.5]);
        // Windows with a border of zeros: [0 0 / 0 1], [0 0 / 2 3], [0 4 / 0 0], [5 6 / 0 0].
        assert_eq!(output, [1000.5, 3200.5, 40.5, 65.5]);
    }
}
