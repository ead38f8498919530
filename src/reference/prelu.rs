//! PReLU, torch.nn.PReLU, by its documentation: x, or below 0 slope · x.

/// Of one value.
pub fn prelu_of(x: f64, slope: f64) -> f64 {
    x.max(0.0) + slope * x.min(0.0)
}

/// Which of `count` slopes, one a channel or one for all, is that of value `at` of NCHW values with
/// `pixels` pixels a channel.
pub fn slope_of(count: usize, pixels: usize, at: usize) -> usize {
    at / pixels % count
}

/// Of NCHW values with `pixels` pixels a channel.
pub fn prelu(x: &[f64], slopes: &[f64], pixels: usize) -> Vec<f64> {
    let of = |(at, &x): (usize, &f64)| prelu_of(x, slopes[slope_of(slopes.len(), pixels, at)]);
    x.iter().enumerate().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slopes_are_those_of_channels_or_one() {
        let x = [1.0, -2.0, -3.0, 4.0, -5.0, 0.0];
        assert_eq!(prelu(&x, &[0.25], 1), [1.0, -0.5, -0.75, 4.0, -1.25, 0.0]);
        assert_eq!(prelu(&x, &[0.5, -1.0, 0.0], 2), [1.0, -1.0, 3.0, 4.0, 0.0, 0.0]);
    }
}
