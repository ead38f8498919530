//! Convolution over groups of channels, torch.nn.Conv2d with `groups`: every group on its own, by
//! [`super::convolution`], and the outputs side by side.

use super::convolution::{Convolution, convolution};
use crate::config::Shape;

/// One group: a convolution of its channels, with the places of its planes in the whole.
pub(super) struct Group {
    /// The convolution.
    pub shape: Convolution,
    number: usize,
    groups: usize,
}

impl Group {
    /// The groups of `shape`, whose channels `groups` divides.
    pub fn all(shape: &Convolution, groups: usize) -> impl Iterator<Item = Group> {
        let Shape { channels, height, width } = shape.input;
        let own = Convolution {
            input: Shape::new(channels / groups as u32, height, width),
            out_channels: shape.out_channels / groups as u32,
            ..*shape
        };
        (0..groups).map(move |number| Group { shape: own, number, groups })
    }

    /// Where the group's channels of image `image` are, of `size` elements each.
    fn range(&self, image: usize, size: usize) -> std::ops::Range<usize> {
        let first = (image * self.groups + self.number) * size;
        first..first + size
    }

    /// The group's part of `all`, NCHW of all channels.
    pub fn gather<T: Copy>(&self, all: &[T]) -> Vec<T> {
        let size = all.len() / (self.shape.images * self.groups);
        (0..self.shape.images).flat_map(|image| all[self.range(image, size)].to_vec()).collect()
    }

    /// Puts the group's part `own` into `all`.
    pub fn scatter(&self, own: &[f64], all: &mut [f64]) {
        let size = all.len() / (self.shape.images * self.groups);
        for (image, values) in own.chunks_exact(size).enumerate() {
            all[self.range(image, size)].copy_from_slice(values);
        }
    }

    /// The group's part of `all`, weights [out, in / groups, kh, kw] or a bias `[out]`.
    pub fn parameters<'a, T>(&self, all: &'a [T]) -> &'a [T] {
        let size = all.len() / self.groups;
        &all[self.number * size..(self.number + 1) * size]
    }
}

/// The output, [images, out_channels, height, width], of weights [out, in / groups, kh, kw].
pub fn grouped_convolution(
    shape: &Convolution,
    groups: usize,
    input: &[f64],
    weight: &[f64],
    bias: &[f64],
) -> Vec<f64> {
    let mut output = vec![0.0; shape.images * shape.output().elements() as usize];
    for group in Group::all(shape, groups) {
        let (weight, bias) = (group.parameters(weight), group.parameters(bias));
        group.scatter(&convolution(&group.shape, &group.gather(input), weight, bias), &mut output);
    }
    output
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hand_computed_example() {
        let shape = Convolution {
            images: 2,
            input: Shape::new(4, 1, 1),
            out_channels: 2,
            window: [1, 1, 0].into(),
        };
        let input = [1., 2., 3., 4., 5., 6., 7., 8.];
        let output = grouped_convolution(&shape, 2, &input, &[1., 10., 100., 1000.], &[0.5, 0.25]);
        assert_eq!(output, [21.5, 4300.25, 65.5, 8700.25]);
    }
}
