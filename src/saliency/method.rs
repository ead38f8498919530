//! The attribution methods and their settings.

use serde::Serialize;

use super::Quadrature;
use crate::config::Shape;

/// An attribution method. All maps are signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// ∂ score / ∂X of the normalised image (Simonyan et al. 2013).
    Gradient,
    /// X ⊙ ∂ score / ∂X (Shrikumar et al. 2016).
    InputXGradient,
    /// Mean of the gradients at noisy copies of the image (Smilkov et al. 2017).
    Smoothgrad,
    /// Mean of their squares (Hooker et al. 2019).
    SmoothgradSq,
    /// Their variance (Adebayo et al. 2018).
    Vargrad,
    /// (X − b) ⊙ the integral of the gradient along the straight path from a baseline b
    /// (Sundararajan et al. 2017).
    IntegratedGradients,
    /// Mean of (X − b) ⊙ the gradient at random points between baselines and the image (Lundberg
    /// and Lee 2017).
    GradientShap,
    /// A layer's channels weighted by their mean gradients, enlarged to the image (Selvaraju et al.
    /// 2017), without the ReLU on the sum.
    GradCam,
    /// The gradient with negative values cut off at every activation (Springenberg et al. 2015).
    GuidedBackprop,
    /// DeepLIFT's rescale rule (Shrikumar et al. 2017).
    Deeplift,
    /// Layer-wise relevance propagation (Bach et al. 2015) by the ε or the z⁺ rule.
    Lrp,
    /// Mean fall of the score where a window of the image is covered (Zeiler and Fergus 2014).
    Occlusion,
    /// Mean of random masks weighted by the probability of the class behind them (Petsiuk et al.
    /// 2018).
    Rise,
    /// U(−1, 1): the baseline that explains nothing.
    Random,
}

impl Method {
    /// All methods.
    pub const ALL: [Method; 14] = [
        Method::Gradient,
        Method::InputXGradient,
        Method::Smoothgrad,
        Method::SmoothgradSq,
        Method::Vargrad,
        Method::IntegratedGradients,
        Method::GradientShap,
        Method::GradCam,
        Method::GuidedBackprop,
        Method::Deeplift,
        Method::Lrp,
        Method::Occlusion,
        Method::Rise,
        Method::Random,
    ];

    /// The name on the command line and of the tensor in `attributions.safetensors`.
    pub fn name(self) -> &'static str {
        match self {
            Method::Gradient => "gradient",
            Method::InputXGradient => "input-x-gradient",
            Method::Smoothgrad => "smoothgrad",
            Method::SmoothgradSq => "smoothgrad-sq",
            Method::Vargrad => "vargrad",
            Method::IntegratedGradients => "integrated-gradients",
            Method::GradientShap => "gradient-shap",
            Method::GradCam => "grad-cam",
            Method::GuidedBackprop => "guided-backprop",
            Method::Deeplift => "deeplift",
            Method::Lrp => "lrp",
            Method::Occlusion => "occlusion",
            Method::Rise => "rise",
            Method::Random => "random",
        }
    }

    /// Whether the method draws random numbers.
    pub fn is_random(self) -> bool {
        use Method::{GradientShap, Random, Rise, Smoothgrad, SmoothgradSq, Vargrad};
        matches!(self, GradientShap | Random | Rise | Smoothgrad | SmoothgradSq | Vargrad)
    }

    /// Whether [`MethodOptions::samples`] matters.
    pub fn takes_samples(self) -> bool {
        self.is_random() && self != Method::Random
    }

    /// Whether [`MethodOptions::noise`] matters.
    pub fn takes_noise(self) -> bool {
        use Method::{GradientShap, Smoothgrad, SmoothgradSq, Vargrad};
        matches!(self, GradientShap | Smoothgrad | SmoothgradSq | Vargrad)
    }

    /// Whether [`MethodOptions::baseline`] matters.
    pub fn takes_baseline(self) -> bool {
        use Method::{Deeplift, GradientShap, IntegratedGradients, Occlusion, Rise};
        matches!(self, Deeplift | GradientShap | IntegratedGradients | Occlusion | Rise)
    }

    /// Whether the method looks back through the network, rather than at its outputs alone.
    pub fn needs_gradients(self) -> bool {
        !matches!(self, Method::Occlusion | Method::Rise | Method::Random)
    }
}

