//! Settings as a user gives them: every one optional, on the command line and in TOML under the
//! same name.

use std::{
    fmt,
    io::Read,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use toml::de::{DeValue, ValueDeserializer};

use super::{
    ActivationQuantizer, AlignTarget, AugmentList, Betas, BitsList, Cadence, ClassWeighting,
    ColorMode, DropoutRates, ImageSize, LayerConfig, LogList, LooseBits, MaskFill, MaskRank,
    NetworkOrigin, NormalizeSpec, OnNonFinite, OptimizerKind, PactKind, PartialNetwork,
    PartialQuantization, Precision, ReadOptions, SaliencyTarget, ScheduleKind, SgtVariant,
    WeightInit, WeightQuantizer,
    misfit::Misfit,
    pointers,
    quantization::refusal,
    text::{real, suggestion, whole},
};
use crate::{Error, Phrase, Result, error::phrase, plain};

/// Largest configuration file that is read.
const MAX_FILE: u64 = 1 << 20;

/// One definition for the flags, the keys, and the laying of one over the other. A number is
/// followed by what parses it and what its value is called, a switch by its values.
macro_rules! settings {
    ($($heading:literal {
        $(
            $(#[$meta:meta])*
            $name:ident: $kind:ty
                $(= $parser:ident($value:literal))?
                $(as switch($values:literal))?,
        )+
    })+) => {
        /// Settings of a run as given: by flags of `saliq train`, by a `--config` file, or by the
        /// `config.toml` of a run folder. Keys are the flags without their dashes, plus
        /// `[network]`. Ranges are checked by [`validate`](Self::validate).
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
        #[cfg_attr(feature = "cli", derive(clap::Args))]
        #[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
        pub struct PartialRunConfig {
            $($(
                $(#[$meta])*
                #[cfg_attr(feature = "cli", arg(long, help_heading = $heading))]
                $(#[cfg_attr(
                    feature = "cli",
                    arg(value_name = $value, value_parser = $parser, allow_negative_numbers = true)
                )])?
                $(#[cfg_attr(
                    feature = "cli",
                    arg(
                        value_name = $values,
                        num_args = 0..=1,
                        default_missing_value = "true",
                        hide_possible_values = true
                    )
                )])?
                #[serde(skip_serializing_if = "Option::is_none")]
                pub $name: Option<$kind>,
            )+)+
            /// The channels of images from files; the flag is the global `--color`.
            #[cfg_attr(feature = "cli", arg(skip))]
            #[serde(skip_serializing_if = "Option::is_none")]
            pub color: Option<ColorMode>,
            /// The layers, where the network is not that of Table I.
            #[cfg_attr(feature = "cli", arg(skip))]
            #[serde(skip_serializing_if = "Option::is_none")]
            pub network: Option<PartialNetwork>,
            /// Bits by name or pattern, in the place of `bits`.
            #[cfg_attr(feature = "cli", arg(skip))]
            #[serde(skip_serializing_if = "Option::is_none")]
            pub quantization: Option<PartialQuantization>,
        }

        /// Every key, with underscores.
        const FIELDS: &[&str] = &[$($(stringify!($name),)+)+ "color", "network", "quantization"];

        impl PartialRunConfig {
            fn fill_in(self, below: PartialRunConfig) -> PartialRunConfig {
                PartialRunConfig {
                    $($($name: self.$name.or(below.$name),)+)+
                    color: self.color.or(below.color),
                    network: self.network.or(below.network),
                    quantization: self.quantization.or(below.quantization),
                }
            }
        }
    };
}

