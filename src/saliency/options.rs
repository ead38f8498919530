//! Settings of the attribution methods.

use super::{
    Method, Quadrature,
    layer::layer,
    method::{Explained, Samples},
};
use crate::{
    config::{NetworkConfig, PixelNormalization, Shape},
    kernels::{Hiding, Sampling, Score},
    nn::{BackwardRule, RelevanceWeights},
};

/// The explained score of a class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Output {
    /// Its logit.
    #[default]
    Logit,
    /// Its log-probability.
    LogSoftmax,
}

/// The image that stands for the absence of features.
#[derive(Clone, Debug, PartialEq)]
pub enum Baseline {
    /// This value, after normalisation, everywhere.
    Value(f32),
    /// A value, after normalisation, for every channel.
    Channels(Vec<f32>),
    /// Whole normalised images, [B, C, H, W]. GradientSHAP draws from them; for other methods image
    /// i of a set starts from image i mod B.
    Images(Vec<f32>),
}

impl Baseline {
    /// `pixel`, 0..1, in all channels, as `normalization` has it.
    pub fn of_pixel(pixel: f32, normalization: &PixelNormalization) -> Baseline {
        let value = |&(mean, deviation): &(f32, f32)| (pixel - mean) / deviation;
        match normalization.pairs() {
            [pair] => Baseline::Value(value(pair)),
            pairs => Baseline::Channels(pairs.iter().map(value).collect()),
        }
    }

    /// The image of `shape` that image `index` of a set starts from, [C, H, W].
    pub fn image(&self, index: usize, shape: Shape) -> Vec<f32> {
        let elements = shape.elements() as usize;
        match self {
            Baseline::Value(value) => vec![*value; elements],
            Baseline::Channels(values) => {
                (0..elements).map(|at| values[shape.channel_of(at) % values.len()]).collect()
            }
            Baseline::Images(images) => {
                (0..elements).map(|at| images[(index * elements + at) % images.len()]).collect()
            }
        }
    }
}

/// How layer-wise relevance propagation distributes a layer's relevance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LrpRule {
    /// In proportion to contributions x·w, biases included; ε = 1e-9.
    #[default]
    Epsilon,
    /// In proportion to contributions x·max(w, 0), without biases. Meant for values that are not
    /// negative.
    ZPlus,
}

/// Settings of the methods; each method uses only its own.
#[derive(Clone, Debug, PartialEq)]
pub struct MethodOptions {
    /// The explained score of methods with gradients, and of occlusion. DeepLIFT and LRP explain
    /// logits only.
    pub output: Output,
    /// Noisy copies, path points or masks per image; `None`: 50, for RISE 1,000.
    pub samples: Option<u32>,
    /// Standard deviation of the noise as a share of the image's max − min; `None`: 0.15, for
    /// GradientSHAP 0.
    pub noise: Option<f32>,
    /// Number of steps of Integrated Gradients.
    pub steps: u32,
    /// The positions of these steps.
    pub quadrature: Quadrature,
    /// Baseline of Integrated Gradients, GradientSHAP, DeepLIFT, occlusion and RISE.
    pub baseline: Baseline,
    /// Side of occlusion's window and the stride between windows, in pixels.
    pub window: (u32, u32),
    /// RISE's lattice: nodes per axis, and the share of nodes that show the image.
    pub grid: (u32, f32),
    /// LRP's rule.
    pub lrp_rule: LrpRule,
    /// Layer of Grad-CAM, Grad-CAM++, Score-CAM and Guided Grad-CAM; `None`: the last convolution.
    pub layer: Option<String>,
    /// Whether a ReLU is applied to the sum of the layer's weighted channels, before it is
    /// upsampled: maps without negative values, as published. Guided Grad-CAM always has it.
    pub grad_cam_relu: bool,
    /// Seed of random numbers.
    pub seed: u64,
    /// Largest number of images that go through the network at once.
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
            grad_cam_relu: false,
            seed: 0,
            batch_size: 256,
        }
    }
}

impl MethodOptions {
    /// Number of samples of an image that `network` processes for `method`; 1 where the method does
    /// not fit the network.
    pub fn samples_of(&self, method: Method, network: &NetworkConfig) -> u32 {
        let shape = network.input;
        let windows =
            |length: u32| length.saturating_sub(self.window.0).div_ceil(self.window.1.max(1)) + 1;
        match method.spec().samples {
            Samples::Image => 1,
            Samples::Channels => {
                let index = layer(method, network, self.layer.as_deref());
                let shape = index.and_then(|index| Ok(network.shapes()?[index]));
                shape.map_or(1, |shape| shape.channels)
            }
            Samples::OnPath => self.steps.max(1),
            Samples::Windows => windows(shape.height) * windows(shape.width) + 1,
            Samples::Noisy { count, .. }
            | Samples::OnRandomPath { count, .. }
            | Samples::Masks { count } => self.samples.unwrap_or(count).max(1),
        }
    }

    /// The noise that `method` adds.
    pub fn noise_of(&self, method: Method) -> f32 {
        match method.spec().samples {
            Samples::Noisy { noise, .. } | Samples::OnRandomPath { noise, .. } => {
                self.noise.unwrap_or(noise)
            }
            _ => 0.0,
        }
    }

    /// The samples of `method`.
    pub(super) fn sampling_of(&self, method: Method) -> Sampling {
        let noise = self.noise_of(method);
        match method.spec().samples {
            // The masks of channels have a kernel of their own, behind a pass over clean images.
            Samples::Image | Samples::Channels => Sampling::Clean,
            Samples::Noisy { .. } => Sampling::Noisy { noise },
            Samples::OnPath => Sampling::OnPath,
            Samples::OnRandomPath { .. } => Sampling::OnRandomPath { noise },
            Samples::Windows => {
                let (side, stride) = self.window;
                Sampling::Hidden(Hiding::Window { side: side.max(1), stride: stride.max(1) })
            }
            Samples::Masks { .. } => {
                let (grid, share) = self.grid;
                Sampling::Hidden(Hiding::Mask { grid: grid.max(1), share })
            }
        }
    }

    /// Whether `method` folds batch norms of `network` into the layers in front of them: a rule
    /// with weights of its own needs both as one layer.
    pub fn folds_batch_norms(&self, method: Method, network: &NetworkConfig) -> bool {
        matches!(self.rule_of(method), BackwardRule::Weighted(_)) && network.has_batch_norm()
    }

    /// The rule of the backward pass of `method`.
    pub(super) fn rule_of(&self, method: Method) -> BackwardRule {
        match self.lrp_rule {
            LrpRule::ZPlus if method.takes_lrp_rule() => {
                BackwardRule::Weighted(RelevanceWeights::Positive)
            }
            _ => method.spec().rule,
        }
    }

    /// The score that `method` explains.
    pub(super) fn score_of(&self, method: Method) -> Score {
        match (method.spec().explains, self.output) {
            (Explained::Probability, _) => Score::Probability,
            (_, Output::LogSoftmax) => Score::LogProbability,
            (_, Output::Logit) => Score::Logit,
        }
    }
}
