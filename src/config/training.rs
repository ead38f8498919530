//! Settings of training: data, optimiser, Saliency Guided Training.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{choices::choices, pixel_normalization::PixelNormalization};

choices! {
    /// A log of a run besides `metrics.jsonl`.
    LogFormat {
        /// TensorBoard's event files.
        Tensorboard,
        /// `metrics.csv`.
        Csv,
    }
}

choices! {
    /// What replaces the masked features (algorithms: SGT step 3).
    MaskFill {
        /// Independent random values from U(min, max) of the image.
        Uniform,
        /// 0 after normalisation.
        Zero,
        /// The mean of the image, per channel.
        Mean,
        /// The image's pixel (0, 0), per channel.
        Corner,
        /// Gaussian blur of the image, σ = 2 pixels, reflected edges.
        Blur,
    }
}
choices! {
    /// How features are ranked for masking.
    MaskRank {
        /// By the signed gradient (Algorithm 1 and the reference code).
        Signed,
        /// By the gradient's magnitude.
        Abs,
    }
}
choices! {
    /// What the input gradient of SGT is the gradient of.
    SaliencyTarget {
        /// log-softmax at the true label (reference code).
        LogSoftmax,
        /// The logit at the true label.
        Label,
        /// The logit at the predicted label.
        Predicted,
    }
}
choices! {
    /// Which features and how many images a step masks (`sgt::MaskingSchedule` has the rules).
    SgtVariant {
        /// Algorithm 1: the features of lowest gradient, in every image.
        Standard,
        /// HLGM-style: by turns the features of lowest and of highest gradient, after a warm-up
        /// without masking.
        Hlgm,
        /// SMOOT-style: the share of a batch's images that is masked adapts to the training loss.
        Smoot,
    }
}
choices! {
    /// Initialisation of weights and biases.
    WeightInit {
        /// PyTorch's default, U(±1/√fan_in).
        KaimingUniform,
        /// N(0, 2/fan_in) weights, zero biases.
        KaimingNormal,
    }
}
choices! {
    /// Update rules, with torch.optim's semantics.
    OptimizerKind {
        /// Plain stochastic gradient descent.
        Sgd,
        /// SGD with (optionally Nesterov) momentum.
        Momentum,
        /// Adam.
        Adam,
        /// Adam with decoupled weight decay.
        Adamw,
        /// Adadelta.
        Adadelta,
    }
}
choices! {
    /// Learning-rate schedules.
    ScheduleKind {
        /// The same rate throughout.
        Constant,
        /// × `gamma` every `step_epochs` epochs.
        Step,
        /// Half a cosine from the rate to 0 over the run.
        Cosine,
        /// torch.optim's OneCycleLR with `--lr` as its peak.
        OneCycle,
    }
}
choices! {
    /// What becomes of a step whose loss, gradient or update is NaN or infinite. Its update is
    /// never made.
    #[derive(Default)]
    OnNonFinite {
        /// The run ends before it.
        #[default]
        Stop,
        /// The run goes on with the next one.
        Skip,
        /// Likewise, at half the learning rate from there on.
        LowerLr,
    }
}
choices! {
    /// How activations and their gradients are stored between layers; arithmetic is in f32 always.
    #[derive(Default)]
    Precision {
        /// 32 bits a number.
        #[default]
        F32,
        /// 16 bits a number: activations in f16, gradients in bf16.
        F16,
    }
}
choices! {
    /// Random changes to training images, on the GPU.
    Augmentation {
        /// A shift of up to 2 pixels each way, background filled in.
        Shift,
        /// Left-right mirroring with probability ½.
        Hflip,
        /// A shift of up to 4 pixels each way, background filled in: a random crop of the image
        /// with 4 pixels around it.
        Crop,
        /// A square of half the image's shorter side becomes 0 after normalisation; its centre is
        /// anywhere in the image (DeVries and Taylor 2017).
        Cutout,
    }
}

choices! {
    /// Weights of classes in the cross entropy.
    #[derive(Default)]
    ClassWeighting {
        /// 1 each.
        #[default]
        None,
        /// The inverse of the frequency in the training images.
        Balanced,
    }
}

/// Normalisation of pixels p ∈ [0, 1]: (p − mean) / deviation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Normalize {
    /// The data set's published mean and deviation, else those of the training images.
    Standard,
    /// No change: 0..1.
    Unit,
    /// Pixels as they are stored, 0..255: mean 0 and deviation 1/255.
    None,
    /// Given means and standard deviations.
    Fixed(PixelNormalization),
}