/// What is explained of a class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Output {
    /// Its logit.
    #[default]
    Logit,
    /// Its log-probability.
    LogSoftmax,
}

/// What stands for "nothing to see".
#[derive(Clone, Debug, PartialEq)]
pub enum Baseline {
    /// This value, after normalisation, everywhere.
    Value(f32),
    /// Whole normalised images, [B, C, H, W]: GradientSHAP draws from them, for other methods image
    /// i of a set starts from number i mod B.
    Images(Vec<f32>),
}

/// How layer-wise relevance propagation shares a layer's relevance out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LrpRule {
    /// In proportion to contributions x·w, biases included; ε = 1e-9.
    #[default]
    Epsilon,
    /// In proportion to contributions x·max(w, 0), without biases: meant for values that are not
    /// negative.
    ZPlus,
}

/// Settings of the methods; each looks at its own.
#[derive(Clone, Debug, PartialEq)]
pub struct MethodOptions {
    /// What is explained of the class: of methods with gradients, and of occlusion. DeepLIFT and
    /// LRP explain logits only.
    pub output: Output,
    /// Noisy copies, path points or masks an image; absent: 50, of RISE 1,000.
    pub samples: Option<u32>,
    /// Standard deviation of the noise as a share of the image's max − min; absent: 0.15, of
    /// GradientSHAP 0.
    pub noise: Option<f32>,
    /// Steps of Integrated Gradients.
    pub steps: u32,
    /// Where they lie.
    pub quadrature: Quadrature,
    /// Of Integrated Gradients, GradientSHAP, DeepLIFT, occlusion and RISE.
    pub baseline: Baseline,
    /// Side of occlusion's window in pixels, and the step between windows.
    pub window: (u32, u32),
    /// RISE's lattice: nodes an axis, and the share of them that let the image through.
    pub grid: (u32, f32),
    /// LRP's rule.
    pub lrp_rule: LrpRule,
    /// Grad-CAM's layer; absent: the last convolution.
    pub layer: Option<String>,
    /// Of random numbers.
    pub seed: u64,
    /// Images that go through the network at once, at most.
    pub batch_size: u32,
}

impl Default for MethodOptions {
    fn default() -> Self {
        MethodOptions {
            output: Output::Logit,
            samples: None,
            noise: None,
            steps: 50,
            quadrature: Quadrature::GaussLegendre,
            baseline: Baseline::Value(0.0),
            window: (3, 1),
            grid: (7, 0.5),
            lrp_rule: LrpRule::Epsilon,
            layer: None,
            seed: 0,
            batch_size: 256,
        }
    }
}

impl MethodOptions {
    /// Forward passes an image of `shape` that `method` takes.
    pub fn samples_of(&self, method: Method, shape: Shape) -> u32 {
        let windows =
            |length: u32| length.saturating_sub(self.window.0).div_ceil(self.window.1.max(1)) + 1;
        match method {
            Method::IntegratedGradients => self.steps.max(1),
            Method::Occlusion => windows(shape.height) * windows(shape.width) + 1,
            Method::Rise => self.samples.unwrap_or(1000).max(1),
            method if method.takes_samples() => self.samples.unwrap_or(50).max(1),
            _ => 1,
        }
    }

    /// The noise that `method` adds.
    pub fn noise_of(&self, method: Method) -> f32 {
        self.noise.unwrap_or(if method == Method::GradientShap { 0.0 } else { 0.15 })
    }
}
