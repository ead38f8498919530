//! Defaults filled in: from what was given and the data set to a complete [`RunConfig`], and back
//! to TOML.

use std::path::{Path, PathBuf};

use super::{
    ActivationQuantizer, AugmentList, Betas, BitsList, DropoutRates, LayerConfig, MaskFill,
    MaskRank, NetworkConfig, Normalize, NormalizeSpec, OptimizerConfig, OptimizerKind, PactKind,
    PartialNetwork, PartialRunConfig, QuantizationConfig, RunConfig, SaliencyTarget,
    ScheduleConfig, ScheduleKind, SgtConfig, SgtVariant, Shape, WeightInit, WeightQuantizer,
    decimal, quantization::spread_bits, run::short_name,
};
use crate::{Error, Result, plain};

/// What the defaults and the network depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatasetInfo {
    /// Name (`mnist`, `fashion-mini`) or folder, as `--dataset` has it.
    pub name: String,
    /// Shape of one image.
    pub shape: Shape,
    /// Number of classes.
    pub classes: u32,
}

/// Batch size and learning rate of plain SGD in the paper (Table II); MNIST's for unknown data.
fn paper_settings(dataset: &str) -> (i64, f64) {
    match dataset {
        "fashion-mnist" | "fashion-mini" => (128, 0.1),
        _ => (256, 0.2),
    }
}

/// The rate where `--lr` is not given. Momentum 0.9 multiplies the effective step by 10, hence a
/// tenth of SGD's; the adaptive rules have torch.optim's defaults.
fn default_rate(kind: OptimizerKind, sgd: f64) -> f64 {
    match kind {
        OptimizerKind::Sgd => sgd,
        OptimizerKind::Momentum => sgd / 10.0,
        OptimizerKind::Adam | OptimizerKind::Adamw => 1e-3,
        OptimizerKind::Adadelta => 1.0,
    }
}

/// A value that `validate` has found within the range of its type.
fn narrow<T: TryFrom<i64>>(key: &str, value: i64) -> Result<T> {
    T::try_from(value).map_err(|_| Error::Usage(format!("--{key} {value}: out of range")))
}

