//! Settings of training: data, optimiser, Saliency Guided Training, quantization.

use std::path::PathBuf;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::{LayerBits, NetworkConfig};

macro_rules! choices {
    ($(#[$meta:meta])* $name:ident { $($(#[$variant_meta:meta])* $variant:ident),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
        #[serde(rename_all = "kebab-case")]
        pub enum $name { $($(#[$variant_meta])* $variant),+ }
    };
}

choices! {
    /// What replaces the masked features (algorithms: SGT step 3).
    MaskFill {
        /// Independent U(min, max) of the image's own values.
        Uniform,
        /// 0 after normalisation.
        Zero,
        /// The image's mean.
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
    /// Weight fake-quantizers (algorithms: section 3).
    WeightQuantizer {
        /// Asymmetric min/max with a zero point, eq. (1).
        Affine,
        /// tanh-normalised, as the PACT paper used.
        Dorefa,
        /// Statistics-aware weight binning: clip from the means of w² and |w|.
        Sawb,
        /// Levels on both sides of 0, as far as the largest weight.
        Symmetric,
        /// Learned step size.
        Lsq,
        /// 1 bit: sign(w)·E|w|.
        Binary,
    }
}
choices! {
    /// What of a quantized activation is learned.
    ActivationQuantizer {
        /// PACT's clipping threshold α.
        Pact,
        /// The step between levels (LSQ), on PACT's grids.
        Lsq,
    }
}
choices! {
    /// PACT's clipping range and place.
    PactKind {
        /// clip(x, 0, α) in the place of the ReLU.
        Unsigned,
        /// clip(x, −α, α) in the place of the ReLU, eq. (6).
        Signed,
        /// clip(x, −α, α) after the ReLU.
        SignedAfterRelu,
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
    /// Given mean and standard deviation, the same for every channel.
    Fixed {
        /// Subtracted from the pixel.
        mean: f32,
        /// Divides the difference.
        deviation: f32,
    },
}

impl Normalize {
    /// Mean and deviation for pixels in 0..1; `None` for [`Normalize::Standard`], which takes a
    /// data set.
    pub fn constants(&self) -> Option<(f32, f32)> {
        match *self {
            Normalize::Standard => None,
            Normalize::Unit => Some((0.0, 1.0)),
            Normalize::None => Some((0.0, 1.0 / 255.0)),
            Normalize::Fixed { mean, deviation } => Some((mean, deviation)),
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

/// Fake quantization in training (section 3).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct QuantizationConfig {
    /// Bits of each convolution and linear layer in order; layers beyond the list stay in float.
    pub bits: Vec<LayerBits>,
    /// Weight quantizer.
    pub weight_quant: WeightQuantizer,
    /// A range for every output channel instead of one for the tensor.
    pub per_channel: bool,
    /// What is learned of the activations.
    pub act_quant: ActivationQuantizer,
    /// Activation clipping.
    pub pact: PactKind,
    /// Initial α; calibrated from the first batches where absent.
    pub alpha_init: Option<f32>,
    /// L2 penalty on α.
    pub alpha_decay: f32,
    /// Factor on the learning rate for α.
    pub alpha_lr_factor: f32,
    /// Factor on the learning rate for learned steps (LSQ).
    pub step_lr_factor: f32,
    /// The weights of quantized layers are on their levels already, as a packed file has them: they
    /// are used as they are. Their scales (and zero points) stand beside them as
    /// `<layer>.weight_scale` (and `<layer>.weight_zero_point`).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub weights_are_levels: bool,
}

impl Default for QuantizationConfig {
    fn default() -> Self {
        QuantizationConfig {
            bits: Vec::new(),
            weight_quant: WeightQuantizer::Sawb,
            per_channel: false,
            act_quant: ActivationQuantizer::Pact,
            pact: PactKind::Unsigned,
            alpha_init: None,
            alpha_decay: 0.0,
            alpha_lr_factor: 1.0,
            step_lr_factor: 1.0,
            weights_are_levels: false,
        }
    }
}

impl QuantizationConfig {
    /// Bits of the `index`-th convolution or linear layer.
    pub fn layer_bits(&self, index: usize) -> LayerBits {
        self.bits.get(index).copied().unwrap_or(LayerBits::FLOAT)
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

/// Everything one training run is determined by, plus where it writes and how often it logs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RunConfig {
    /// Named data set or folder of four IDX files.
    pub dataset: String,
    /// Where named sets are looked up first.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub data_dir: Option<PathBuf>,
    /// First N training images only.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub train_limit: Option<u32>,
    /// First N test images only.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub test_limit: Option<u32>,
    /// Share of the training set (its end) held out for validation.
    #[serde(default)]
    pub validation_share: f32,
    /// Pixel normalisation.
    pub normalize: Normalize,
    /// Random changes to training images.
    pub augment: Vec<Augmentation>,
    /// Images a step.
    pub batch_size: u32,
    /// Storage of activations and their gradients.
    #[serde(default)]
    pub precision: Precision,
    /// Passes over the training set; `steps` wins where both are given.
    pub epochs: u32,
    /// Steps in all.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub steps: Option<u64>,
    /// Peak learning rate.
    pub learning_rate: f32,
    /// Visit the training set in random order.
    pub shuffle: bool,
    /// Seed of every random number.
    pub seed: u64,
    /// Initialisation where no model is given.
    pub weight_init: WeightInit,
    /// Model to start from.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub init: Option<PathBuf>,
    /// Run folder.
    pub out: PathBuf,
    /// Steps between step lines in `metrics.jsonl`; 0 for epochs only.
    pub log_every: u32,
    /// Steps or time between checkpoints (`500`, `5m`); epochs only where absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub checkpoint_every: Option<String>,
    /// What becomes of a step with numbers that are none.
    #[serde(default)]
    pub on_non_finite: OnNonFinite,
    /// Steps between saliency snapshots; 0 for none.
    pub snapshot_every: u32,
    /// The last step with the batch's statistics in batch norms; absent: all steps.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub freeze_bn_after: Option<u64>,
    /// Saliency Guided Training.
    pub sgt: SgtConfig,
    /// Fake quantization.
    pub quantization: QuantizationConfig,
    /// Optimiser.
    pub optimizer: OptimizerConfig,
    /// Learning-rate schedule.
    pub schedule: ScheduleConfig,
    /// The network.
    pub network: NetworkConfig,
}

impl RunConfig {
    /// The last step in which batch norms take the statistics of their batch; 0 where none does,
    /// `u64::MAX` where all do.
    pub fn last_step_with_batch_statistics(&self) -> u64 {
        if self.network.has_batch_norm() { self.freeze_bn_after.unwrap_or(u64::MAX) } else { 0 }
    }

    /// The bits for people: `float`, or `(4,2)`.
    pub fn quantization_label(&self) -> String {
        match self.quantization.label().as_str() {
            "32" => "float".into(),
            bits => format!("({})", bits.replace('-', ",")),
        }
    }
}