settings! {
    "Data" {
        /// Data set: mnist, fashion-mnist, mnist-mini, fashion-mini, or your own: a folder of
        /// pictures (train/CLASS/*, test/CLASS/*), CIFAR, IDX, .npz, .npy, .csv, .safetensors
        /// [default: mnist-mini]
        ///
        /// docs/data.md has a tree for each format; `saliq data info` prints what is read.
        #[cfg_attr(feature = "cli", arg(value_name = "NAME|DIR|FILE"))]
        dataset: String,
        /// Folder in which named data sets are looked up first [default: SALIQ_DATA_DIR, the cache
        /// folder, /usr/share/datasets]
        #[cfg_attr(feature = "cli", arg(value_name = "DIR"))]
        data_dir: PathBuf,
        /// Size of the images: the shorter side is resized, the centre is cut out; required where
        /// pictures differ in size [default: as they are]
        #[cfg_attr(feature = "cli", arg(value_name = "H,W"))]
        image_size: ImageSize,
        /// Share of each class that becomes the test set, chosen by --seed, for data without one
        test_share: f64 = real("SHARE"),
        /// Exchange rows and columns of every image (EMNIST's files are transposed) [default:
        /// false]
        transpose: bool as switch("true|false"),
        /// Train on the first N images only; where the images are in the order of their classes, on
        /// N images of all classes alike, chosen by --seed
        train_limit: i64 = whole("N"),
        /// Test on the first N images only
        test_limit: i64 = whole("N"),
        /// Share of the training set, its end, that is held out for validation [default: 0]
        ///
        /// Where the images are in the order of their classes, it is that of every class alike,
        /// chosen by --seed.
        validation_share: f64 = real("SHARE"),
        /// Stop after N epochs without a better accuracy (or, at the same, a lower loss) on the
        /// validation images, which --validation-share holds out [default: never]
        ///
        /// The best model is best.safetensors in the run folder, with or without this.
        early_stopping: i64 = whole("N"),
        /// Pixel normalisation: standard, unit (0..1), none (0..255) or MEAN,STD [default: that of
        /// --init, else standard]
        ///
        /// `standard` is the published mean and deviation of a named data set (MNIST 0.1307,
        /// 0.3081; Fashion-MNIST 0.2860, 0.3530), else those of the training images.
        /// `M1,M2,M3/S1,S2,S3` is a pair a channel.
        #[cfg_attr(feature = "cli", arg(value_name = "HOW"))]
        normalize: NormalizeSpec,
        /// Random changes to training images: none, or a list of shift (up to 2 pixels), crop (up
        /// to 4), hflip, cutout (a square of half the size) [default: none]
        #[cfg_attr(feature = "cli", arg(value_name = "LIST"))]
        augment: AugmentList,
        /// Draw every class as often as the largest one: an epoch has the images of smaller ones
        /// several times [default: false]
        balance: bool as switch("true|false"),
        /// Weight of each class in the cross entropy, whose mean over a batch is then the weighted
        /// one, as PyTorch's; balanced: images / (classes · images of the class) [default: none]
        ///
        /// `ce` in metrics.jsonl is the weighted mean. The KL term of Saliency Guided Training, the
        /// terms of a teacher and the losses on test images are plain means.
        #[cfg_attr(feature = "cli", arg(value_name = "HOW"))]
        class_weights: ClassWeighting,
        /// Visit the training images in file order, every epoch [default: false]
        no_shuffle: bool as switch("true|false"),
    }
    "Network & quantization" {
        /// Bits a layer: one value for the convolutions, or a list for the layers in order
        /// [default: 32]
        ///
        /// 1 to 8, or 32 for float; `w4a2` sets weights and output activations apart. `--bits 4,2`
        /// is the paper's (4,2): conv1 at 4 bits, conv2 at 2, the fully connected layers in float.
        /// In a file, [quantization.bits] gives bits by name or pattern instead: "default" =
        /// "w4a4", "conv1" = 8, "fc*" = "w8a8".
        #[cfg_attr(feature = "cli", arg(value_name = "B1,B2"))]
        bits: BitsList,
        /// --bits N is that of every layer with weights, the fully connected ones too [default:
        /// false]
        ///
        /// The output of the last layer stays float. With a list of bits, whose values belong to
        /// layers already, it is refused.
        all_layers: bool as switch("true|false"),
        /// Bits of the first and the last layer with weights, whatever the others have [default:
        /// those that --bits gives them]
        ///
        /// `--bits 4 --all-layers --first-last 8` is the usual choice of quantized networks. The
        /// output of the last layer stays float.
        #[cfg_attr(feature = "cli", arg(value_name = "N"))]
        first_last: LooseBits,
        /// Weight quantizer [default: sawb]
        ///
        /// dorefa's levels go from -1 to 1 whatever the scale of the weights is: it is for networks
        /// that are trained with it from the beginning.
        #[cfg_attr(feature = "cli", arg(value_name = "NAME"))]
        weight_quant: WeightQuantizer,
        /// A range for every output channel of a weight instead of one for the tensor [default:
        /// false]
        per_channel: bool as switch("true|false"),
        /// Layers with 1-bit weights are `binary`, whatever --weight-quant is of the others;
        /// without it, 1 bit is refused for most quantizers [default: false]
        binary_one_bit: bool as switch("true|false"),
        /// What is learned of the activations: PACT's clipping value α, the step between levels
        /// (LSQ), or step and offset of the levels (LSQ+) [default: pact]
        #[cfg_attr(feature = "cli", arg(value_name = "NAME"))]
        act_quant: ActivationQuantizer,
        /// Activation clipping (PACT), also the grid of --act-quant lsq; with lsq-plus whether the
        /// ReLU stays (unsigned) or not (signed) [default: unsigned]
        #[cfg_attr(feature = "cli", arg(value_name = "KIND"))]
        pact: PactKind,
        /// Initial clipping value α [default: calibrated from the first batches]
        alpha_init: f64 = real("ALPHA"),
        /// L2 penalty on α [default: 0]
        alpha_decay: f64 = real("DECAY"),
        /// Factor on the learning rate for α; 0 keeps α as it is [default: 1]
        alpha_lr_factor: f64 = real("FACTOR"),
        /// Factor on the learning rate for learned steps (LSQ); 0 keeps them as they are [default:
        /// 1]
        step_lr_factor: f64 = real("FACTOR"),
        /// Dropout rate after the pool and after fc1: P for both, or P1,P2 [default: 0]
        ///
        /// The reference code of Saliency Guided Training uses 0.25,0.5. With a `[network]` of your
        /// own: one rate for all of its dropout layers, or one for each.
        #[cfg_attr(feature = "cli", arg(value_name = "P1,P2"))]
        dropout: DropoutRates,
        /// A batch norm behind every convolution of the network [default: false]
        ///
        /// With a `[network]` of your own, say where: layers with type = "batch-norm".
        batch_norm: bool as switch("true|false"),
        /// Steps after which batch norms use their running statistics, which stay as they are
        /// [default: never]
        freeze_bn_after: i64 = whole("STEPS"),
        /// Initialisation of the weights [default: kaiming-uniform, PyTorch's]
        #[cfg_attr(feature = "cli", arg(value_name = "NAME"))]
        weight_init: WeightInit,
        /// Start from a trained model: a .safetensors file or a run folder
        #[cfg_attr(feature = "cli", arg(value_name = "MODEL"))]
        init: PathBuf,
    }
    "Saliency guided training" {
        /// Saliency guided training; `false` is plain training [default: true]
        sgt: bool as switch("true|false"),
        /// Share of the features, those of lowest saliency, that is masked [default: 0.5]
        mask_ratio: f64 = real("SHARE"),
        /// What the masked features become [default: uniform]
        #[cfg_attr(feature = "cli", arg(value_name = "FILL"))]
        mask_fill: MaskFill,
        /// Rank features by the signed gradient or by its magnitude [default: signed]
        #[cfg_attr(feature = "cli", arg(value_name = "RANK"))]
        mask_rank: MaskRank,
        /// Weight λ of the KL divergence between the predictions for the whole and the masked image
        /// [default: 1]
        lambda: f64 = real("LAMBDA"),
        /// What the saliency is the gradient of [default: log-softmax]
        #[cfg_attr(feature = "cli", arg(value_name = "WHAT"))]
        saliency_target: SaliencyTarget,
        /// Let no gradient of the KL term flow through the prediction for the whole image [default:
        /// false]
        stop_gradient: bool as switch("true|false"),
        /// Variant: Algorithm 1, or one in the style of HLGM or SMOOT [default: standard]
        ///
        /// HLGM and SMOOT are from the same research group; their exact schedules are not
        /// published, so these are our rules in their style. hlgm: no masking in the first epoch
        /// (--sgt-warmup-epochs), then by turns, from step to step, the features of lowest and
        /// those of highest gradient are masked. smoot: the share of a batch's images that is
        /// masked (the first of the shuffled batch, with --no-shuffle the same images in every
        /// epoch; the others have no KL term) begins at 1/2 and, after every epoch, rises by 1/8 up
        /// to 1 if the mean cross entropy of the epoch is no higher than that of the epoch before,
        /// else falls by 1/8 down to 1/8. One image alone is not masked where a batch norm has no
        /// variance of it.
        #[cfg_attr(feature = "cli", arg(value_name = "NAME"))]
        sgt_variant: SgtVariant,
        /// Epochs before masking begins: plain training until then [default: 1 with --sgt-variant
        /// hlgm, else 0]
        sgt_warmup_epochs: i64 = whole("N"),
    }
    "Teacher" {
        /// Trained model whose predictions (--distill) and explanations (--align) are learned too:
        /// a .safetensors file or a run folder
        #[cfg_attr(feature = "cli", arg(value_name = "MODEL"))]
        teacher: PathBuf,
        /// Weight of the KL divergence of the predictions from the teacher's, for whole and masked
        /// images [default: 0]
        distill: f64 = real("W"),
        /// Weight of 1 - cosine of the gradient maps of the network and the teacher [default: 0]
        ///
        /// The maps are those of inference: the gradients of one class's logit with respect to the
        /// image. For networks that are linear between kinks: relu, relu6, leaky-relu, and all
        /// layers but `multiply`.
        align: f64 = real("W"),
        /// The class whose logit's gradient is aligned: the label, or what the teacher predicts
        /// [default: label]
        #[cfg_attr(feature = "cli", arg(value_name = "CLASS"))]
        align_target: AlignTarget,
        /// Compute the teacher's logits and maps of the training images once and keep them, where
        /// they fit the adapter [default: false]
        teacher_cache: bool as switch("true|false"),
    }
    "Optimiser" {
        /// Update rule, with torch.optim's semantics [default: sgd; momentum where --momentum or
        /// --nesterov is given]
        #[cfg_attr(feature = "cli", arg(value_name = "RULE"))]
        optimizer: OptimizerKind,
        /// Learning rate, the peak one of a schedule [default: 0.2; 0.1 for the Fashion sets]
        ///
        /// The paper's, for sgd. momentum: a tenth of that; adam and adamw: 0.001; adadelta: 1.
        lr: f64 = real("RATE"),
        /// Momentum of the rule `momentum` [default: 0.9]
        momentum: f64 = real("M"),
        /// Nesterov's form of momentum [default: false]
        nesterov: bool as switch("true|false"),
        /// Weight decay of weights and biases, never of α [default: 0]
        weight_decay: f64 = real("DECAY"),
        /// β₁ and β₂ of adam and adamw [default: 0.9,0.999]
        #[cfg_attr(feature = "cli", arg(value_name = "B1,B2"))]
        betas: Betas,
        /// ε of adam, adamw [default: 1e-8] and adadelta [default: 1e-6]
        epsilon: f64 = real("EPSILON"),
        /// ρ of adadelta [default: 0.9]
        rho: f64 = real("RHO"),
        /// Learning-rate schedule [default: constant]
        #[cfg_attr(feature = "cli", arg(value_name = "NAME"))]
        schedule: ScheduleKind,
        /// Steps over which the rate first rises from 0 [default: 0]
        warmup_steps: i64 = whole("N"),
        /// Factor of the schedule `step` [default: 0.1]
        gamma: f64 = real("FACTOR"),
        /// Epochs between two drops of the schedule `step` [default: 1]
        step_epochs: i64 = whole("N"),
    }
    "Run" {
        /// Images a step [default: 256; 128 for the Fashion sets]
        batch_size: i64 = whole("N"),
        /// Storage of activations and their gradients: f32, or f16 for half the memory and traffic
        /// [default: f32]
        ///
        /// f16: activations in 16-bit floats, their gradients in bfloat16; images, logits, weights
        /// and all arithmetic stay in f32.
        #[cfg_attr(feature = "cli", arg(value_name = "f32|f16", hide_possible_values = true))]
        precision: Precision,
        /// Passes over the training images [default: 10]
        epochs: i64 = whole("N"),
        /// Steps in all, in place of --epochs
        #[cfg_attr(feature = "cli", arg(conflicts_with = "epochs"))]
        steps: i64 = whole("N"),
        /// Seed of every random number; one seed, one result on one adapter [default: 0]
        seed: i64 = whole("N"),
        /// Run folder to write [default: runs/DATASET-BITS-SEED]
        #[cfg_attr(feature = "cli", arg(value_name = "DIR"))]
        out: PathBuf,
        /// Steps between two step lines of metrics.jsonl; 0 for epochs only [default: 1]
        log_every: i64 = whole("N"),
        /// Further logs in the run folder: none, or a list of tensorboard (event files: curves,
        /// distributions of weights, saliency maps) and csv (metrics.csv) [default: none]
        #[cfg_attr(feature = "cli", arg(value_name = "LIST"))]
        log: LogList,
        /// Steps (500) or time (30s, 5m, 2h) between two checkpoints [default: at the end of each
        /// epoch]
        #[cfg_attr(feature = "cli", arg(value_name = "N|TIME"))]
        checkpoint_every: Cadence,
        /// What becomes of a step whose numbers are NaN or infinite: its update is not made, and
        /// then stop, skip, or lower-lr [default: stop]
        ///
        /// stop: the run ends, with a checkpoint of before that step; skip: it goes on with the
        /// next step; lower-lr: likewise, at half the learning rate from there on.
        #[cfg_attr(
            feature = "cli",
            arg(value_name = "stop|skip|lower-lr", hide_possible_values = true)
        )]
        on_non_finite: OnNonFinite,
        /// Steps between two saliency maps of a few fixed images, kept in snapshots.png and
        /// snapshots.safetensors; 0 for none [default: 0]
        snapshot_every: i64 = whole("N"),
    }
}