impl PartialRunConfig {
    /// Fills in every default and checks the whole.
    ///
    /// # Errors
    /// [`Error::Usage`]: one line with the flag, its value and what is allowed.
    pub fn resolve(self, dataset: &DatasetInfo) -> Result<RunConfig> {
        self.check_merged()?;
        let network = self.network_for(dataset)?;
        let quantization = self.quantization_for(&network)?;
        let optimizer = self.optimizer_settings();
        let schedule_kind = self.schedule.unwrap_or(ScheduleKind::Constant);
        let stepped = schedule_kind == ScheduleKind::Step;
        let (paper_batch, paper_rate) = paper_settings(&dataset.name);
        let seed: u64 = narrow("seed", self.seed.unwrap_or(0))?;
        let sgt = SgtConfig::default();
        let variant = self.sgt_variant.unwrap_or(sgt.variant);
        let warmup_epochs = if variant == SgtVariant::Hlgm { 1 } else { 0 };
        let limit =
            |key, value: Option<i64>| value.map(|value| narrow::<u32>(key, value)).transpose();
        let out = self.out.unwrap_or_else(|| {
            Path::new("runs").join(format!(
                "{}-{}-{seed}",
                short_name(&dataset.name),
                quantization.label()
            ))
        });
        Ok(RunConfig {
            dataset: dataset.name.clone(),
            data_dir: self.data_dir,
            train_limit: limit("train-limit", self.train_limit)?,
            test_limit: limit("test-limit", self.test_limit)?,
            validation_share: self.validation_share.unwrap_or(0.0) as f32,
            normalize: self.normalize.map_or(Normalize::Standard, |spec| spec.0),
            augment: self.augment.map_or(Vec::new(), |list| list.0),
            batch_size: narrow("batch-size", self.batch_size.unwrap_or(paper_batch))?,
            precision: self.precision.unwrap_or_default(),
            epochs: narrow("epochs", self.epochs.unwrap_or(10))?,
            steps: self.steps.map(|steps| narrow("steps", steps)).transpose()?,
            learning_rate: self.lr.unwrap_or(default_rate(optimizer.kind, paper_rate)) as f32,
            shuffle: !self.no_shuffle.unwrap_or(false),
            seed,
            weight_init: self.weight_init.unwrap_or(WeightInit::KaimingUniform),
            init: self.init,
            out,
            log_every: narrow("log-every", self.log_every.unwrap_or(1))?,
            checkpoint_every: self.checkpoint_every.map(|cadence| cadence.to_string()),
            on_non_finite: self.on_non_finite.unwrap_or_default(),
            snapshot_every: narrow("snapshot-every", self.snapshot_every.unwrap_or(0))?,
            freeze_bn_after: self
                .freeze_bn_after
                .map(|steps| narrow("freeze-bn-after", steps))
                .transpose()?,
            sgt: SgtConfig {
                enabled: self.sgt.unwrap_or(sgt.enabled),
                mask_ratio: self.mask_ratio.map_or(sgt.mask_ratio, |value| value as f32),
                mask_fill: self.mask_fill.unwrap_or(MaskFill::Uniform),
                mask_rank: self.mask_rank.unwrap_or(MaskRank::Signed),
                lambda: self.lambda.map_or(sgt.lambda, |value| value as f32),
                target: self.saliency_target.unwrap_or(SaliencyTarget::LogSoftmax),
                stop_gradient: self.stop_gradient.unwrap_or(sgt.stop_gradient),
                variant,
                warmup_epochs: narrow(
                    "sgt-warmup-epochs",
                    self.sgt_warmup_epochs.unwrap_or(warmup_epochs),
                )?,
            },
            quantization,
            optimizer,
            schedule: ScheduleConfig {
                kind: schedule_kind,
                warmup_steps: narrow("warmup-steps", self.warmup_steps.unwrap_or(0))?,
                gamma: self.gamma.filter(|_| stepped).unwrap_or(0.1) as f32,
                step_epochs: narrow(
                    "step-epochs",
                    self.step_epochs.filter(|_| stepped).unwrap_or(1),
                )?,
            },
            network,
        })
    }

    fn network_for(&self, dataset: &DatasetInfo) -> Result<NetworkConfig> {
        let rates: Option<Vec<f32>> =
            self.dropout.as_ref().map(|list| list.0.iter().map(|&rate| rate as f32).collect());
        let network = match (&self.network, rates) {
            (None, rates) => {
                let rates = match rates.as_deref() {
                    None => [0.0; 2],
                    Some(&[both]) => [both; 2],
                    Some(&[pool, fc1]) => [pool, fc1],
                    Some(more) => {
                        let reason = "the network has two dropout layers, after the pool and after fc1: give P or P1,P2";
                        return Err(Error::Usage(format!(
                            "--dropout: {} values; {reason}",
                            more.len()
                        )));
                    }
                };
                let network = NetworkConfig::table_one(dataset.shape, dataset.classes, rates);
                if self.batch_norm == Some(true) { network.with_batch_norm() } else { network }
            }
            (Some(_), _) if self.batch_norm == Some(true) => {
                let reason = "is for the default network; give yours layers with type = \"batch-norm\" where you want them";
                return Err(Error::Usage(format!("--batch-norm {reason}")));
            }
            (Some(partial), rates) => {
                let input = partial.input.unwrap_or(dataset.shape);
                let classes = partial.classes.unwrap_or(dataset.classes);
                if (input, classes) != (dataset.shape, dataset.classes) {
                    let [c, h, w]: [u32; 3] = dataset.shape.into();
                    return Err(Error::Usage(format!(
                        "{}network: input {:?} and {classes} classes, but the data set {} has [{c}, {h}, {w}] and {}; \
                         leave network.input and network.classes out to follow the data set",
                        partial.origin.place(None),
                        <[u32; 3]>::from(input),
                        dataset.name,
                        dataset.classes
                    )));
                }
                let mut layers = partial.layers.clone();
                if let Some(rates) = rates {
                    set_dropout(&mut layers, &rates)?;
                }
                NetworkConfig { input, classes, layers }
            }
        };
        network.find_misfit().map_err(|misfit| {
            let place = self
                .network
                .as_ref()
                .map_or(String::new(), |partial| partial.origin.place(misfit.layer));
            Error::Usage(format!("{place}network: {}", plain(&misfit.to_string())))
        })?;
        if self.freeze_bn_after.is_some() && !network.has_batch_norm() {
            return Err(Error::Usage(
                "--freeze-bn-after: the network has no batch norm; add --batch-norm".into(),
            ));
        }
        Ok(network)
    }

