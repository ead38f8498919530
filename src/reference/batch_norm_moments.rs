//! Mean and Σ(z − mean)² of every channel over some rows (pixels of images) of a batch.

use super::batch_norm::for_each_value;
use crate::config::Shape;

/// Of one channel.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Moments {
    /// Values.
    pub count: f64,
    /// Their mean.
    pub mean: f64,
    /// Σ of squared differences from it.
    pub squares: f64,
}

/// Moments of `z` (NCHW) over `rows`, a channel each.
pub fn batch_norm_moments(z: &[f64], shape: Shape, rows: std::ops::Range<usize>) -> Vec<Moments> {
    let mut moments =
        vec![Moments { count: rows.len() as f64, ..Moments::default() }; shape.channels as usize];
    for_each_value(shape, rows.clone(), |channel, at| {
        moments[channel].mean += z[at] / rows.len() as f64
    });
    for_each_value(shape, rows, |channel, at| {
        moments[channel].squares += (z[at] - moments[channel].mean).powi(2)
    });
    moments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hand_computed_example() {
        let z = [1.0, 2.0, 10.0, 20.0, 3.0, 6.0, 30.0, 60.0];
        let moments = batch_norm_moments(&z, Shape::new(2, 1, 2), 0..4);
        assert_eq!(moments[0], Moments { count: 4.0, mean: 3.0, squares: 14.0 });
        assert_eq!(moments[1], Moments { count: 4.0, mean: 30.0, squares: 1400.0 });
        assert_eq!(
            batch_norm_moments(&z, Shape::new(2, 1, 2), 1..3)[0],
            Moments { count: 2.0, mean: 2.5, squares: 0.5 }
        );
    }
}
