//! The attribution methods, a row each: all that is said of a method is said in its row.

use serde::Serialize;

use crate::{
    kernels::GradientSum,
    nn::{BackwardRule, Layers},
};

/// Declares [`Method`]. A row is what the method is and where it comes from, its variant, its name
/// on the command line, and how it works.
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

            /// How the method works.
            pub(super) fn spec(self) -> Spec {
                match self { $(Method::$variant => $spec),+ }
            }
        }
    };
}

/// How a method works.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spec {
    /// What goes through the network.
    pub samples: Samples,
    /// What is explained of the class.
    pub explains: Explained,
    /// How gradients go back, where the map is made of some.
    pub rule: BackwardRule,
    /// What the network keeps for it.
    pub layers: Layers,
    /// What the map is made of.
    pub map: Map,
    /// Whether the map is a derivative: it says what a change of a pixel does, not what the pixel
    /// as it is has done.
    pub is_derivative: bool,
}

/// What goes through the network for an image.
#[derive(Clone, Copy, Debug)]
pub(super) enum Samples {
    /// The image itself.
    Image,
    /// So many noisy copies, with so much noise, unless the options say otherwise.
    Noisy { count: u32, noise: f32 },
    /// The steps of a straight path from the baseline.
    OnPath,
    /// So many random points between baselines and noisy copies, likewise.
    OnRandomPath { count: u32, noise: f32 },
    /// The image, and the image with a window covered, for all windows.
    Windows,
    /// The image behind so many random masks, likewise.
    Masks { count: u32 },
}

/// What is explained of the class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Explained {
    /// What `MethodOptions::output` says.
    AsAsked,
    /// The logit: the method distributes it.
    Logit,
    /// The probability, with which the method is published.
    Probability,
}

/// What a map is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Map {
    /// The gradients of the samples.
    Gradients(GradientSum),
    /// The channels of a layer.
    Channels(ChannelWeights),
    /// The scores of the samples.
    Scores,
    /// Random numbers.
    Random,
}

/// What the channels of a layer are weighted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChannelWeights {
    /// The means of their gradients.
    MeanGradients,
    /// Sums of their positive gradients, weighted by Grad-CAM++'s α.
    PlusPlus,
}

/// The plain gradient's row: other rows say what is different.
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
    /// A layer's channels weighted by their mean gradients, enlarged to the image (Selvaraju et al.
    /// 2017), without the ReLU on the sum.
    GradCam, "grad-cam", Spec {
        layers: Layers::Separate,
        map: Map::Channels(ChannelWeights::MeanGradients),
        ..GRADIENT
    };
    /// The same with weights of positive gradients, weighted by pixel (Chattopadhyay et al. 2018).
    /// Meant for a layer without negative values, such as an activation: with them it has poles.
    GradCamPlusPlus, "grad-cam-plus-plus", Spec {
        layers: Layers::Separate,
        map: Map::Channels(ChannelWeights::PlusPlus),
        ..GRADIENT
    };
    /// The gradient with negative values cut off at every activation (Springenberg et al. 2015).
    GuidedBackprop, "guided-backprop", Spec {
        rule: BackwardRule::Guided,
        is_derivative: true,
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
    /// Mean fall of the score where a window of the image is covered (Zeiler and Fergus 2014).
    Occlusion, "occlusion", Spec { samples: Samples::Windows, map: Map::Scores, ..GRADIENT };
    /// Mean of random masks weighted by the probability of the class behind them (Petsiuk et al.
    /// 2018).
    Rise, "rise", Spec {
        samples: Samples::Masks { count: 1000 },
        explains: Explained::Probability,
        map: Map::Scores,
        ..GRADIENT
    };
    /// U(−1, 1): the baseline that explains nothing.
    Random, "random", Spec { map: Map::Random, ..GRADIENT };
}

impl Method {
    /// The method of this name.
    pub fn named(name: &str) -> Option<Method> {
        Method::ALL.into_iter().find(|method| method.name() == name)
    }

    /// Whether the method draws random numbers.
    pub fn is_random(self) -> bool {
        self.takes_samples() || self.spec().map == Map::Random
    }

    /// Whether `MethodOptions::samples` matters.
    pub fn takes_samples(self) -> bool {
        use Samples::{Masks, Noisy, OnRandomPath};
        matches!(self.spec().samples, Noisy { .. } | OnRandomPath { .. } | Masks { .. })
    }

    /// Whether `MethodOptions::noise` matters.
    pub fn takes_noise(self) -> bool {
        matches!(self.spec().samples, Samples::Noisy { .. } | Samples::OnRandomPath { .. })
    }

    /// Whether `MethodOptions::steps` matters.
    pub fn takes_steps(self) -> bool {
        matches!(self.spec().samples, Samples::OnPath)
    }

    /// Whether `MethodOptions::baseline` matters.
    pub fn takes_baseline(self) -> bool {
        match self.spec().samples {
            Samples::Image => self.compares(),
            Samples::Noisy { .. } => false,
            _ => true,
        }
    }

    /// Whether `MethodOptions::layer` matters.
    pub fn takes_layer(self) -> bool {
        matches!(self.spec().map, Map::Channels(_))
    }

    /// Whether `MethodOptions::lrp_rule` matters.
    pub fn takes_lrp_rule(self) -> bool {
        self.spec().rule == BackwardRule::Epsilon
    }

    /// Whether the way back compares with the baseline's way through the network.
    pub(super) fn compares(self) -> bool {
        self.spec().rule == BackwardRule::Rescale
    }

    /// Whether the method looks back through the network, rather than at its outputs alone.
    pub fn needs_gradients(self) -> bool {
        matches!(self.spec().map, Map::Gradients(_) | Map::Channels(_))
    }

    /// Whether its maps are derivatives: they say what a change of the pixels does, not what the
    /// pixels as they are have done.
    pub fn is_derivative(self) -> bool {
        self.spec().is_derivative
    }

    /// What becomes of the gradients of an image's samples.
    pub fn gradient_sum(self) -> GradientSum {
        match self.spec().map {
            Map::Gradients(sum) => sum,
            _ => GradientSum::Mean,
        }
    }
}