    fn quantization_for(&self, network: &NetworkConfig) -> Result<QuantizationConfig> {
        let act_quant = self.act_quant.unwrap_or(ActivationQuantizer::Pact);
        let learns_alpha = act_quant == ActivationQuantizer::Pact;
        let config = QuantizationConfig {
            bits: spread_bits(
                self.bits.as_ref().map(|list| &list.0[..]),
                network,
                self.all_layers.unwrap_or(false),
            )?,
            weight_quant: self.weight_quant.unwrap_or(WeightQuantizer::Sawb),
            per_channel: self.per_channel.unwrap_or(false),
            pact: self.pact.unwrap_or(PactKind::Unsigned),
            act_quant,
            alpha_init: self.alpha_init.filter(|_| learns_alpha).map(|value| value as f32),
            alpha_decay: self.alpha_decay.filter(|_| learns_alpha).unwrap_or(0.0) as f32,
            alpha_lr_factor: self.alpha_lr_factor.unwrap_or(1.0) as f32,
            step_lr_factor: self.step_lr_factor.unwrap_or(1.0) as f32,
            weights_are_levels: false,
        };
        config.validate()?;
        Ok(config)
    }

    /// Constants of rules other than the chosen one have their defaults, whatever a file says.
    fn optimizer_settings(&self) -> OptimizerConfig {
        use OptimizerKind::{Adadelta, Adam, Adamw, Momentum};
        let default = OptimizerConfig::default();
        let kind = self.optimizer_kind();
        let for_rules = |rules: &[OptimizerKind]| rules.contains(&kind);
        OptimizerConfig {
            kind,
            momentum: self
                .momentum
                .filter(|_| kind == Momentum)
                .map_or(default.momentum, |value| value as f32),
            nesterov: kind == Momentum && self.nesterov.unwrap_or(false),
            weight_decay: self.weight_decay.unwrap_or(0.0) as f32,
            betas: self
                .betas
                .filter(|_| for_rules(&[Adam, Adamw]))
                .map_or(default.betas, |Betas(values)| values.map(|value| value as f32)),
            epsilon: self
                .epsilon
                .filter(|_| for_rules(&[Adam, Adamw, Adadelta]))
                .map(|value| value as f32),
            rho: self.rho.filter(|_| kind == Adadelta).map_or(default.rho, |value| value as f32),
        }
    }
}

/// Sets the rates of the dropout layers: one for all, or one for each.
fn set_dropout(layers: &mut [LayerConfig], rates: &[f32]) -> Result<()> {
    let mut places: Vec<&mut f32> = layers
        .iter_mut()
        .filter_map(|layer| match layer {
            LayerConfig::Dropout { rate } => Some(rate),
            _ => None,
        })
        .collect();
    if places.is_empty() || (rates.len() != 1 && rates.len() != places.len()) {
        return Err(Error::Usage(format!(
            "--dropout: {} value(s), but the [network] has {} dropout layer(s); give one value, or one for each, \
             or add layers with type = \"dropout\"",
            rates.len(),
            places.len()
        )));
    }
    for (place, rate) in places.iter_mut().zip(rates.iter().cycle()) {
        **place = *rate;
    }
    Ok(())
}

