//! The attribution methods, one row each; a row holds all the facts about its method.

use serde::Serialize;

use crate::{
    kernels::GradientSum,
    nn::{BackwardRule, Layers, RelevanceWeights},
};

/// Declares [`Method`]. A row has the method's description and source, its variant, its name on the
/// command line, and its specification.
macro_rules! methods {
    ($($(#[$about:meta])* $variant:ident, $name:literal, $spec:expr;)+) => {
        /// An attribution method. All maps are signed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
        pub enum Method { $($(#[$about])* #[serde(rename = $name)] $variant),+ }

        impl Method {
            /// All methods.
            pub const ALL: [Method; [$($name),+].len()] = [$(Method::$variant),+];

            /// The name on the command line and of the tensor in `attributions.safetensors`.
            pub fn name(self) -> &'static str {
                match self { $(Method::$variant => $name),+ }
            }

            /// The specification of the method.
            pub(super) fn spec(self) -> Spec {
                match self { $(Method::$variant => $spec),+ }
            }
        }
    };
}

/// The specification of a method.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spec {
    /// The inputs of the network.
    pub samples: Samples,
    /// The score that is explained.
    pub explains: Explained,
    /// The rule of the backward pass, if the map is made of gradients.
    pub rule: BackwardRule,
    /// The layers whose values the network keeps.
    pub layers: Layers,
    /// The computation of the map.
    pub map: Map,
    /// Whether the map is a derivative: it shows the effect of a change of a pixel, not the
    /// contribution of its value.
    pub is_derivative: bool,
}

/// The inputs of the network for an image.
#[derive(Clone, Copy, Debug)]
pub(super) enum Samples {
    /// The image itself.
    Image,
    /// Noisy copies: their number and the noise, unless the options override them.
    Noisy { count: u32, noise: f32 },
    /// The steps of a straight path from the baseline.
    OnPath,
    /// Random points between baselines and noisy copies: their number and the noise, unless the
    /// options override them.
    OnRandomPath { count: u32, noise: f32 },
    /// The image, and the image with a covered window, for all windows.
    Windows,
    /// The image behind random masks: their number, unless the options override it.
    Masks { count: u32 },
    /// The image behind each channel of the layer.
    Channels,
}

/// The score that is explained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Explained {
    /// The score of `MethodOptions::output`.
    AsAsked,
    /// The logit, because the method distributes it.
    Logit,
    /// The probability, as in the publication of the method.
    Probability,
}

/// The computation of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Map {
    /// The gradients of the samples.
    Gradients(GradientSum),
    /// The channels of a layer.
    Channels(ChannelWeights),
    /// The channels of a layer by their mean gradients, rectified, times the gradient of guided
    /// back-propagation.
    GuidedChannels,
    /// The scores of the samples.
    Scores,
    /// Random numbers.
    Random,
}

/// The weights of the channels of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChannelWeights {
    /// The means of their gradients.
    MeanGradients,
    /// The sums of their positive gradients, weighted by Grad-CAM++'s α.
    PlusPlus,
    /// The softmax of the scores of the image behind each of them.
    Scores,
}

/// The row of the plain gradient; other rows state their differences.
const GRADIENT: Spec = Spec {
    samples: Samples::Image,
    explains: Explained::AsAsked,
    rule: BackwardRule::Gradient,
    layers: Layers::Joined,
    map: Map::Gradients(GradientSum::Mean),
    is_derivative: false,
};
const NOISY: Samples = Samples::Noisy { count: 50, noise: 0.15 };