/// A value outside what its setting allows.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Invalid {
    /// The key, i.e. the flag without its dashes.
    pub key: &'static str,
    /// The value as given.
    pub value: String,
    /// What would be right.
    pub reason: Phrase,
}

impl From<Invalid> for Error {
    fn from(invalid: Invalid) -> Error {
        let Invalid { key, value, reason } = invalid;
        let setting = match value.as_str() {
            "" => phrase!("<{}>: ", key),
            value => phrase!("<{} {}>: ", key, value),
        };
        Error::Settings(setting.then(reason))
    }
}

fn invalid(
    key: &'static str,
    value: impl fmt::Display,
    reason: impl Into<Phrase>,
) -> Result<(), Invalid> {
    Err(Invalid { key, value: value.to_string(), reason: reason.into() })
}

fn check_whole(key: &'static str, value: Option<i64>, min: i64, max: i64) -> Result<(), Invalid> {
    match value {
        Some(value) if !(min..=max).contains(&value) => {
            invalid(key, value, format!("must be a whole number from {min} to {max}"))
        }
        _ => Ok(()),
    }
}

/// Checks a real number as the f32 that it becomes.
fn check_real(
    key: &'static str,
    value: Option<f64>,
    allowed: impl Fn(f32) -> bool,
    range: &'static str,
) -> Result<(), Invalid> {
    match value {
        Some(value) if !((value as f32).is_finite() && allowed(value as f32)) => {
            invalid(key, value, format!("must be {range}"))
        }
        _ => Ok(()),
    }
}