impl From<&RunConfig> for PartialRunConfig {
    /// Every setting spelled out, except what follows from the rest: the network of Table I and
    /// unused constants.
    fn from(run: &RunConfig) -> PartialRunConfig {
        use OptimizerKind::{Adadelta, Adam, Adamw, Momentum};
        let whole = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let kind = run.optimizer.kind;
        let (network, dropout, batch_norm) = network_as_given(&run.network);
        let stepped = run.schedule.kind == ScheduleKind::Step;
        let learns_alpha = run.quantization.act_quant == ActivationQuantizer::Pact;
        let adam = matches!(kind, Adam | Adamw);
        PartialRunConfig {
            dataset: Some(run.dataset.clone()),
            data_dir: run.data_dir.as_deref().map(text_path),
            train_limit: run.train_limit.map(i64::from),
            test_limit: run.test_limit.map(i64::from),
            validation_share: Some(decimal(run.validation_share)),
            normalize: Some(NormalizeSpec(run.normalize.clone())),
            augment: Some(AugmentList(run.augment.clone())),
            no_shuffle: Some(!run.shuffle),
            bits: Some(BitsList(run.quantization.bits.clone())).filter(|list| !list.0.is_empty()),
            // The bits are a layer's each.
            all_layers: None,
            weight_quant: Some(run.quantization.weight_quant),
            per_channel: Some(run.quantization.per_channel),
            act_quant: Some(run.quantization.act_quant),
            pact: Some(run.quantization.pact),
            alpha_init: run.quantization.alpha_init.map(decimal),
            alpha_decay: learns_alpha.then(|| decimal(run.quantization.alpha_decay)),
            alpha_lr_factor: Some(decimal(run.quantization.alpha_lr_factor)),
            step_lr_factor: Some(decimal(run.quantization.step_lr_factor)),
            dropout,
            batch_norm,
            freeze_bn_after: run.freeze_bn_after.map(whole),
            weight_init: Some(run.weight_init),
            init: run.init.as_deref().map(text_path),
            sgt: Some(run.sgt.enabled),
            mask_ratio: Some(decimal(run.sgt.mask_ratio)),
            mask_fill: Some(run.sgt.mask_fill),
            mask_rank: Some(run.sgt.mask_rank),
            lambda: Some(decimal(run.sgt.lambda)),
            saliency_target: Some(run.sgt.target),
            stop_gradient: Some(run.sgt.stop_gradient),
            sgt_variant: Some(run.sgt.variant),
            sgt_warmup_epochs: Some(i64::from(run.sgt.warmup_epochs)),
            optimizer: Some(kind),
            lr: Some(decimal(run.learning_rate)),
            momentum: (kind == Momentum).then(|| decimal(run.optimizer.momentum)),
            nesterov: (kind == Momentum).then_some(run.optimizer.nesterov),
            weight_decay: Some(decimal(run.optimizer.weight_decay)),
            betas: adam.then(|| Betas(run.optimizer.betas.map(decimal))),
            epsilon: run.optimizer.epsilon.filter(|_| adam || kind == Adadelta).map(decimal),
            rho: (kind == Adadelta).then(|| decimal(run.optimizer.rho)),
            schedule: Some(run.schedule.kind),
            warmup_steps: Some(i64::from(run.schedule.warmup_steps)),
            gamma: stepped.then(|| decimal(run.schedule.gamma)),
            step_epochs: stepped.then_some(i64::from(run.schedule.step_epochs)),
            batch_size: Some(i64::from(run.batch_size)),
            precision: Some(run.precision),
            epochs: Some(i64::from(run.epochs)),
            steps: run.steps.map(whole),
            seed: Some(whole(run.seed)),
            out: Some(text_path(&run.out)),
            log_every: Some(i64::from(run.log_every)),
            checkpoint_every: run.checkpoint_every.as_deref().and_then(|text| text.parse().ok()),
            on_non_finite: Some(run.on_non_finite),
            snapshot_every: Some(i64::from(run.snapshot_every)),
            network,
        }
    }
}

/// TOML holds text only; [`PartialRunConfig::validate`] lets no other path through.
fn text_path(path: &Path) -> PathBuf {
    PathBuf::from(path.to_string_lossy().into_owned())
}

