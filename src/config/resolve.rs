//! Defaults filled in: from what was given and the data set to a complete [`RunConfig`].

use std::path::Path;

use super::{
    ActivationQuantizer, Betas, BitsRequest, ClassWeighting, LayerConfig, LayerKind, MaskFill,
    MaskRank, NetworkConfig, Normalize, OptimizerConfig, OptimizerKind, PactKind, PartialRunConfig,
    Precision, QuantizationConfig, RunConfig, SaliencyTarget, ScheduleConfig, ScheduleKind,
    SgtConfig, SgtVariant, Shape, TeachingConfig, WeightInit, WeightQuantizer, run::short_name,
};
use crate::{Error, Phrase, Result, error::phrase, plain};

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
    T::try_from(value).map_err(|_| Error::Settings(phrase!("<{} {}>: out of range", key, value)))
}

/// Fills in every default of `settings` and checks the whole.
///
/// # Errors
/// [`Error::Settings`]: one line with the setting, its value and what is allowed.
pub fn resolve(settings: PartialRunConfig, dataset: &DatasetInfo) -> Result<RunConfig> {
    settings.check_merged()?;
    let reading = settings.reading();
    let network = network_for(&settings, dataset)?;
    let quantization = quantization_for(&settings, &network)?;
    let optimizer = optimizer_settings(&settings);
    let schedule_kind = settings.schedule.unwrap_or(ScheduleKind::Constant);
    let stepped = schedule_kind == ScheduleKind::Step;
    let (paper_batch, paper_rate) = paper_settings(&dataset.name);
    let seed: u64 = narrow("seed", settings.seed.unwrap_or(0))?;
    let teaching = teaching_for(&settings, &network)?;
    let sgt = SgtConfig::default();
    let variant = settings.sgt_variant.unwrap_or(sgt.variant);
    let warmup_epochs = if variant == SgtVariant::Hlgm { 1 } else { 0 };
    let limit = |key, value: Option<i64>| value.map(|value| narrow::<u32>(key, value)).transpose();
    let normalize = settings.normalize.map_or(Normalize::Standard, |spec| spec.0);
    if let Some(own) = normalize.constants()
        && let Err(reason) = own.check(dataset.shape.channels)
    {
        return Err(Error::Settings(phrase!("<normalize {}>: {}", own, reason)));
    }
    if settings.early_stopping.is_some() && settings.validation_share.unwrap_or(0.0) <= 0.0 {
        return Err(Error::Settings(phrase!(
            "<early-stopping>: needs images to judge by; hold some out with <validation-share>"
        )));
    }
    if settings.balance == Some(true) && settings.class_weights == Some(ClassWeighting::Balanced) {
        return Err(Error::Settings(phrase!(
            "<class-weights balanced>: <balance> draws every class alike already; leave out one of \
             both"
        )));
    }
    let out = settings.out.unwrap_or_else(|| {
        Path::new("runs").join(format!(
            "{}-{}-{seed}",
            short_name(&dataset.name),
            quantization.label()
        ))
    });

    Ok(RunConfig {
        dataset: dataset.name.clone(),
        reading,
        data_dir: settings.data_dir,
        train_limit: limit("train-limit", settings.train_limit)?,
        test_limit: limit("test-limit", settings.test_limit)?,
        validation_share: settings.validation_share.unwrap_or(0.0) as f32,
        normalize,
        augment: settings.augment.map_or(Vec::new(), |list| list.0),
        balance: settings.balance.unwrap_or(false),
        class_weights: settings.class_weights.unwrap_or_default(),
        batch_size: narrow("batch-size", settings.batch_size.unwrap_or(paper_batch))?,
        precision: settings.precision.unwrap_or_default(),
        epochs: narrow("epochs", settings.epochs.unwrap_or(10))?,
        steps: settings.steps.map(|steps| narrow("steps", steps)).transpose()?,
        learning_rate: settings.lr.unwrap_or(default_rate(optimizer.kind, paper_rate)) as f32,
        shuffle: !settings.no_shuffle.unwrap_or(false),
        seed,
        weight_init: settings.weight_init.unwrap_or(WeightInit::KaimingUniform),
        init: settings.init,
        out,
        log_every: narrow("log-every", settings.log_every.unwrap_or(1))?,
        log: settings.log.map_or(Vec::new(), |list| list.0),
        checkpoint_every: settings.checkpoint_every.map(|cadence| cadence.to_string()),
        on_non_finite: settings.on_non_finite.unwrap_or_default(),
        early_stopping: settings
            .early_stopping
            .map(|epochs| narrow("early-stopping", epochs))
            .transpose()?,
        snapshot_every: narrow("snapshot-every", settings.snapshot_every.unwrap_or(0))?,
        freeze_bn_after: settings
            .freeze_bn_after
            .map(|steps| narrow("freeze-bn-after", steps))
            .transpose()?,
        sgt: SgtConfig {
            enabled: settings.sgt.unwrap_or(sgt.enabled),
            mask_ratio: settings.mask_ratio.map_or(sgt.mask_ratio, |value| value as f32),
            mask_fill: settings.mask_fill.unwrap_or(MaskFill::Uniform),
            mask_rank: settings.mask_rank.unwrap_or(MaskRank::Signed),
            lambda: settings.lambda.map_or(sgt.lambda, |value| value as f32),
            target: settings.saliency_target.unwrap_or(SaliencyTarget::LogSoftmax),
            stop_gradient: settings.stop_gradient.unwrap_or(sgt.stop_gradient),
            variant,
            warmup_epochs: narrow(
                "sgt-warmup-epochs",
                settings.sgt_warmup_epochs.unwrap_or(warmup_epochs),
            )?,
        },
        teaching,
        quantization,
        optimizer,
        schedule: ScheduleConfig {
            kind: schedule_kind,
            warmup_steps: narrow("warmup-steps", settings.warmup_steps.unwrap_or(0))?,
            gamma: settings.gamma.filter(|_| stepped).unwrap_or(0.1) as f32,
            step_epochs: narrow(
                "step-epochs",
                settings.step_epochs.filter(|_| stepped).unwrap_or(1),
            )?,
        },
        network,
    })
}