impl Normalize {
    /// Mean and deviation for pixels in 0..1; `None` for [`Normalize::Standard`], which takes a
    /// data set.
    pub fn constants(&self) -> Option<PixelNormalization> {
        match *self {
            Normalize::Standard => None,
            Normalize::Unit => Some(PixelNormalization::uniform(0.0, 1.0)),
            Normalize::None => Some(PixelNormalization::uniform(0.0, 1.0 / 255.0)),
            Normalize::Fixed(own) => Some(own),
        }
    }
}

/// Saliency Guided Training (Algorithm 1).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct SgtConfig {
    /// Off is plain training.
    pub enabled: bool,
    /// Share of features masked, 0..=1; k = floor(mask_ratio · features).
    pub mask_ratio: f32,
    /// What the masked features become.
    pub mask_fill: MaskFill,
    /// How they are chosen.
    pub mask_rank: MaskRank,
    /// Weight λ of the KL term.
    pub lambda: f32,
    /// What is differentiated.
    pub target: SaliencyTarget,
    /// Stop the KL term's gradient at f(X).
    pub stop_gradient: bool,
    /// Algorithm 1 or a variant of it.
    pub variant: SgtVariant,
    /// Epochs before masking begins.
    pub warmup_epochs: u32,
}

impl Default for SgtConfig {
    fn default() -> Self {
        SgtConfig {
            enabled: true,
            mask_ratio: 0.5,
            mask_fill: MaskFill::Uniform,
            mask_rank: MaskRank::Signed,
            lambda: 1.0,
            target: SaliencyTarget::LogSoftmax,
            stop_gradient: false,
            variant: SgtVariant::Standard,
            warmup_epochs: 0,
        }
    }
}

choices! {
    /// The class whose logit's gradient is aligned with the teacher's, in both.
    #[derive(Default)]
    AlignTarget {
        /// The label.
        #[default]
        Label,
        /// The class that the teacher predicts.
        Predicted,
    }
}

/// What a trained network, the teacher, adds to the loss.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TeachingConfig {
    /// Its model file or run folder.
    pub teacher: PathBuf,
    /// Weight of D_KL(teacher's predictions ‖ student's), of masked images too.
    pub distill: f32,
    /// Weight of 1 − cos of the gradient maps.
    pub align: f32,
    /// Whose gradient.
    #[serde(default)]
    pub align_target: AlignTarget,
    /// Keep what it says of the training images.
    #[serde(default)]
    pub cache: bool,
}

impl TeachingConfig {
    /// Whether gradient maps are aligned.
    pub fn aligns(&self) -> bool {
        self.align > 0.0
    }

    /// Whether predictions are distilled.
    pub fn distills(&self) -> bool {
        self.distill > 0.0
    }
}

/// Optimiser and its constants (torch.optim's names and defaults).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct OptimizerConfig {
    /// Update rule.
    pub kind: OptimizerKind,
    /// Momentum of `momentum`.
    pub momentum: f32,
    /// Nesterov's form of it.
    pub nesterov: bool,
    /// Weight decay of weights and biases.
    pub weight_decay: f32,
    /// β₁, β₂ of Adam and AdamW.
    pub betas: [f32; 2],
    /// ε of Adam, AdamW (1e-8) and Adadelta (1e-6); the rule's default where absent.
    pub epsilon: Option<f32>,
    /// ρ of Adadelta.
    pub rho: f32,
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        OptimizerConfig {
            kind: OptimizerKind::Sgd,
            momentum: 0.9,
            nesterov: false,
            weight_decay: 0.0,
            betas: [0.9, 0.999],
            epsilon: None,
            rho: 0.9,
        }
    }
}

/// Learning-rate schedule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct ScheduleConfig {
    /// Shape of the schedule.
    pub kind: ScheduleKind,
    /// Steps over which the rate rises linearly from 0 first.
    pub warmup_steps: u32,
    /// Factor of `step`.
    pub gamma: f32,
    /// Epochs between the drops of `step`.
    pub step_epochs: u32,
}

impl Default for ScheduleConfig {
    fn default() -> Self {
        ScheduleConfig { kind: ScheduleKind::Constant, warmup_steps: 0, gamma: 0.1, step_epochs: 1 }
    }
}
