//! Channels of one value as channels of another.

use crate::config::Shape;

/// Copies `count` channels of `from` to `to`, both NCHW with their shapes; `first` are the first
/// channels in both. Channels behind these up to a multiple of 4 become 0.
pub fn copy_channels(
    (from, from_shape): (&[f64], Shape),
    (to, to_shape): (&mut [f64], Shape),
    first: [u32; 2],
    count: u32,
) {
    let pixels = to_shape.pixels() as usize;
    let plane = |shape: Shape, image: usize, channel: u32| {
        let start = (image * shape.channels as usize + channel as usize) * pixels;
        start..start + pixels
    };
    for image in 0..to.len() / to_shape.elements() as usize {
        for channel in 0..count {
            let own = &from[plane(from_shape, image, first[0] + channel)];
            to[plane(to_shape, image, first[1] + channel)].copy_from_slice(own);
        }
        let end = first[1] + count;
        for channel in end..end.next_multiple_of(4).min(to_shape.channels) {
            to[plane(to_shape, image, channel)].fill(0.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_stand_side_by_side() {
        let from = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let mut to = [9.0; 10];
        let (two, five) = (Shape::new(3, 1, 2), Shape::new(5, 1, 2));
        copy_channels((&from, two), (&mut to, five), [1, 1], 2);
        assert_eq!(to, [9.0, 9.0, 3.0, 4.0, 5.0, 6.0, 0.0, 0.0, 9.0, 9.0]);
    }
}
