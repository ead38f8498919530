//! What the optimisers share: the rules for learned steps, PACT's α and LSQ+'s offsets, which lie
//! behind the weights and biases in the array of parameters.

/// Weight decay, and the rules for learned steps and α.
#[derive(Clone, Copy, Debug)]
pub struct ParameterRules {
    /// Index of the first learned step.
    pub step_first: usize,
    /// Index of the first α.
    pub alpha_first: usize,
    /// Index of the first offset of LSQ+: as a step, without a floor.
    pub offset_first: usize,
    /// Decay of weights and biases.
    pub weight_decay: f64,
    /// Factor on the learning rate for steps, which have no decay.
    pub step_lr_factor: f64,
    /// Lowest step.
    pub step_floor: f64,
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
        (self.alpha_first..self.offset_first).contains(&index)
    }

    fn by_kind(&self, index: usize, [weight, step, alpha]: [f64; 3]) -> f64 {
        match index {
            _ if self.is_alpha(index) => alpha,
            _ if index >= self.step_first => step,
            _ => weight,
        }
    }

    /// Decay of parameter `index`.
    pub fn decay(&self, index: usize) -> f64 {
        self.by_kind(index, [self.weight_decay, 0.0, self.alpha_decay])
    }

    /// Learning rate of parameter `index` where weights have `rate`.
    pub fn rate(&self, index: usize, rate: f64) -> f64 {
        rate * self.by_kind(index, [1.0, self.step_lr_factor, self.alpha_lr_factor])
    }

    /// The value of parameter `index` that is stored.
    pub fn floored(&self, index: usize, value: f64) -> f64 {
        if index >= self.offset_first {
            return value;
        }
        value.max(self.by_kind(index, [f64::NEG_INFINITY, self.step_floor, self.alpha_floor]))
    }
}