fn network_for(settings: &PartialRunConfig, dataset: &DatasetInfo) -> Result<NetworkConfig> {
    let rates: Option<Vec<f32>> =
        settings.dropout.as_ref().map(|list| list.0.iter().map(|&rate| rate as f32).collect());
    let given = settings.network.as_ref().filter(|network| !network.is_default());
    let network = match (given, rates) {
        (None, rates) => {
            let rates = match rates.as_deref() {
                None => [0.0; 2],
                Some(&[both]) => [both; 2],
                Some(&[pool, fc1]) => [pool, fc1],
                Some(more) => {
                    let reason = "the network has two dropout layers, after the pool and after \
                                  fc1: give P or P1,P2";
                    return Err(Error::Settings(phrase!(
                        "<dropout>: {} values; {}",
                        more.len(),
                        reason
                    )));
                }
            };
            let network = NetworkConfig::table_one(dataset.shape, dataset.classes, rates);
            if settings.batch_norm == Some(true) { network.with_batch_norm() } else { network }
        }
        (Some(_), _) if settings.batch_norm == Some(true) => {
            let reason = "is for the default network; give yours layers with type = \"batch-norm\" \
                          where you want them";
            return Err(Error::Settings(phrase!("<batch-norm> {}", reason)));
        }
        (Some(partial), rates) => {
            let input = partial.input.unwrap_or(dataset.shape);
            let classes = partial.classes.unwrap_or(dataset.classes);
            if (input, classes) != (dataset.shape, dataset.classes) {
                let [c, h, w]: [u32; 3] = dataset.shape.into();
                return Err(Error::Usage(format!(
                    "{}network: input {:?} and {classes} classes, but the data set {} has [{c}, \
                     {h}, {w}] and {}; leave network.input and network.classes out to follow the \
                     data set",
                    partial.origin.place(None),
                    <[u32; 3]>::from(input),
                    dataset.name,
                    dataset.classes
                )));
            }
            let layers = match partial.preset {
                Some(preset) => preset.network(input, classes).layers,
                None => partial.layers.clone(),
            };
            let mut network = NetworkConfig { input, classes, layers };
            if let Some(rates) = rates {
                set_dropout(&mut network.layers, &rates)?;
            }
            network
        }
    };
    network.find_misfit().map_err(|misfit| {
        let said = plain(&misfit.to_string());
        if let Some(preset) = given.and_then(|partial| partial.preset) {
            let (name, input) = (preset.name, network.input);
            return Error::Settings(phrase!("<network {}>: images of {}: {}", name, input, said));
        }
        let place = given.map_or(String::new(), |partial| partial.origin.place(misfit.layer));
        Error::Usage(format!("{place}network: {said}"))
    })?;
    if settings.freeze_bn_after.is_some() && !network.has_batch_norm() {
        return Err(Error::Settings(phrase!(
            "<freeze-bn-after>: the network has no batch norm; add <batch-norm>"
        )));
    }
    Ok(network)
}