impl PartialRunConfig {
    /// Reads a TOML file of at most 1 MiB and checks its keys, types and ranges.
    ///
    /// # Errors
    /// [`Error::Io`] where it cannot be read; [`Error::Usage`] or [`Error::Settings`] with file,
    /// line and key for anything wrong in it.
    pub fn from_file(path: &Path) -> Result<PartialRunConfig> {
        let file =
            std::fs::File::open(path).map_err(Error::io("cannot read the configuration", path))?;
        let mut bytes = Vec::new();
        file.take(MAX_FILE + 1)
            .read_to_end(&mut bytes)
            .map_err(Error::io("cannot read the configuration", path))?;
        if bytes.len() as u64 > MAX_FILE {
            return Err(Error::Usage(format!(
                "{}: a configuration file may have at most 1 MiB",
                path.display()
            )));
        }
        let text = String::from_utf8(bytes).map_err(|_| {
            Error::Settings(phrase!(
                "{}: not UTF-8 text; <config> takes a TOML file",
                path.display()
            ))
        })?;
        PartialRunConfig::parse(&text, &path.display().to_string())
    }

    /// Parses TOML; `origin` names it in messages.
    ///
    /// # Errors
    /// [`Error::Usage`] or [`Error::Settings`] with origin, line and key.
    pub fn parse(text: &str, origin: &str) -> Result<PartialRunConfig> {
        PartialRunConfig::parse_beside(text, origin, &[])
    }