methods! {
    /// ∂ score / ∂X of the normalised image (Simonyan et al. 2013).
    Gradient, "gradient", Spec { is_derivative: true, ..GRADIENT };
    /// X ⊙ ∂ score / ∂X (Shrikumar et al. 2016).
    InputXGradient, "input-x-gradient", Spec {
        map: Map::Gradients(GradientSum::TimesInput),
        ..GRADIENT
    };
    /// Mean of the gradients at noisy copies of the image (Smilkov et al. 2017).
    Smoothgrad, "smoothgrad", Spec { samples: NOISY, is_derivative: true, ..GRADIENT };
    /// Mean of their squares (Hooker et al. 2019).
    SmoothgradSq, "smoothgrad-sq", Spec {
        samples: NOISY,
        map: Map::Gradients(GradientSum::MeanSquare),
        ..GRADIENT
    };
    /// Their variance (Adebayo et al. 2018).
    Vargrad, "vargrad", Spec {
        samples: NOISY,
        map: Map::Gradients(GradientSum::Variance),
        ..GRADIENT
    };
    /// (X − b) ⊙ the integral of the gradient along the straight path from a baseline b
    /// (Sundararajan et al. 2017).
    IntegratedGradients, "integrated-gradients", Spec {
        samples: Samples::OnPath,
        map: Map::Gradients(GradientSum::FromBaseline),
        ..GRADIENT
    };
    /// Mean of (X − b) ⊙ the gradient at random points between baselines and the image (Lundberg
    /// and Lee 2017).
    GradientShap, "gradient-shap", Spec {
        samples: Samples::OnRandomPath { count: 50, noise: 0.0 },
        map: Map::Gradients(GradientSum::FromRandomBaselines),
        ..GRADIENT
    };
    /// Channels of a layer weighted by their mean gradients and upsampled to the image (Selvaraju
    /// et al. 2017), without the ReLU on the sum.
    GradCam, "grad-cam", Spec {
        layers: Layers::Separate,
        map: Map::Channels(ChannelWeights::MeanGradients),
        ..GRADIENT
    };
    /// As Grad-CAM, with weights from positive gradients, weighted by pixel (Chattopadhyay et al.
    /// 2018). It is meant for a layer without negative values, such as an activation; negative
    /// values give it poles.
    GradCamPlusPlus, "grad-cam-plus-plus", Spec {
        layers: Layers::Separate,
        map: Map::Channels(ChannelWeights::PlusPlus),
        ..GRADIENT
    };
    /// As Grad-CAM, with the softmax of the scores of the image behind each upsampled channel as
    /// weights (Wang et al. 2020); no gradient. Without the ReLU on the sum.
    ScoreCam, "score-cam", Spec {
        samples: Samples::Channels,
        layers: Layers::Separate,
        map: Map::Channels(ChannelWeights::Scores),
        ..GRADIENT
    };
    /// The gradient with negative values set to 0 at every activation (Springenberg et al. 2015).
    GuidedBackprop, "guided-backprop", Spec {
        rule: BackwardRule::Guided,
        is_derivative: true,
        ..GRADIENT
    };
    /// Guided backprop times Grad-CAM with its ReLU (Selvaraju et al. 2017, section 3.2; Captum's
    /// `GuidedGradCam` with bilinear interpolation).
    GuidedGradCam, "guided-grad-cam", Spec {
        rule: BackwardRule::Guided,
        layers: Layers::Separate,
        map: Map::GuidedChannels,
        ..GRADIENT
    };
    /// DeepLIFT's rescale rule (Shrikumar et al. 2017).
    Deeplift, "deeplift", Spec {
        explains: Explained::Logit,
        rule: BackwardRule::Rescale,
        layers: Layers::Separate,
        map: Map::Gradients(GradientSum::FromBaseline),
        ..GRADIENT
    };
    /// Layer-wise relevance propagation (Bach et al. 2015) by the ε or the z⁺ rule.
    Lrp, "lrp", Spec {
        explains: Explained::Logit,
        rule: BackwardRule::Epsilon,
        layers: Layers::Separate,
        map: Map::Gradients(GradientSum::TimesInput),
        ..GRADIENT
    };
    /// LRP by the γ rule with γ = 0.25, biases included (Montavon et al. 2019; Captum's `GammaRule`
    /// in all layers). It is meant for values that are not negative: others give it poles.
    LrpGamma, "lrp-gamma", Spec {
        explains: Explained::Logit,
        rule: BackwardRule::Weighted(RelevanceWeights::Gamma(0.25)),
        layers: Layers::Separate,
        map: Map::Gradients(GradientSum::TimesInput),
        ..GRADIENT
    };
    /// Mean decrease of the score when a window of the image is covered (Zeiler and Fergus 2014).
    Occlusion, "occlusion", Spec { samples: Samples::Windows, map: Map::Scores, ..GRADIENT };
    /// Mean of random masks, weighted by the probability of the class for the masked image (Petsiuk
    /// et al. 2018).
    Rise, "rise", Spec {
        samples: Samples::Masks { count: 1000 },
        explains: Explained::Probability,
        map: Map::Scores,
        ..GRADIENT
    };
    /// U(−1, 1): a baseline that explains nothing.
    Random, "random", Spec { map: Map::Random, ..GRADIENT };
}

