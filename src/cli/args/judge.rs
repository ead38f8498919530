//! Arguments that `saliq drop` and `saliq compare` share: the method and its settings.

use clap::Args;

use super::{
    ModelInputArgs,
    explain::{ExplainBaseline, not_negative, refuse_repeated},
};
use crate::{
    Result,
    config::PixelNormalization,
    saliency::{Method, MethodOptions},
};

/// The explanations to judge.
#[derive(Clone, Debug, Args)]
pub struct JudgedMethodArgs {
    /// Attribution methods, a comma-separated list, as for `saliq explain`
    #[arg(
        long,
        value_name = "M,…",
        value_delimiter = ',',
        value_parser = super::explain::method,
        default_value = "gradient",
        help_heading = "Method"
    )]
    pub method: Vec<Method>,
    /// Image without features, for methods that compare with a baseline [default: zero]
    #[arg(long, value_enum, value_name = "KIND", help_heading = "Method")]
    pub baseline: Option<ExplainBaseline>,
    /// Number of samples per image in methods that average over noise or masks [default: 50, rise
    /// 1000]
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..=1_000_000),
        help_heading = "Method"
    )]
    pub samples: Option<u32>,
    /// Standard deviation of the noise in methods that add noise, as a share of the image's range
    /// [default: 0.15, gradient-shap 0]
    #[arg(
        long,
        value_name = "SHARE",
        value_parser = not_negative,
        allow_negative_numbers = true,
        help_heading = "Method"
    )]
    pub noise: Option<f32>,
    /// Number of steps in methods that integrate along a path [default: 50]
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..=10_000),
        help_heading = "Method"
    )]
    pub steps: Option<u32>,
    /// Layer whose output methods of the grad-cam kind use, such as conv1 or act2 [default: the
    /// last convolution]
    #[arg(long, value_name = "NAME", help_heading = "Method")]
    pub layer: Option<String>,
    /// Apply a ReLU to the sum of the weighted channels in methods of the grad-cam kind: no
    /// negative values, as published [default: signed maps; guided-grad-cam always has the ReLU]
    #[arg(long, help_heading = "Method")]
    pub grad_cam_relu: bool,
    /// Seed of all random numbers: those of methods, fills, noise and intervals
    #[arg(long, value_name = "N", default_value = "0", help_heading = "Method")]
    pub seed: u64,
}

impl JudgedMethodArgs {
    /// Returns an error for a method named twice.
    ///
    /// # Errors
    /// [`crate::Error::Usage`] with the method.
    pub fn validate(&self) -> Result<()> {
        refuse_repeated(&self.method)
    }

    /// The settings of the methods, for images normalised with `normalization`.
    pub fn settings(
        &self,
        normalization: PixelNormalization,
        input: &ModelInputArgs,
    ) -> MethodOptions {
        let defaults = MethodOptions::default();
        let baseline = self.baseline.unwrap_or_default().normalized(&normalization);
        MethodOptions {
            samples: self.samples,
            noise: self.noise,
            steps: self.steps.unwrap_or(defaults.steps),
            baseline,
            layer: self.layer.clone(),
            grad_cam_relu: self.grad_cam_relu,
            seed: self.seed,
            batch_size: input.batch_size,
            ..defaults
        }
    }
}