    /// As [`parse`](Self::parse), for a file that has keys `others` besides the settings.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn parse_beside(text: &str, origin: &str, others: &[&str]) -> Result<PartialRunConfig> {
        let line_of = |offset: usize| {
            1 + text.as_bytes()[..offset.min(text.len())].iter().filter(|&&b| b == b'\n').count()
        };
        let said_at = |offset: Option<usize>, said: Phrase| {
            let place = offset.map_or(String::new(), |offset| format!(":{}", line_of(offset)));
            Error::Settings(phrase!("{}{}: ", origin, place).then(said))
        };
        let one_line = |message: &str| Phrase::from(plain(&message.trim().replace('\n', "; ")));
        let at = |offset: Option<usize>, message: &str| said_at(offset, one_line(message));
        let toml_error =
            |error: toml::de::Error| at(error.span().map(|span| span.start), error.message());
        let table = toml::de::DeTable::parse(text).map_err(toml_error)?;
        let keys: Vec<String> = FIELDS.iter().map(|field| field.replace('_', "-")).collect();
        for key in table.get_ref().keys() {
            let name: &str = key.get_ref();
            if !others.contains(&name) && !keys.iter().any(|known| known == name) {
                let hint = match pointers::of_flag(name) {
                    Some(said) => phrase!("; ").then(said),
                    None => suggestion(name, keys.iter().map(String::as_str)).into(),
                };
                let message = one_line(&format!("unknown key `{name}`"))
                    .then(hint)
                    .then(" (keys are the flags of `saliq train` without dashes)".into());
                return Err(said_at(Some(key.span().start), message));
            }
        }
        let network = table.get_ref().iter().find(|(key, _)| key.get_ref() == "network");
        let layers =
            network.and_then(|(_, network)| network.get_ref().get("layers")?.get_ref().as_array());
        for (index, layer) in layers.into_iter().flat_map(|layers| layers.iter()).enumerate() {
            if let Err((offset, reason)) = check_layer(layer) {
                let name = layer.get_ref().get("name").and_then(|name| name.get_ref().as_str());
                return Err(at(
                    Some(offset),
                    &format!("network: {}", Misfit::of_layer(index, name, reason)),
                ));
            }
        }
        let mut own = table.clone();
        for key in others {
            own.get_mut().remove(*key);
        }
        let span = own.span();
        let own = toml::Spanned::new(span, DeValue::Table(own.into_inner()));
        let read = PartialRunConfig::deserialize(ValueDeserializer::from(own));
        let mut parsed: PartialRunConfig = read.map_err(|error| {
            // The parser speaks of the value only: name the key, the last one that starts before
            // it.
            let span = error.span();
            let before = |offset: usize| span.as_ref().is_some_and(|span| offset <= span.start);
            let starts =
                table.get_ref().keys().map(|key| (key.span().start, key.get_ref().to_string()));
            let key = starts.filter(|&(start, _)| before(start)).max().map(|(_, key)| key);
            let prefix = key.as_ref().map_or(String::new(), |key| format!("{key}: "));
            let value = key
                .as_deref()
                .and_then(|key| table.get_ref().iter().find(|(other, _)| other.get_ref() == key));
            let value = value.and_then(|(key, value)| {
                pointers::of_value(key.get_ref(), value.get_ref().as_str()?, [])
            });
            let pointer = value.map_or(Phrase::default(), |said| phrase!("; ").then(said));
            let message = one_line(&format!("{prefix}{}", error.message()));
            said_at(span.map(|span| span.start), message.then(pointer))
        })?;
        parsed.validate_inner().map_err(|problem| {
            let key = table
                .get_ref()
                .keys()
                .find(|key| key.get_ref() == problem.key)
                .map(|key| key.span().start);
            let Invalid { key: name, value, reason } = problem;
            let equals = if value.is_empty() { "" } else { " = " };
            said_at(key, phrase!("{}{}{}: ", name, equals, plain(&value)).then(reason))
        })?;
        if let Some(own) = parsed.quantization.take() {
            let entries =
                table.get_ref().get("quantization").and_then(|own| own.get_ref().get("bits"));
            let entries = entries.and_then(|entries| entries.get_ref().as_table());
            let mut places: Vec<(usize, String)> = entries
                .into_iter()
                .flat_map(|entries| entries.keys())
                .map(|key| (key.span().start, key.get_ref().to_string()))
                .collect();
            places.sort_unstable();
            let lines = places.into_iter().map(|(start, key)| (key, line_of(start))).collect();
            parsed.quantization =
                Some(PartialQuantization { bits: own.bits.placed(origin, lines) });
        }
        if let (Some(parsed), Some((key, _))) = (&mut parsed.network, network) {
            parsed.origin = NetworkOrigin {
                file: origin.into(),
                line: line_of(key.span().start),
                layers: layers
                    .into_iter()
                    .flat_map(|layers| layers.iter())
                    .map(|layer| line_of(layer.span().start))
                    .collect(),
            };
        }
        Ok(parsed)
    }

    /// Lays these settings (flags) over those of a file: what is given here wins. `--epochs` here
    /// also wins over `steps` there, and `--momentum` or `--nesterov` here makes a plain `sgd`
    /// there the rule `momentum`.
    pub fn over(mut self, mut below: PartialRunConfig) -> PartialRunConfig {
        if self.epochs.is_some() && self.steps.is_none() {
            below.steps = None;
        }
        let asks_for_momentum = self.momentum.is_some() || self.nesterov == Some(true);
        if self.optimizer.is_none()
            && asks_for_momentum
            && matches!(below.optimizer, None | Some(OptimizerKind::Sgd))
        {
            self.optimizer = Some(OptimizerKind::Momentum);
        }
        // Bits here are in the place of those there, as a list or by name.
        if self.bits.is_some() {
            below.quantization = None;
        }
        if self.quantization.is_some() {
            (below.bits, below.all_layers) = (None, None);
        }
        self.fill_in(below)
    }

    /// These settings (of a file) with another network. What was set for the network they had goes
    /// with it.
    pub fn with_network(mut self, network: Option<PartialNetwork>) -> PartialRunConfig {
        if network != self.network {
            (self.dropout, self.batch_norm) = (None, None);
        }
        self.network = network;
        self
    }

    /// How the images are read.
    pub fn reading(&self) -> ReadOptions {
        ReadOptions {
            image_size: self.image_size,
            color: self.color,
            test_share: self.test_share.map(|share| share as f32),
            seed: self.test_share.and(self.seed).map_or(0, |seed| seed.max(0) as u64),
            transpose: self.transpose.unwrap_or(false),
        }
    }

    /// The data set asked for, or the default one.
    pub fn dataset_name(&self) -> &str {
        self.dataset.as_deref().unwrap_or("mnist-mini")
    }

    /// Checks every value that can be judged without the data set, and settings that contradict
    /// each other.
    ///
    /// # Errors
    /// [`Error::Settings`]: one line with the setting, its value and the allowed range.
    pub fn validate(&self) -> Result<()> {
        self.validate_inner().map_err(Error::from)
    }

    /// [`validate`](Self::validate) for flags laid over a file: a constant in the file of a rule
    /// that the flags have replaced is no mistake, it merely rests.
    ///
    /// # Errors
    /// As [`validate`](Self::validate).
    pub fn check_merged(&self) -> Result<()> {
        Ok(self.check_values()?)
    }

    /// Refuses a constant given in `self` (flags) for a rule other than the one `merged` ends up
    /// with: it would have no effect.
    ///
    /// # Errors
    /// [`Error::Settings`] naming the setting and the rule it belongs to.
    pub fn check_against(&self, merged: &PartialRunConfig) -> Result<()> {
        let rules = PartialRunConfig {
            optimizer: Some(merged.optimizer_kind()),
            schedule: Some(merged.schedule.unwrap_or(ScheduleKind::Constant)),
            ..self.clone()
        };
        Ok(rules.check_companions()?)
    }

    /// The update rule: as given, or `momentum` where only its constants are given, or `sgd`.
    pub(super) fn optimizer_kind(&self) -> OptimizerKind {
        let wants_momentum = self.momentum.is_some() || self.nesterov == Some(true);
        self.optimizer.unwrap_or(if wants_momentum {
            OptimizerKind::Momentum
        } else {
            OptimizerKind::Sgd
        })
    }

    fn validate_inner(&self) -> Result<(), Invalid> {
        self.check_values()?;
        self.check_companions()
    }

    fn check_values(&self) -> Result<(), Invalid> {
        let many = i64::from(u32::MAX);
        check_whole("train-limit", self.train_limit, 1, many)?;
        check_whole("test-limit", self.test_limit, 1, many)?;
        check_whole("batch-size", self.batch_size, 1, 65536)?;
        check_whole("epochs", self.epochs, 1, 1_000_000)?;
        check_whole("steps", self.steps, 1, 1_000_000_000_000)?;
        check_whole("freeze-bn-after", self.freeze_bn_after, 0, 1_000_000_000_000)?;
        check_whole("seed", self.seed, 0, i64::MAX)?;
        check_whole("log-every", self.log_every, 0, many)?;
        check_whole("snapshot-every", self.snapshot_every, 0, many)?;
        check_whole("early-stopping", self.early_stopping, 1, many)?;
        check_whole("warmup-steps", self.warmup_steps, 0, many)?;
        check_whole("step-epochs", self.step_epochs, 1, 1_000_000)?;
        check_whole("sgt-warmup-epochs", self.sgt_warmup_epochs, 0, 1_000_000)?;
        let share = |x: f32| (0.0..1.0).contains(&x);
        let below_one = "at least 0 and below 1";
        let (not_negative, zero_or_more) = (|x: f32| x >= 0.0, "0 or more");
        let (positive, above_zero) = (|x: f32| x > 0.0, "above 0");
        check_real("validation-share", self.validation_share, share, below_one)?;
        let inside = |x: f32| x > 0.0 && x < 1.0;
        check_real("test-share", self.test_share, inside, "above 0 and below 1")?;
        check_real("mask-ratio", self.mask_ratio, |x| (0.0..=1.0).contains(&x), "from 0 to 1")?;
        check_real("lambda", self.lambda, not_negative, zero_or_more)?;
        check_real("distill", self.distill, not_negative, zero_or_more)?;
        check_real("align", self.align, not_negative, zero_or_more)?;
        check_real("lr", self.lr, positive, above_zero)?;
        check_real("momentum", self.momentum, share, below_one)?;
        check_real("weight-decay", self.weight_decay, not_negative, zero_or_more)?;
        check_real("epsilon", self.epsilon, positive, above_zero)?;
        check_real("rho", self.rho, |x| (0.0..=1.0).contains(&x), "from 0 to 1")?;
        check_real("gamma", self.gamma, |x| x > 0.0 && x <= 1.0, "above 0 and at most 1")?;
        check_real("alpha-init", self.alpha_init, positive, above_zero)?;
        check_real("alpha-decay", self.alpha_decay, not_negative, zero_or_more)?;
        check_real("alpha-lr-factor", self.alpha_lr_factor, not_negative, zero_or_more)?;
        check_real("step-lr-factor", self.step_lr_factor, not_negative, zero_or_more)?;
        for &beta in self.betas.iter().flat_map(|betas| &betas.0) {
            check_real("betas", Some(beta), share, below_one)?;
        }
        for &rate in self.dropout.iter().flat_map(|rates| &rates.0) {
            check_real("dropout", Some(rate), share, below_one)?;
        }
        for (key, path) in [
            ("data-dir", &self.data_dir),
            ("init", &self.init),
            ("teacher", &self.teacher),
            ("out", &self.out),
        ] {
            if let Some(path) =
                path.as_ref().filter(|path| path.to_str().is_none() || path.as_os_str().is_empty())
            {
                invalid(key, path.display(), "must be a path in UTF-8, not empty")?;
            }
        }
        if self.dataset.as_ref().is_some_and(String::is_empty) {
            invalid("dataset", "", "must be a name (see `saliq data list`) or a folder")?;
        }
        if self.nesterov == Some(true) && self.momentum == Some(0.0) {
            invalid("nesterov", true, "needs a momentum above 0")?;
        }
        self.check_bits()
    }

    fn check_bits(&self) -> Result<(), Invalid> {
        if let (Some(list), Some(_)) = (&self.bits, &self.quantization) {
            let reason = "stands beside [quantization.bits]; give one of them";
            invalid("bits", list, reason)?;
        }
        let quantizer = self.weight_quant.unwrap_or(WeightQuantizer::Sawb);
        let pact = self.pact.unwrap_or(PactKind::Unsigned);
        let act_quant = self.act_quant.unwrap_or(ActivationQuantizer::Pact);
        for &bits in self.bits.iter().flat_map(|list| &list.0) {
            let quantizer = quantizer.of_width(bits.weight, self.binary_one_bit.unwrap_or(false));
            if let Some(reason) = refusal(bits, quantizer, (act_quant, pact)) {
                let value = self.bits.as_ref().map_or(String::new(), BitsList::to_string);
                invalid("bits", value, phrase!("{}: ", bits).then(reason))?;
            }
        }
        Ok(())
    }

    /// A constant of a rule that the same source does not choose would have no effect without a
    /// word.
    fn check_companions(&self) -> Result<(), Invalid> {
        use OptimizerKind::{Adadelta, Adam, Adamw, Momentum};
        let given = |name, present: bool| present.then_some(name);
        if let Some(optimizer) = self.optimizer {
            let pairs = [
                (
                    given("momentum", self.momentum.is_some()),
                    &[Momentum][..],
                    phrase!("<optimizer momentum>"),
                ),
                (
                    given("nesterov", self.nesterov == Some(true)),
                    &[Momentum],
                    phrase!("<optimizer momentum>"),
                ),
                (
                    given("betas", self.betas.is_some()),
                    &[Adam, Adamw],
                    phrase!("<optimizer adam> or adamw"),
                ),
                (
                    given("epsilon", self.epsilon.is_some()),
                    &[Adam, Adamw, Adadelta],
                    phrase!("<optimizer adam>, adamw or adadelta"),
                ),
                (given("rho", self.rho.is_some()), &[Adadelta], phrase!("<optimizer adadelta>")),
            ];
            for (key, rules, needs) in pairs {
                if let Some(key) = key.filter(|_| !rules.contains(&optimizer)) {
                    invalid(
                        key,
                        "",
                        phrase!("has an effect with ").then(needs).then(" only".into()),
                    )?;
                }
            }
        }
        if self.act_quant.is_some_and(|own| own != ActivationQuantizer::Pact) {
            for (key, present) in [
                ("alpha-init", self.alpha_init.is_some()),
                ("alpha-decay", self.alpha_decay.is_some()),
            ] {
                if present {
                    invalid(key, "", phrase!("has an effect with <act-quant pact> only"))?;
                }
            }
        }
        if self.schedule.is_some_and(|schedule| schedule != ScheduleKind::Step) {
            for (key, present) in
                [("gamma", self.gamma.is_some()), ("step-epochs", self.step_epochs.is_some())]
            {
                if present {
                    invalid(key, "", phrase!("has an effect with <schedule step> only"))?;
                }
            }
        }
        Ok(())
    }
}