fn quantization_for(
    settings: &PartialRunConfig,
    network: &NetworkConfig,
) -> Result<QuantizationConfig> {
    let act_quant = settings.act_quant.unwrap_or(ActivationQuantizer::Pact);
    let learns_alpha = act_quant == ActivationQuantizer::Pact;
    let bits = BitsRequest {
        list: settings.bits.as_ref().map(|list| &list.0[..]),
        table: settings.quantization.as_ref().map(|own| &own.bits),
        all_layers: settings.all_layers.unwrap_or(false),
        first_last: settings.first_last.map(|bits| bits.0),
    };
    let config = QuantizationConfig {
        bits: bits.spread(network)?,
        weight_quant: settings.weight_quant.unwrap_or(WeightQuantizer::Sawb),
        per_channel: settings.per_channel.unwrap_or(false),
        binary_one_bit: settings.binary_one_bit.unwrap_or(false),
        pact: settings.pact.unwrap_or(PactKind::Unsigned),
        act_quant,
        alpha_init: settings.alpha_init.filter(|_| learns_alpha).map(|value| value as f32),
        alpha_decay: settings.alpha_decay.filter(|_| learns_alpha).unwrap_or(0.0) as f32,
        alpha_lr_factor: settings.alpha_lr_factor.unwrap_or(1.0) as f32,
        step_lr_factor: settings.step_lr_factor.unwrap_or(1.0) as f32,
        weights_are_levels: false,
    };
    config.validate()?;
    Ok(config)
}