impl Method {
    /// The method with this name.
    pub fn named(name: &str) -> Option<Method> {
        Method::ALL.into_iter().find(|method| method.name() == name)
    }

    /// Whether the method uses random numbers.
    pub fn is_random(self) -> bool {
        self.takes_samples() || self.spec().map == Map::Random
    }

    /// Whether the method uses `MethodOptions::samples`.
    pub fn takes_samples(self) -> bool {
        use Samples::{Masks, Noisy, OnRandomPath};
        matches!(self.spec().samples, Noisy { .. } | OnRandomPath { .. } | Masks { .. })
    }

    /// Whether the method uses `MethodOptions::noise`.
    pub fn takes_noise(self) -> bool {
        matches!(self.spec().samples, Samples::Noisy { .. } | Samples::OnRandomPath { .. })
    }

    /// Whether the method uses `MethodOptions::steps`.
    pub fn takes_steps(self) -> bool {
        matches!(self.spec().samples, Samples::OnPath)
    }

    /// Whether the method uses `MethodOptions::baseline`.
    pub fn takes_baseline(self) -> bool {
        match self.spec().samples {
            Samples::Image => self.compares(),
            Samples::Noisy { .. } => false,
            Samples::OnPath
            | Samples::OnRandomPath { .. }
            | Samples::Windows
            | Samples::Masks { .. }
            | Samples::Channels => true,
        }
    }

    /// Whether the method uses `MethodOptions::layer`.
    pub fn takes_layer(self) -> bool {
        matches!(self.spec().map, Map::Channels(_) | Map::GuidedChannels)
    }

    /// Whether the method uses `MethodOptions::grad_cam_relu`; Guided Grad-CAM always has the ReLU.
    pub fn takes_grad_cam_relu(self) -> bool {
        matches!(self.spec().map, Map::Channels(_))
    }

    /// Whether the method uses `MethodOptions::lrp_rule`.
    pub fn takes_lrp_rule(self) -> bool {
        self.spec().rule == BackwardRule::Epsilon
    }

    /// Whether the backward pass compares with the activations of the baseline.
    pub(super) fn compares(self) -> bool {
        self.spec().rule == BackwardRule::Rescale
    }

    /// Whether the method runs a backward pass.
    pub fn needs_gradients(self) -> bool {
        match self.spec().map {
            Map::Gradients(_) | Map::GuidedChannels => true,
            Map::Channels(weights) => weights != ChannelWeights::Scores,
            Map::Scores | Map::Random => false,
        }
    }

    /// Whether its maps are derivatives: they show the effect of a change of the pixels, not the
    /// contribution of their values.
    pub fn is_derivative(self) -> bool {
        self.spec().is_derivative
    }

    /// How the gradients of an image's samples are combined.
    pub fn gradient_sum(self) -> GradientSum {
        match self.spec().map {
            Map::Gradients(sum) => sum,
            _ => GradientSum::Mean,
        }
    }
}
