//! A layer's parameters with the batch norm behind it folded in.

/// γ, β, μ, the variance and ε of one channel of a batch norm.
#[derive(Clone, Copy, Debug)]
pub struct Norm {
    /// γ.
    pub scale: f64,
    /// β.
    pub shift: f64,
    /// μ.
    pub mean: f64,
    /// The variance.
    pub variance: f64,
    /// ε.
    pub epsilon: f64,
}

/// A weight of the channel that `norm` follows.
pub fn folded_weight(weight: f64, norm: Norm) -> f64 {
    weight * norm.scale / (norm.variance + norm.epsilon).sqrt()
}

/// Its bias: what the batch norm makes of it.
pub fn folded_bias(bias: f64, norm: Norm) -> f64 {
    folded_weight(bias - norm.mean, norm) + norm.shift
}
