//! What the optimisers share: the rules for PACT's α, which lie behind the weights and biases in the array of parameters.

/// Weight decay, and the rules for α.
#[derive(Clone, Copy, Debug)]
pub struct ParameterRules {
    /// Index of the first α.
    pub alpha_first: usize,
    /// Decay of weights and biases.
    pub weight_decay: f64,
    /// L2 penalty on α.
    pub alpha_decay: f64,
    /// Factor on the learning rate for α.
    pub alpha_lr_factor: f64,
    /// Lowest α.
    pub alpha_floor: f64,
}

impl ParameterRules {
    /// Whether parameter `index` is an α.
    pub fn is_alpha(&self, index: usize) -> bool {
        index >= self.alpha_first
    }

    /// Decay of parameter `index`.
    pub fn decay(&self, index: usize) -> f64 {
        if self.is_alpha(index) { self.alpha_decay } else { self.weight_decay }
    }

    /// Learning rate of parameter `index` where weights have `rate`.
    pub fn rate(&self, index: usize, rate: f64) -> f64 {
        if self.is_alpha(index) { rate * self.alpha_lr_factor } else { rate }
    }

    /// The value of parameter `index` that is stored.
    pub fn floored(&self, index: usize, value: f64) -> f64 {
        if self.is_alpha(index) { value.max(self.alpha_floor) } else { value }
    }
}
