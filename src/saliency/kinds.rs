//! What the kernels of attribution are told to do for a method.

use super::{Method, MethodOptions, Output};
use crate::kernels::{GradientSum, Hiding, Sampling, Score};

impl Method {
    /// What becomes of the gradients of an image's samples.
    pub fn gradient_sum(self) -> GradientSum {
        match self {
            Method::SmoothgradSq => GradientSum::MeanSquare,
            Method::Vargrad => GradientSum::Variance,
            Method::InputXGradient | Method::Lrp => GradientSum::TimesInput,
            Method::IntegratedGradients | Method::Deeplift => GradientSum::FromBaseline,
            Method::GradientShap => GradientSum::FromRandomBaselines,
            _ => GradientSum::Mean,
        }
    }

    /// What is looked at where `output` is explained: RISE is published with probabilities.
    pub(super) fn score(self, output: Output) -> Score {
        match (self, output) {
            (Method::Rise, _) => Score::Probability,
            (_, Output::LogSoftmax) => Score::LogProbability,
            (_, Output::Logit) => Score::Logit,
        }
    }
}

impl MethodOptions {
    /// What the samples of `method` are.
    pub(super) fn sampling_of(&self, method: Method) -> Sampling {
        let noise = self.noise_of(method);
        match method {
            Method::Smoothgrad | Method::SmoothgradSq | Method::Vargrad => {
                Sampling::Noisy { noise }
            }
            Method::IntegratedGradients => Sampling::OnPath,
            Method::GradientShap => Sampling::OnRandomPath { noise },
            Method::Occlusion => {
                let (side, stride) = self.window;
                Sampling::Hidden(Hiding::Window { side: side.max(1), stride: stride.max(1) })
            }
            Method::Rise => {
                let (grid, share) = self.grid;
                Sampling::Hidden(Hiding::Mask { grid: grid.max(1), share })
            }
            _ => Sampling::Clean,
        }
    }
}
