//! The product of two values, one of which may have one pixel that meets all of the other's.

/// left · right, NCHW; `right` has a value for each of `left`'s, or one a channel.
pub fn multiply(left: &[f64], right: &[f64]) -> Vec<f64> {
    let pixels = left.len() / right.len();
    left.iter().enumerate().map(|(at, left)| left * right[at / pixels]).collect()
}