/// The terms of a teacher; none where their weights are 0.
fn teaching_for(
    settings: &PartialRunConfig,
    network: &NetworkConfig,
) -> Result<Option<TeachingConfig>> {
    let refused = |said: Phrase| Err(Error::Settings(said));
    let weight = |value: Option<f64>| value.unwrap_or(0.0) as f32;
    let (distill, align) = (weight(settings.distill), weight(settings.align));
    let Some(teacher) = &settings.teacher else {
        for (key, given) in [
            ("distill", distill > 0.0),
            ("align", align > 0.0),
            ("align-target", settings.align_target.is_some()),
            ("teacher-cache", settings.teacher_cache == Some(true)),
        ] {
            if given {
                return refused(phrase!(
                    "<{}>: there is no teacher; add <teacher MODEL>, a trained model",
                    key
                ));
            }
        }
        return Ok(None);
    };
    if settings.distill.is_none() && settings.align.is_none() {
        return refused(phrase!(
            "<teacher>: has no effect on its own; add <distill W> for its predictions, <align W> \
             for its explanations, or both"
        ));
    }
    if align == 0.0 && settings.align_target.is_some() {
        return refused(phrase!("<align-target>: has an effect with <align W> only"));
    }
    let cache = settings.teacher_cache.unwrap_or(false);
    if cache && settings.augment.as_ref().is_some_and(|list| !list.0.is_empty()) {
        return refused(phrase!(
            "<teacher-cache>: images change with <augment>, and what the teacher says of them; \
             leave out one of both"
        ));
    }
    if align > 0.0 {
        if settings.precision == Some(Precision::F16) {
            return refused(phrase!(
                "<align>: maps are differentiated in f32; leave out <precision f16>"
            ));
        }
        if let Some((layer, what)) = network.bent_layer() {
            return refused(phrase!(
                "<align>: layer {} is {}, which is not linear between kinks, so that the gradient \
                 of maps has a second derivative; use relu, relu6 or leaky-relu, or <distill> \
                 alone",
                layer,
                what
            ));
        }
    }
    Ok((distill > 0.0 || align > 0.0).then(|| TeachingConfig {
        teacher: teacher.clone(),
        distill,
        align,
        align_target: settings.align_target.unwrap_or_default(),
        cache,
    }))
}

/// Constants of rules other than the chosen one have their defaults, whatever a file says.
fn optimizer_settings(settings: &PartialRunConfig) -> OptimizerConfig {
    use OptimizerKind::{Adadelta, Adam, Adamw, Momentum};
    let default = OptimizerConfig::default();
    let kind = settings.optimizer_kind();
    let for_rules = |rules: &[OptimizerKind]| rules.contains(&kind);
    OptimizerConfig {
        kind,
        momentum: settings
            .momentum
            .filter(|_| kind == Momentum)
            .map_or(default.momentum, |value| value as f32),
        nesterov: kind == Momentum && settings.nesterov.unwrap_or(false),
        weight_decay: settings.weight_decay.unwrap_or(0.0) as f32,
        betas: settings
            .betas
            .filter(|_| for_rules(&[Adam, Adamw]))
            .map_or(default.betas, |Betas(values)| values.map(|value| value as f32)),
        epsilon: settings
            .epsilon
            .filter(|_| for_rules(&[Adam, Adamw, Adadelta]))
            .map(|value| value as f32),
        rho: settings.rho.filter(|_| kind == Adadelta).map_or(default.rho, |value| value as f32),
    }
}

