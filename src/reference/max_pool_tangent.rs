//! The derivative of max-pooling along a direction.

/// The direction at the output of a pool that took its maxima from `chosen` of its input, from the
/// direction at its input.
pub fn max_pool_tangent(chosen: &[usize], direction: &[f64]) -> Vec<f64> {
    chosen.iter().map(|&at| direction[at]).collect()
}

#[cfg(test)]
mod tests {
    use super::super::max_pool::max_pool;
    use super::*;
    use crate::config::{MaxPool, Shape};

    #[test]
    fn it_is_the_difference_of_the_maxima() {
        let shape = Shape::new(1, 3, 3);
        let pool = MaxPool::inside(2, 1);
        let input = [1., 5., 4., 3., 0., 2., 8., 7., 6.];
        let direction = [0.3, -0.2, 0.5, 0.1, 0.7, -0.4, 0.9, 0.2, -0.6];
        let (output, chosen) = max_pool(1, shape, pool, &input);
        let moved: Vec<f64> =
            input.iter().zip(&direction).map(|(value, along)| value + 1e-3 * along).collect();
        let (moved, _) = max_pool(1, shape, pool, &moved);
        for ((tangent, moved), value) in
            max_pool_tangent(&chosen, &direction).iter().zip(moved).zip(output)
        {
            assert!((tangent - (moved - value) / 1e-3).abs() < 1e-9);
        }
    }
}
