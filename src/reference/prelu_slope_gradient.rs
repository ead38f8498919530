//! The gradient of PReLU's slopes.

use super::prelu::slope_of;

/// ∂L/∂slope of `count` slopes from ∂L/∂y of NCHW values x with `pixels` pixels a channel:
/// ∂y/∂slope is x below 0, and else 0.
pub fn prelu_slope_gradient(x: &[f64], count: usize, pixels: usize, gradient: &[f64]) -> Vec<f64> {
    let mut slopes = vec![0.0; count];
    for (at, (x, gradient)) in x.iter().zip(gradient).enumerate() {
        slopes[slope_of(count, pixels, at)] += gradient * x.min(0.0);
    }
    slopes
}

#[cfg(test)]
mod tests {
    use super::{super::prelu::prelu, *};

    #[test]
    fn gradients_of_slopes_are_differences() {
        let x = [1.0, -2.0, -3.0, 4.0, -5.0, 0.0];
        let gradient = [0.5, 1.0, -1.0, 2.0, 0.25, 3.0];
        for slopes in [vec![0.25], vec![0.5, -1.0, 0.125]] {
            let own = prelu_slope_gradient(&x, slopes.len(), 2, &gradient);
            for at in 0..slopes.len() {
                let moved = |by: f64| {
                    let mut moved = slopes.clone();
                    moved[at] += by;
                    let y = prelu(&x, &moved, 2);
                    y.iter().zip(gradient).map(|(y, gradient)| y * gradient).sum::<f64>()
                };
                assert!(((moved(0.5) - moved(-0.5)) - own[at]).abs() < 1e-12);
            }
        }
    }
}