/// Sets the rates of the dropout layers: one for all, or one for each.
fn set_dropout(layers: &mut [LayerConfig], rates: &[f32]) -> Result<()> {
    let mut places: Vec<&mut f32> = layers
        .iter_mut()
        .filter_map(|layer| match &mut layer.kind {
            LayerKind::Dropout { rate } => Some(rate),
            _ => None,
        })
        .collect();
    if places.is_empty() || (rates.len() != 1 && rates.len() != places.len()) {
        return Err(Error::Settings(phrase!(
            "<dropout>: {} value(s), but the [network] has {} dropout layer(s); give one value, or \
             one for each, or add layers with type = \"dropout\"",
            rates.len(),
            places.len()
        )));
    }
    for (place, rate) in places.iter_mut().zip(rates.iter().cycle()) {
        **place = *rate;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use proptest::prelude::*;

    use super::*;
    use crate::config::{
        BitsList, Cadence, DropoutRates, LayerBits, NormalizeSpec, PartialNetwork,
        PixelNormalization,
    };

    fn info(name: &str) -> DatasetInfo {
        DatasetInfo { name: name.into(), shape: Shape::new(1, 28, 28), classes: 10 }
    }

    fn resolve(text: &str, dataset: &str) -> Result<RunConfig> {
        super::resolve(PartialRunConfig::parse(text, "test")?, &info(dataset))
    }

    #[test]
    fn a_teacher_needs_a_weight_and_a_weight_a_teacher() {
        let error = |text: &str| resolve(text, "mnist").unwrap_err().to_string();
        assert!(
            error("teacher = \"a\"").contains("teacher: has no effect on its own; add distill")
        );
        for key in ["distill = 1", "align = 0.5", "teacher-cache = true"] {
            let said = error(key);
            assert!(said.contains("there is no teacher; add teacher = MODEL"), "{said}");
        }
        let with = |rest: &str| format!("teacher = \"a\"\nalign = 5\n{rest}");
        for (rest, expected) in [
            ("precision = \"f16\"", "maps are differentiated in f32"),
            ("augment = \"shift\"\nteacher-cache = true", "images change with augment"),
            ("align = -1", "must be 0 or more"),
            (
                "network.layers = [{ type = \"conv\", out_channels = 2, kernel = 3 },\n\
                 { type = \"activation\", kind = \"silu\" },\n\
                 { type = \"linear\", out_features = 10 }]",
                "layer act1 is silu, which is not linear between kinks",
            ),
        ] {
            let text = with(rest).replace("align = 5\nalign = -1", "align = -1");
            assert!(error(&text).contains(expected), "{}", error(&text));
        }
        let only = "teacher = \"a\"\ndistill = 1\nalign-target = \"predicted\"";
        assert!(error(only).contains("align-target: has an effect with align"));
        // A weight that is given as 0 is none.
        assert_eq!(resolve("teacher = \"a\"\nalign = 0", "mnist").unwrap().teaching, None);
        let text = with("distill = 0.25\nalign-target = \"predicted\"\nteacher-cache = true");
        let run = resolve(&text, "mnist").unwrap();
        let teaching = run.teaching.as_ref().unwrap();
        assert!(teaching.aligns() && teaching.distills() && teaching.cache);
        let again = PartialRunConfig::parse(&run.to_toml(), "test").unwrap();
        assert_eq!(super::resolve(again, &info("mnist")).unwrap(), run);
        let normalize = PixelNormalization::uniform(0.5, 0.5);
        let said = run.model_metadata(normalize, &[]).to_string();
        assert!(
            said.contains("\"teaching\":{\"distill\":0.25,\"align\":5")
                && !said.contains("teacher\":"),
            "{said}"
        );
    }

    #[test]
    fn all_layers_are_written_as_their_bits() {
        let run = resolve("bits = 8\nall-layers = true", "mnist").unwrap();
        assert_eq!(BitsList(run.quantization.bits.clone()).to_string(), "8,8,8,w8a32");
        let again = toml::to_string(&PartialRunConfig::from(&run)).unwrap();
        assert_eq!(resolve(&again, "mnist").unwrap().quantization, run.quantization);
        let error = |text| resolve(text, "mnist").unwrap_err().to_string();
        assert!(error("bits = \"4,2\"\nall-layers = true").contains("bits = 4,2 is a list"));
        assert!(error("all-layers = true").contains("without bits = N"));
    }

    #[test]
    fn bits_by_name_are_written_as_a_list() {
        let text = "first-last = \"w8a6\"\n[quantization.bits]\nfc1 = \"w3a32\"\ndefault = 4";
        let run = resolve(text, "mnist").unwrap();
        assert_eq!(BitsList(run.quantization.bits.clone()).to_string(), "w8a6,4,w3a32,w8a32");
        let written = run.to_toml();
        assert!(written.contains("bits = \"w8a6,4,w3a32,w8a32\"\n"), "{written}");
        assert!(!written.contains("first-last") && !written.contains("[quantization"), "{written}");
        let again = PartialRunConfig::parse(&written, "test").unwrap();
        assert_eq!(super::resolve(again, &info("mnist")).unwrap(), run);
        let error = resolve("\n[quantization.bits]\nfc1 = 4\nfc9 = 4", "mnist").unwrap_err();
        assert!(error.to_string().starts_with("test:4: quantization.bits: `fc9` matches no"));
    }

    #[test]
    fn networks_by_name_are_written_as_their_layers() {
        let run = resolve("dropout = \"0.2,0.4\"\nnetwork = \"ds-cnn\"", "mnist").unwrap();
        let mut expected = crate::config::Preset::find("ds-cnn").unwrap();
        assert_eq!(expected.classes, 12);
        let mut network = expected.network(Shape::new(1, 28, 28), 10);
        set_dropout(&mut network.layers, &[0.2, 0.4]).unwrap();
        assert_eq!(run.network, network);
        let again = PartialRunConfig::parse(&run.to_toml(), "test").unwrap();
        assert_eq!(super::resolve(again, &info("mnist")).unwrap().network, network);
        expected = crate::config::Preset::find("table-1").unwrap();
        let run = resolve("network = \"table-1\"\nbatch-norm = true", "mnist").unwrap();
        let bare = expected.network(Shape::new(1, 28, 28), 10);
        assert_eq!(run.network, bare.with_batch_norm());
        let error = resolve("network = \"resnet-9\"", "mnist").unwrap_err().to_string();
        assert!(error.starts_with("test:1: network: `resnet-9`: no such network; did"), "{error}");
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
        let own = "[network]\nlayers = \
                   [{type=\"dropout\",rate=0.1},{type=\"linear\",name=\"fc\",out-features=10}]";
        assert_eq!(
            network(&format!("dropout = 0.3\n{own}")).unwrap().layers[0],
            LayerConfig::dropout(0.3)
        );
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
                (-1.0f32..1.0, 1e-6f32..2.0)
                    .prop_map(|(mean, deviation)| PixelNormalization::uniform(mean, deviation))
                    .prop_map(Normalize::Fixed),
            ]),
            augment in proptest::option::of(proptest::sample::select(vec![
                "none", "shift", "hflip", "hflip,shift",
            ])),
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
                    LayerConfig::conv("c", 3, [5, 2, 2]),
                    LayerConfig::batch_norm("n"),
                    LayerConfig::activation("a"),
                    LayerConfig::dropout(rate),
                    LayerConfig::linear("f", 10),
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
            checkpoint_every in proptest::option::of(proptest::sample::select(vec![
                "7", "90s", "5m", "2h",
            ])),
        ) -> PartialRunConfig {
            use OptimizerKind::{Adadelta, Adam, Adamw, Momentum};
            let takes_momentum = matches!(optimizer, None | Some(Momentum));
            PartialRunConfig {
                optimizer,
                lr,
                momentum: momentum.filter(|_| takes_momentum),
                nesterov: nesterov.filter(|_| takes_momentum),
                betas: betas
                    .map(|(a, b)| Betas([a, b]))
                    .filter(|_| matches!(optimizer, Some(Adam | Adamw))),
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
            bits in proptest::option::of(proptest::sample::select(vec![
                "32", "4", "4,2", "w8a1,32", "w32a3",
            ])),
            weight_quant in choice()
                .prop_filter("1 bit only", |quantizer| *quantizer != Some(WeightQuantizer::Binary)),
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
                alpha_init: alpha_init
                    .filter(|_| act_quant.is_none_or(|own| own == ActivationQuantizer::Pact)),
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
            let run = super::resolve(a.over(b).over(c), &info(dataset)).unwrap();
            let text = run.to_toml();
            let again = PartialRunConfig::parse(&text, "config.toml").unwrap();
            prop_assert_eq!(again.dataset_name(), dataset);
            prop_assert_eq!(super::resolve(again, &info(dataset)).unwrap(), run, "{}", text);
        }

        #[test]
        fn any_text_is_an_answer_not_a_panic(text in ".{0,200}") {
            let _ = PartialRunConfig::parse(&text, "noise");
        }
    }
}
