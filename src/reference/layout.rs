//! Between PyTorch's NCHW arrays and the kernels' activations: [image, row, column, channel / 4]
//! vectors of 4 channels, padded with zeros.

use crate::{
    config::Shape,
    layout::{groups, padded},
};

/// Numbers that one image of `shape` takes in the kernels' layout.
pub fn packed_elements(shape: Shape) -> usize {
    (shape.pixels() * padded(shape.channels)) as usize
}

fn positions(shape: Shape) -> impl Iterator<Item = (usize, usize)> {
    let (groups, pixels) = (groups(shape.channels) as usize, shape.pixels() as usize);
    (0..shape.channels as usize)
        .flat_map(move |channel| (0..pixels).map(move |pixel| (channel, pixel)))
        .map(move |(channel, pixel)| {
            (channel * pixels + pixel, (pixel * groups + channel / 4) * 4 + channel % 4)
        })
}

/// `values` (NCHW, whole images of `shape`) in the kernels' layout.
pub fn pack(values: &[f64], shape: Shape) -> Vec<f32> {
    let (natural, packed) = (shape.elements() as usize, packed_elements(shape));
    let mut output = vec![0.0; values.len() / natural * packed];
    for (from, to) in values.chunks_exact(natural).zip(output.chunks_exact_mut(packed)) {
        for (source, target) in positions(shape) {
            to[target] = from[source] as f32;
        }
    }
    output
}

/// The inverse of [`pack`]; what the padding holds is dropped.
pub fn unpack(values: &[f32], shape: Shape) -> Vec<f32> {
    let (natural, packed) = (shape.elements() as usize, packed_elements(shape));
    let mut output = vec![0.0; values.len() / packed * natural];
    for (from, to) in values.chunks_exact(packed).zip(output.chunks_exact_mut(natural)) {
        for (target, source) in positions(shape) {
            to[target] = from[source];
        }
    }
    output
}

/// The numbers in the padding of `values`, which every kernel must leave at 0.
pub fn padding(values: &[f32], shape: Shape) -> Vec<f32> {
    let groups = groups(shape.channels) as usize;
    let in_padding = |index: usize| (index / 4 % groups) * 4 + index % 4 >= shape.channels as usize;
    values
        .iter()
        .enumerate()
        .filter(|(index, _)| in_padding(*index))
        .map(|(_, value)| *value)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packing_pads_and_round_trips() {
        let shape = Shape::new(5, 1, 2);
        let values: Vec<f64> = (0..20).map(f64::from).collect();
        let packed = pack(&values, shape);
        assert_eq!(packed[..16], [0., 2., 4., 6., 8., 0., 0., 0., 1., 3., 5., 7., 9., 0., 0., 0.]);
        assert_eq!(
            unpack(&packed, shape),
            values.iter().map(|&value| value as f32).collect::<Vec<_>>()
        );
        assert_eq!(padding(&packed, shape), [0.0; 12]);
    }
}