/// What is wrong with an entry of `[[network.layers]]`, and where in the text. The parser knows the
/// place of the entry alone. Keys are read in order, and what is missing is found behind the last:
/// a key more changes the fault where something is missing; else the key that is wrong is the one
/// without which the fault is gone.
fn check_layer(layer: &toml::Spanned<DeValue<'_>>) -> Result<(), (usize, String)> {
    let fault = |value: DeValue<'_>| {
        let read = LayerConfig::deserialize(ValueDeserializer::from(toml::Spanned::new(
            layer.span(),
            value,
        )));
        read.err().map(|error| error.message().trim().replace('\n', "; "))
    };
    let Some(reason) = fault(layer.get_ref().clone()) else { return Ok(()) };
    let place = || {
        let table = layer.get_ref().as_table()?;
        let mut longer = table.clone();
        let spanned = |value| toml::Spanned::new(layer.span(), value);
        longer
            .insert(toml::Spanned::new(layer.span(), "~".into()), spanned(DeValue::Boolean(true)));
        if fault(DeValue::Table(longer)).as_ref() != Some(&reason) {
            return None;
        }
        let wrong = table.keys().filter(|key| key.get_ref() != "type").find(|key| {
            let mut shorter = table.clone();
            shorter.remove(key.get_ref().as_ref());
            fault(DeValue::Table(shorter)).as_ref() != Some(&reason)
        })?;
        Some(wrong.span())
    };
    Err((place().unwrap_or_else(|| layer.span()).start, reason))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::BitsTable;

    fn message(text: &str) -> String {
        PartialRunConfig::parse(text, "a.toml")
            .map_or_else(|error| error.to_string(), |parsed| format!("accepted {parsed:?}"))
    }

    #[test]
    fn files_are_judged_with_line_and_key() {
        assert!(
            message("\nlamda = 1")
                .starts_with("a.toml:2: unknown key `lamda`; did you mean `lambda`?")
        );
        assert!(message("lr = 0.1\nepochs = \"ten\"").starts_with("a.toml:2: epochs: "));
        assert!(
            message("lr = 0.1\nmask-ratio = 1.5")
                .starts_with("a.toml:2: mask-ratio = 1.5: must be from 0 to 1")
        );
        assert!(message("bits = \"4,9\"").starts_with("a.toml:1: bits: `9` is not a bit width"));
        assert!(message("sgt = \n").starts_with("a.toml:1: "));
        assert!(message("lr = nan").contains("lr = NaN: must be above 0"));
        assert!(
            message("[network]\nlayers = [{ type = \"convolution\" }]")
                .starts_with("a.toml:2: network: ")
        );
        assert!(message("[network]\nlayer = []").contains("unknown field `layer`"));
        assert!(
            message("optimizer = \"sgd\"\nmomentum = 0.9")
                .contains("with optimizer = momentum only")
        );
        assert!(!message("lr = 1\nlr = 2").contains('\n'));
    }

    #[test]
    fn bits_by_name_keep_the_order_of_the_file() {
        let parse = |text: &str| PartialRunConfig::parse(text, "a.toml");
        let text = "lr = 1\n[quantization.bits]\n\"fc*\" = 8\n\"conv1\" = \"w8a4\"\n\
                    \"conv*\" = \"2\"\ndefault = \"w4a4\"";
        let parsed = parse(text).unwrap();
        let entries = [("fc*", "8"), ("conv1", "w8a4"), ("conv*", "2"), ("default", "4")];
        let entries = entries.map(|(pattern, bits)| (pattern.to_string(), bits.parse().unwrap()));
        let expected = PartialQuantization { bits: BitsTable::new(entries) };
        assert_eq!(parsed.quantization, Some(expected));
        let inline = "quantization = { bits = { \"z\" = 8, \"*\" = 2, \"a\" = 4 } }";
        let inline = parse(inline).unwrap().quantization.unwrap();
        let table = parse("[quantization.bits]\nz = 8\n\"*\" = 2\na = 4").unwrap();
        assert_eq!(Some(inline), table.quantization);
        let both = message("bits = 4\n[quantization.bits]\ndefault = 8");
        assert!(
            both.starts_with("a.toml:1: bits = 4: stands beside [quantization.bits]"),
            "{both}"
        );
        let bad = message("[quantization.bits]\nconv1 = 9");
        assert!(bad.starts_with("a.toml:2: quantization: `9` is not a bit width"), "{bad}");
        assert!(message("[quantization]\nbit = 4").contains("unknown field `bit`"));
        // Flags are in its place.
        let merged = parse("bits = 3").unwrap().over(parsed.clone());
        assert!(merged.bits.is_some() && merged.quantization.is_none());
        let merged = parse("seed = 3").unwrap().over(parsed);
        assert!(merged.bits.is_none() && merged.quantization.is_some());
        assert!(parse("bits = 4\nfirst-last = 8").unwrap().first_last.is_some());
    }

    #[test]
    fn lists_may_be_texts_numbers_or_arrays() {
        let a = PartialRunConfig::parse(
            "bits = \"4,2\"\naugment = [\"shift\"]\ndropout = 0.5\nlr = 1\ncheckpoint-every = 5",
            "",
        );
        let b = PartialRunConfig::parse(
            "bits = [4, \"2\"]\naugment = \"shift\"\ndropout = [0.5]\nlr = 1.0\n\
             checkpoint-every = \"5\"",
            "",
        );
        assert_eq!(a.unwrap(), b.unwrap());
    }

    #[test]
    fn flags_win() {
        let parse = |text| PartialRunConfig::parse(text, "").unwrap();
        let merged = parse("lr = 0.5\nepochs = 3").over(parse("lr = 0.1\nseed = 7\nsteps = 100"));
        assert_eq!(
            (merged.lr, merged.seed, merged.epochs, merged.steps),
            (Some(0.5), Some(7), Some(3), None)
        );
        let merged = parse("momentum = 0.8").over(parse("optimizer = \"sgd\""));
        assert_eq!(merged.optimizer, Some(OptimizerKind::Momentum));
        let merged = parse("momentum = 0.8").over(parse("optimizer = \"adam\""));
        assert_eq!(merged.optimizer, Some(OptimizerKind::Adam));
    }

    #[test]
    fn every_range_is_enforced() {
        for (good, bad) in [
            ("batch-size = 65536", "batch-size = 65537"),
            ("epochs = 1", "epochs = 0"),
            ("steps = 1", "steps = 0"),
            ("freeze-bn-after = 0", "freeze-bn-after = -1"),
            ("seed = 0", "seed = -1"),
            ("lr = 1e-9", "lr = 0.0"),
            ("lr = 1", "lr = 1e39"),
            ("lambda = 0", "lambda = -0.1"),
            ("momentum = 0.99", "momentum = 1.0"),
            ("validation-share = 0.5", "validation-share = 1"),
            ("dropout = \"0,0.9\"", "dropout = \"0,1\""),
            ("betas = [0, 0.9]", "betas = [0.9, 1]"),
            ("weight-decay = 0", "weight-decay = inf"),
            ("alpha-init = 3", "alpha-init = 0"),
            ("train-limit = 1", "train-limit = 0"),
            ("rho = 1", "rho = 1.1"),
            ("gamma = 1", "gamma = 0"),
            ("step-epochs = 1", "step-epochs = 0"),
            ("epsilon = 1e-8", "epsilon = 1e-60"),
            ("out = \"a\"", "out = \"\""),
            ("bits = 8", "bits = 6"),
        ] {
            assert!(PartialRunConfig::parse(good, "").is_ok(), "{good}: {}", message(good));
            assert!(
                matches!(
                    PartialRunConfig::parse(bad, ""),
                    Err(Error::Usage(_) | Error::Settings(_))
                ),
                "{bad}"
            );
        }
    }
}
