//! Which way a backward pass goes: derivatives, or a rule that an attribution method puts in their
//! place. Weighted layers hand everything back through their transposed weights, whatever the rule,
//! and average-pools through their transposed means: sums with positive weights and no bias, whose
//! factor under every rule is y/z = 1.

use crate::nn::{
    body::Body,
    nodes::Weights,
    ops::{multiply::Factor, weights::RelevanceWeights},
};

/// What an activation does to what comes back through it; y = activate(x), g the value at its
/// output.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum BackwardRule {
    /// y′·g, by the straight-through estimator.
    #[default]
    Gradient,
    /// max(y′·g, 0): guided back-propagation (Springenberg et al. 2015).
    Guided,
    /// Δy/Δx·g, with differences from a baseline's forward pass (DeepLIFT's rescale rule, Shrikumar
    /// et al. 2017); max-pooling sends the difference of its outputs to the larger one's maximum.
    Rescale,
    /// y/(x ± ε)·g: layer-wise relevance propagation's ε rule (Bach et al. 2015) for relevances
    /// divided by the values they are of, y·g.
    Epsilon,
    /// y/(ẑ ± ε)·g at every weighted layer z = Wx + b with ẑ = W′x + b′, and W′ᵀ in the place of
    /// Wᵀ, for the same multipliers. See [`crate::nn::Network::record_relevance_backward`].
    Weighted(RelevanceWeights),
}

/// Which way back: the rule, the node at whose output to stop (`None`: the input), and the network
/// with the weights of the rule where it has its own.
#[derive(Clone, Copy)]
pub struct Walk<'a> {
    pub rule: BackwardRule,
    pub stop: Option<usize>,
    pub weighted: Option<&'a Body>,
}

impl<'a> Walk<'a> {
    pub const GRADIENT: Walk<'static> =
        Walk { rule: BackwardRule::Gradient, stop: None, weighted: None };

    /// Whether a max-pool takes the derivative of the activation in front of it along.
    pub fn joins_pools(self) -> bool {
        self.rule == BackwardRule::Gradient && self.stop.is_none()
    }

    /// What a product hands back to its values a and b. DeepLIFT's multipliers are the other's mean
    /// of image and baseline, so that contributions add up: Δ(ab) = b̄·Δa + ā·Δb. Relevance goes to
    /// the larger value, the first of two of one shape, as if the other was a constant ("signal
    /// takes all", Arras et al. 2019).
    pub fn factor(self) -> Factor {
        match self.rule {
            BackwardRule::Gradient | BackwardRule::Guided => Factor::Value,
            BackwardRule::Rescale => Factor::TwinMean,
            BackwardRule::Epsilon | BackwardRule::Weighted(_) => Factor::ToLarger,
        }
    }

    /// The weights that node `index` hands back through: `own`, or those of the rule.
    pub fn weights(self, index: usize, own: &'a Weights) -> &'a Weights {
        self.weighted.and_then(|body| body.nodes[index].weights()).unwrap_or(own)
    }
}
