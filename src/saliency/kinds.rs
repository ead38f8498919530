//! What the kernels of attribution methods are told to do: the discriminants are their KIND.

use super::{Method, Output};

/// What `sample_images` makes of an image, and `accumulate_scores` reads scores as
/// (`shaders/common/sampling.wgsl`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sampling {
    /// The image itself.
    Clean = 0,
    /// With normal noise.
    Noisy = 1,
    /// A point on the path from a baseline.
    OnPath = 2,
    /// A random point on the path from a random baseline to a noisy copy.
    OnRandomPath = 3,
    /// With a window of the baseline.
    Covered = 4,
    /// Through a random mask, over the baseline.
    Masked = 5,
}

impl Sampling {
    /// What `method` looks at.
    pub fn of(method: Method) -> Sampling {
        match method {
            Method::Smoothgrad | Method::SmoothgradSq | Method::Vargrad => Sampling::Noisy,
            Method::IntegratedGradients => Sampling::OnPath,
            Method::GradientShap => Sampling::OnRandomPath,
            Method::Occlusion => Sampling::Covered,
            Method::Rise => Sampling::Masked,
            _ => Sampling::Clean,
        }
    }
}

/// What `accumulate_gradients` makes of the samples' gradients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GradientSum {
    /// Their mean.
    Mean = 0,
    /// The mean of their squares.
    MeanSquare = 1,
    /// Their variance.
    Variance = 2,
    /// The gradient times the image.
    TimesInput = 3,
    /// The weighted sum times the way from the baseline.
    FromBaseline = 4,
    /// The mean of gradients times the ways from random baselines.
    FromRandomBaselines = 5,
}

impl GradientSum {
    /// What `method` needs.
    pub fn of(method: Method) -> GradientSum {
        match method {
            Method::SmoothgradSq => GradientSum::MeanSquare,
            Method::Vargrad => GradientSum::Variance,
            Method::InputXGradient | Method::Lrp => GradientSum::TimesInput,
            Method::IntegratedGradients | Method::Deeplift => GradientSum::FromBaseline,
            Method::GradientShap => GradientSum::FromRandomBaselines,
            _ => GradientSum::Mean,
        }
    }
}

/// What `class_score` makes of a sample's logits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Score {
    /// The class's logit.
    Logit = 0,
    /// Its log-probability.
    LogProbability = 1,
    /// Its probability.
    Probability = 2,
}

impl Score {
    /// What `method` looks at where `output` is explained: RISE is published with probabilities.
    pub fn of(method: Method, output: Output) -> Score {
        match (method, output) {
            (Method::Rise, _) => Score::Probability,
            (_, Output::LogSoftmax) => Score::LogProbability,
            (_, Output::Logit) => Score::Logit,
        }
    }
}