/// The network of Table I as its dropout rates and whether it has batch norms, any other as its
/// layers.
fn network_as_given(
    network: &NetworkConfig,
) -> (Option<PartialNetwork>, Option<DropoutRates>, Option<bool>) {
    let rates: Vec<f32> = network
        .layers
        .iter()
        .filter_map(|layer| match layer {
            LayerConfig::Dropout { rate } => Some(*rate),
            _ => None,
        })
        .collect();
    let candidates: &[[f32; 2]] = match rates[..] {
        [] => &[[0.0; 2]],
        [one] => &[[one, 0.0], [0.0, one]],
        [pool, fc1] => &[[pool, fc1]],
        _ => &[],
    };
    let table_one = |rates: [f32; 2]| {
        let bare = NetworkConfig::table_one(network.input, network.classes, rates);
        if network.has_batch_norm() { bare.with_batch_norm() } else { bare }
    };
    match candidates.iter().find(|&&rates| table_one(rates) == *network) {
        Some(rates) => {
            (None, Some(DropoutRates(rates.map(decimal).to_vec())), Some(network.has_batch_norm()))
        }
        None => {
            let NetworkConfig { input, classes, layers } = network.clone();
            (
                Some(PartialNetwork {
                    input: Some(input),
                    classes: Some(classes),
                    layers,
                    ..PartialNetwork::default()
                }),
                None,
                None,
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::{Cadence, LayerBits};

    fn info(name: &str) -> DatasetInfo {
        DatasetInfo { name: name.into(), shape: Shape::new(1, 28, 28), classes: 10 }
    }

    fn resolve(text: &str, dataset: &str) -> Result<RunConfig> {
        PartialRunConfig::parse(text, "test")?.resolve(&info(dataset))
    }

    #[test]
    fn all_layers_are_written_as_their_bits() {
        let run = resolve("bits = 8\nall-layers = true", "mnist").unwrap();
        assert_eq!(BitsList(run.quantization.bits.clone()).to_string(), "8,8,8,w8a32");
        let again = toml::to_string(&PartialRunConfig::from(&run)).unwrap();
        assert_eq!(resolve(&again, "mnist").unwrap().quantization, run.quantization);
        let error = |text| resolve(text, "mnist").unwrap_err().to_string();
        assert!(error("bits = \"4,2\"\nall-layers = true").contains("--bits 4,2 is a list"));
        assert!(error("all-layers = true").contains("without --bits"));
    }

    #[test]
    fn defaults_are_those_promised() {
        for (name, batch, rate) in [
            ("mnist", 256, 0.2),
            ("mnist-mini", 256, 0.2),
            ("fashion-mnist", 128, 0.1),
            ("fashion-mini", 128, 0.1),
            ("/d/x", 256, 0.2),
        ] {
            let run = resolve("", name).unwrap();
            assert_eq!((run.batch_size, run.learning_rate), (batch, rate), "{name}");
        }
        let run = resolve("", "mnist").unwrap();
        assert_eq!(
            (run.epochs, run.steps, run.seed, run.log_every, run.shuffle),
            (10, None, 0, 1, true)
        );
        assert_eq!(run.quantization.bits, [LayerBits::FLOAT; 4]);
        assert!(run.sgt.enabled && run.augment.is_empty() && run.normalize == Normalize::Standard);
        assert_eq!(run.network, NetworkConfig::table_one(Shape::new(1, 28, 28), 10, [0.0; 2]));
        assert_eq!(run.out, Path::new("runs/mnist-32-0"));
        assert_eq!(
            resolve("bits = \"4,2\"\nseed = 3", "/data/mine").unwrap().out,
            Path::new("runs/mine-4-2-3")
        );
        let rate = |text| resolve(text, "mnist").unwrap().learning_rate;
        assert_eq!(rate("optimizer = \"adam\""), 1e-3);
        assert_eq!(rate("optimizer = \"adadelta\""), 1.0);
        assert_eq!(rate("optimizer = \"momentum\""), 0.02);
        assert_eq!(rate("nesterov = true"), 0.02);
        assert_eq!(rate("optimizer = \"adam\"\nlr = 0.5"), 0.5);
    }

    #[test]
    fn dropout_goes_where_it_belongs() {
        let shape = Shape::new(1, 28, 28);
        let network = |text: &str| resolve(text, "mnist").map(|run| run.network);
        assert_eq!(
            network("dropout = 0.25").unwrap(),
            NetworkConfig::table_one(shape, 10, [0.25, 0.25])
        );
        assert_eq!(
            network("dropout = \"0.25,0.5\"").unwrap(),
            NetworkConfig::table_one(shape, 10, [0.25, 0.5])
        );
        assert!(network("dropout = \"0.1,0.2,0.3\"").is_err());
        let own = "[network]\nlayers = [{type=\"dropout\",rate=0.1},{type=\"linear\",name=\"fc\",out-features=10}]";
        assert!(matches!(
            network(&format!("dropout = 0.3\n{own}")).unwrap().layers[0],
            LayerConfig::Dropout { rate: 0.3 }
        ));
        assert!(network(&format!("dropout = \"0.3,0.4\"\n{own}")).is_err());
        let message =
            network(&own.replace("[network]", "[network]\nclasses = 7")).unwrap_err().to_string();
        assert!(message.contains("7 classes"), "{message}");
    }

    #[test]
    fn cadence_is_readable() {
        let cadence = |text: &str| resolve(text, "mnist").unwrap().checkpoint_cadence().unwrap();
        assert_eq!(cadence(""), None);
        assert_eq!(cadence("checkpoint-every = 500"), Some(Cadence::Steps(500)));
        assert_eq!(
            cadence("checkpoint-every = \"5m\""),
            Some(Cadence::Time(std::time::Duration::from_secs(300)))
        );
    }

    fn share() -> impl Strategy<Value = f64> {
        prop_oneof![
            Just(0.0),
            0.0..0.99f64,
            (0u32..100).prop_map(|hundredths| f64::from(hundredths) / 100.0)
        ]
    }

    fn choice<T: clap::ValueEnum + Clone + std::fmt::Debug + 'static>()
    -> impl Strategy<Value = Option<T>> {
        proptest::option::of(proptest::sample::select(T::value_variants().to_vec()))
    }

    prop_compose! {
        fn data()(
            data_dir in proptest::option::of("[a-z ÄÖ\"\\\\/.]{1,12}"),
            limit in proptest::option::of(1i64..100_000),
            held_out in proptest::option::of(share()),
            normalize in proptest::option::of(prop_oneof![
                Just(Normalize::Standard),
                Just(Normalize::Unit),
                (-1.0f32..1.0, 1e-6f32..2.0).prop_map(|(mean, deviation)| Normalize::Fixed { mean, deviation }),
            ]),
            augment in proptest::option::of(proptest::sample::select(vec!["none", "shift", "hflip", "hflip,shift"])),
            no_shuffle in any::<Option<bool>>(),
            dropout in proptest::option::of(proptest::collection::vec(share(), 1..3)),
            weight_init in choice(),
            batch_norm in any::<Option<bool>>(),
            freeze in proptest::option::of(0i64..1000),
            own_network in any::<bool>(),
            rate in 0.0f32..0.99,
        ) -> PartialRunConfig {
            let network = own_network.then(|| PartialNetwork {
                layers: vec![
                    LayerConfig::Conv { name: "c".into(), out_channels: 3, kernel: 5, stride: 2, padding: 2 },
                    LayerConfig::BatchNorm { name: "n".into() },
                    LayerConfig::Activation { name: "a".into() },
                    LayerConfig::Dropout { rate },
                    LayerConfig::Linear { name: "f".into(), out_features: 10 },
                ],
                ..PartialNetwork::default()
            });
            PartialRunConfig {
                data_dir: data_dir.map(PathBuf::from),
                train_limit: limit,
                test_limit: limit.map(|limit| limit / 2 + 1),
                validation_share: held_out,
                normalize: normalize.map(NormalizeSpec),
                augment: augment.map(|text| text.parse().unwrap()),
                no_shuffle,
                dropout: dropout.map(DropoutRates).filter(|_| !own_network),
                batch_norm: batch_norm.filter(|_| !own_network),
                freeze_bn_after: freeze.filter(|_| own_network || batch_norm == Some(true)),
                weight_init,
                network,
                ..PartialRunConfig::default()
            }
        }
    }

    prop_compose! {
        fn training()(
            optimizer in choice::<OptimizerKind>(),
            lr in proptest::option::of(1e-7f64..10.0),
            momentum in proptest::option::of(0.01..0.999f64),
            nesterov in any::<Option<bool>>(),
            betas in proptest::option::of((share(), share())),
            epsilon in proptest::option::of(1e-12..1e-2f64),
            schedule in choice::<ScheduleKind>(),
            warmup_steps in proptest::option::of(0i64..10_000),
            gamma in proptest::option::of(0.01..1.0f64),
            batch_size in proptest::option::of(1i64..=65536),
            steps in proptest::option::of(1i64..1_000_000_000_000),
            seed in proptest::option::of(0i64..=i64::MAX),
            checkpoint_every in proptest::option::of(proptest::sample::select(vec!["7", "90s", "5m", "2h"])),
        ) -> PartialRunConfig {
            use OptimizerKind::{Adadelta, Adam, Adamw, Momentum};
            let takes_momentum = matches!(optimizer, None | Some(Momentum));
            PartialRunConfig {
                optimizer,
                lr,
                momentum: momentum.filter(|_| takes_momentum),
                nesterov: nesterov.filter(|_| takes_momentum),
                betas: betas.map(|(a, b)| Betas([a, b])).filter(|_| matches!(optimizer, Some(Adam | Adamw))),
                epsilon: epsilon.filter(|_| matches!(optimizer, Some(Adam | Adamw | Adadelta))),
                schedule,
                warmup_steps,
                gamma: gamma.filter(|_| schedule == Some(ScheduleKind::Step)),
                batch_size,
                steps,
                seed,
                checkpoint_every: checkpoint_every.map(|text| text.parse().unwrap()),
                ..PartialRunConfig::default()
            }
        }
    }

    prop_compose! {
        fn saliency_and_bits()(
            sgt in any::<Option<bool>>(),
            mask_ratio in proptest::option::of(0.0..=1.0f64),
            mask_fill in choice(),
            mask_rank in choice(),
            lambda in proptest::option::of(0.0..100.0f64),
            saliency_target in choice(),
            bits in proptest::option::of(proptest::sample::select(vec!["32", "4", "4,2", "w8a1,32", "w32a3"])),
            weight_quant in choice().prop_filter("1 bit only", |quantizer| *quantizer != Some(WeightQuantizer::Binary)),
            per_channel in any::<Option<bool>>(),
            act_quant in choice(),
            alpha_init in proptest::option::of(0.1..20.0f64),
            step_lr_factor in proptest::option::of(0.0..20.0f64),
        ) -> PartialRunConfig {
            PartialRunConfig {
                sgt,
                mask_ratio,
                mask_fill,
                mask_rank,
                lambda,
                saliency_target,
                bits: bits.map(|text| text.parse().unwrap()),
                weight_quant,
                per_channel,
                act_quant,
                alpha_init: alpha_init.filter(|_| act_quant.is_none_or(|own| own == ActivationQuantizer::Pact)),
                step_lr_factor,
                ..PartialRunConfig::default()
            }
        }
    }

    proptest! {
        #[test]
        fn toml_gives_the_same_run_again(
            a in data(),
            b in training(),
            c in saliency_and_bits(),
            dataset in proptest::sample::select(vec!["mnist", "fashion-mini", "/data/my own"]),
        ) {
            let run = a.over(b).over(c).resolve(&info(dataset)).unwrap();
            let text = run.to_toml();
            let again = PartialRunConfig::parse(&text, "config.toml").unwrap();
            prop_assert_eq!(again.dataset_name(), dataset);
            prop_assert_eq!(again.resolve(&info(dataset)).unwrap(), run, "{}", text);
        }

        #[test]
        fn any_text_is_an_answer_not_a_panic(text in ".{0,200}") {
            let _ = PartialRunConfig::parse(&text, "noise");
        }
    }
}
