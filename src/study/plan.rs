//! The models of a study, in an order in which they can be made.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

pub use super::variant::{Stage, Variant};
use super::{
    names::slug,
    preset::{JudgementPlan, Preset, method_names},
    work::Work,
};
use crate::{
    Error, Phrase, Remedy, Result,
    config::{BitsList, LayerBits, PartialRunConfig, QuantizationConfig, RunConfig, resolve},
    data::{Dataset, digest},
    digest::sha256_hex,
    error::phrase,
};

/// File with the plan in a study's folder.
pub const PLAN_FILE: &str = "plan.json";
/// Version of the contents of a result and of the way it is computed; part of the name of a run's
/// folder.
const RESULT_FORMAT: u32 = 3;
/// Bits of the models of Table III, after float.
const WIDTHS: [&str; 3] = ["4,4", "4,2", "2,2"];

/// A planned model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PlannedRun {
    /// The model's variant.
    pub variant: Variant,
    /// Seed of the training.
    pub seed: u64,
    /// Folder under `runs/`; its name ends with a hash of everything that the model's numbers
    /// depend on.
    pub folder: String,
    /// Index in the plan of the float model that the training or quantization starts from.
    pub start: Option<usize>,
    /// Index in the plan of the model of the same data set, training and seed that this model is
    /// compared with. The two differ only in their bits, so that a difference is the effect of
    /// quantization. The control is the float model that is trained for the same number of further
    /// steps, if the quantized models start from the float model; otherwise it is the float model.
    /// The control of a further trained float model is its start.
    pub control: Option<usize>,
    /// Chain of models that depend on each other; one machine makes all of them.
    pub chain: usize,
    /// The work of making it.
    pub work: Work,
    /// Settings of its training, as TOML for `saliq train --config`.
    pub settings: String,
}

/// The models of a study. A float model comes before the models that need it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Plan {
    /// The preset of the plan.
    pub preset: Preset,
    /// The planned judgements.
    pub judgement: JudgementPlan,
    /// Names of the classes, by data set.
    pub class_names: BTreeMap<String, Vec<String>>,
    /// The planned models.
    pub runs: Vec<PlannedRun>,
}

/// Settings that a user can change in a preset.
#[derive(Clone, Debug, Default)]
pub struct PlanOptions {
    /// Number of seeds per model.
    pub seeds: Option<u32>,
    /// Settings of `saliq train` that override those of the preset.
    pub overrides: PartialRunConfig,
}

impl Plan {
    /// The plan of `preset` with `options` for `datasets`; `methods` are the available attribution
    /// methods.
    ///
    /// # Errors
    /// [`Error::Settings`] for settings that do not fit together.
    pub fn new(
        preset: Preset,
        options: &PlanOptions,
        methods: &[&str],
        datasets: &[Dataset],
    ) -> Result<Plan> {
        let overrides = &options.overrides;
        let widths: Vec<String> = match &overrides.bits {
            Some(bits) if bits.0.iter().any(|bits| *bits != LayerBits::FLOAT) => {
                vec![bits.to_string()]
            }
            Some(_) => Vec::new(),
            None => WIDTHS.map(String::from).to_vec(),
        };
        let trainings = overrides.sgt.map_or(vec![true, false], |sgt| vec![sgt]);
        let first_seed = overrides.seed.unwrap_or(0);
        let seeds = options.seeds.unwrap_or(preset.seeds());
        if first_seed.checked_add(i64::from(seeds) - 1).is_none() {
            return Err(Error::Settings(phrase!(
                "<seed {}>: there are no {} seeds from there on; give a smaller one",
                first_seed,
                seeds
            )));
        }
        let class_names = datasets
            .iter()
            .map(|dataset| (dataset.name.clone(), dataset.class_names.clone()))
            .collect();
        let mut plan =
            Plan { preset, judgement: preset.judgement(methods), class_names, runs: Vec::new() };
        let mut chain = 0;
        for dataset in datasets {
            let source = Source { dataset, digest: digest([&dataset.train, &dataset.test]) };
            for &sgt in &trainings {
                for seed in (0..i64::from(seeds)).map(|offset| first_seed + offset) {
                    let variant = |stage, bits: &str| Variant {
                        dataset: dataset.name.clone(),
                        sgt,
                        stage,
                        bits: bits.into(),
                    };
                    let mut add = |stage, bits: &str, start, control| {
                        let behind = Behind { start, control, chain };
                        plan.add(variant(stage, bits), seed, behind, options, &source)
                    };
                    let float = add(Stage::Float, "32", None, None)?;
                    let (start, control) = match preset.from_float() && !widths.is_empty() {
                        true => (
                            Some(float),
                            add(Stage::FloatContinued, "32", Some(float), Some(float))?,
                        ),
                        false => (None, float),
                    };
                    for bits in &widths {
                        add(Stage::QuantizationAware, bits, start, Some(control))?;
                    }
                    for bits in &widths {
                        add(Stage::PostTraining, bits, Some(float), Some(float))?;
                    }
                    chain += 1;
                }
            }
        }
        Ok(plan)
    }

    /// A warning, if the plan quantizes trained float models with a quantizer that does not keep
    /// the scale of their weights.
    pub fn scale_warning(&self, datasets: &[Dataset]) -> Option<Phrase> {
        let from_float = |run: &&PlannedRun| match run.variant.stage {
            Stage::Float | Stage::FloatContinued => false,
            Stage::QuantizationAware => self.preset.from_float(),
            Stage::PostTraining => true,
        };
        self.runs.iter().filter(from_float).find_map(|run| {
            let dataset = datasets.iter().find(|dataset| dataset.name == run.variant.dataset)?;
            let settings = PartialRunConfig::parse(&run.settings, &run.folder).ok()?;
            let config = resolve(settings, &dataset.info()).ok()?;
            config.quantization.scale_warning(&QuantizationConfig::default(), &config.network)
        })
    }

    fn add(
        &mut self,
        variant: Variant,
        seed: i64,
        behind: Behind,
        options: &PlanOptions,
        source: &Source<'_>,
    ) -> Result<usize> {
        let text = self.preset.training(&variant.dataset, variant.stage != Stage::Float);
        let mut settings = options.overrides.clone().over(PartialRunConfig::parse(text, "preset")?);
        settings.dataset = Some(variant.dataset.clone());
        let bits = bits_list(&variant.bits)?;
        if bits.0.iter().all(|bits| *bits == LayerBits::FLOAT) {
            // A float model is float at both ends.
            settings.first_last = None;
        }
        settings.bits = Some(bits);
        settings.sgt = Some(variant.sgt);
        settings.seed = Some(seed);
        settings.init = None;
        settings.out = Some(PathBuf::from("runs"));
        settings.data_dir = None;
        settings.log_every.get_or_insert(1);
        let config = resolve(settings, &source.dataset.info())?;
        let folder =
            |index: Option<usize>| index.map_or("", |index| self.runs[index].folder.as_str());
        let hash =
            self.hash(&variant, &config, source, [folder(behind.start), folder(behind.control)]);
        let stage = match variant.stage {
            Stage::Float => "float".to_string(),
            Stage::FloatContinued => "float-continued".to_string(),
            Stage::QuantizationAware => variant.bits.replace(',', "-"),
            Stage::PostTraining => format!("{}-ptq", variant.bits.replace(',', "-")),
        };
        let training = if variant.sgt { "sgt" } else { "plain" };
        let name = slug(&variant.dataset);
        self.runs.push(PlannedRun {
            folder: format!("{name}-{stage}-{training}-{seed}-{hash}"),
            work: Work::new(&self.judgement, variant.stage, &config, source.dataset),
            variant,
            seed: config.seed,
            start: behind.start,
            control: behind.control,
            chain: behind.chain,
            settings: config.to_toml(),
        });
        Ok(self.runs.len() - 1)
    }

    /// Eight hexadecimal digits of the SHA-256 of everything that a model's numbers depend on:
    /// settings, data, the models that it starts from, the judgements, and this program's version.
    fn hash(
        &self,
        variant: &Variant,
        config: &RunConfig,
        source: &Source<'_>,
        behind: [&str; 2],
    ) -> String {
        let normalization = source.dataset.normalization(&config.normalize);
        let text = serde_json::json!({
            "version": env!("CARGO_PKG_VERSION"),
            "format": RESULT_FORMAT,
            "variant": variant,
            "data": source.digest,
            "test-limit": config.test_limit,
            "model": config.model_metadata(normalization, &[]),
            "judgement": self.judgement,
            "behind": behind,
        });
        sha256_hex([text.to_string().as_bytes()])[..8].to_string()
    }

    /// The variant that the models of `variant` are compared with.
    pub fn control_of(&self, variant: &Variant) -> Option<&Variant> {
        let run = self.runs.iter().find(|run| run.variant == *variant)?;
        Some(&self.runs.get(run.control?)?.variant)
    }

    /// Number of steps that the start models of `variant` were trained for.
    pub fn steps_before(&self, variant: &Variant) -> u64 {
        let run = self.runs.iter().find(|run| run.variant == *variant);
        run.and_then(|run| self.runs.get(run.start?)).map_or(0, |start| start.work.steps)
    }

    /// Groups of models that depend on each other, each with its number of passes, in order.
    pub fn chains(&self) -> Vec<(usize, u64)> {
        let mut chains: BTreeMap<usize, u64> = BTreeMap::new();
        for run in &self.runs {
            *chains.entry(run.chain).or_default() += run.work.passes();
        }
        chains.into_iter().collect()
    }

    /// The run's folder in the study's folder `root`.
    pub fn folder(&self, root: &Path, index: usize) -> PathBuf {
        root.join("runs").join(&self.runs[index].folder)
    }

    /// Reads the plan in the study's folder `root`.
    ///
    /// # Errors
    /// [`Error::Settings`] if there is no plan; [`Error::Format`] for a plan that this version
    /// cannot read.
    pub fn read(root: &Path) -> Result<Plan> {
        let path = root.join(PLAN_FILE);
        if !path.exists() {
            return Err(Error::Settings(phrase!(
                "{}: no study there; `saliq reproduce` with <out DIR> makes one",
                root.display()
            )));
        }
        let bytes = crate::files::read_bounded(&path, 16 << 20)?;
        let plan: Plan = serde_json::from_slice(&bytes)
            .map_err(|error| Error::unfit(&path, &error.to_string(), Remedy::NewPlan))?;
        let safe = |run: &PlannedRun| {
            let plain =
                |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
            let is_there = |index: Option<usize>| index.is_none_or(|index| index < plan.runs.len());
            run.folder.bytes().all(plain)
                && !run.folder.starts_with('.')
                && is_there(run.start)
                && is_there(run.control)
        };
        if let Some(run) = plan.runs.iter().find(|run| !safe(run)) {
            return Err(Error::format(&path, format!("{:?} is no run of a study", run.folder)));
        }
        // The report's commands contain these texts, and a shell reads them.
        if let Some(run) = plan.runs.iter().find(|run| bits_list(&run.variant.bits).is_err()) {
            return Err(Error::format(
                &path,
                format!("{:?} are no bits of a model", run.variant.bits),
            ));
        }
        let judgement = &plan.judgement;
        let mut methods = judgement
            .methods
            .iter()
            .chain(judgement.retraining.iter().flat_map(|retraining| &retraining.methods));
        match methods.find(|name| !method_names().contains(&name.as_str())) {
            Some(name) => Err(Error::format(&path, format!("{name:?} is no attribution method"))),
            None => Ok(plan),
        }
    }

    /// Writes the plan into the study's folder `root`.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write(&self, root: &Path) -> Result<()> {
        let text =
            serde_json::to_string_pretty(self).map_err(|error| Error::Model(error.to_string()))?;
        crate::files::write_atomically(&root.join(PLAN_FILE), text.as_bytes())
    }
}

/// The start and the control of a model, and its chain.
struct Behind {
    start: Option<usize>,
    control: Option<usize>,
    chain: usize,
}

/// A data set with the properties that identify it.
struct Source<'a> {
    dataset: &'a Dataset,
    digest: String,
}

fn bits_list(text: &str) -> Result<BitsList> {
    text.parse().map_err(|reason| Error::Settings(phrase!("<bits {}>: {}", text, reason)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::QuantizationConfig;

    fn plan(preset: Preset, options: &PlanOptions) -> Plan {
        let datasets: Vec<Dataset> =
            preset.datasets().iter().map(|name| crate::data::blank(name).unwrap()).collect();
        Plan::new(preset, options, &["gradient"], &datasets).unwrap()
    }

    fn settings(run: &PlannedRun) -> RunConfig {
        let info = crate::config::DatasetInfo {
            name: run.variant.dataset.clone(),
            shape: crate::config::Shape::new(1, 28, 28),
            classes: 10,
        };
        resolve(PartialRunConfig::parse(&run.settings, "test").unwrap(), &info).unwrap()
    }

    /// A trained model and its control have the same start, steps and settings, and differ only in
    /// bits.
    #[test]
    fn trained_models_and_their_controls_differ_in_bits_alone() {
        let overrides = PartialRunConfig {
            lr: Some(0.01),
            per_channel: Some(true),
            ..PartialRunConfig::default()
        };
        for options in [PlanOptions::default(), PlanOptions { seeds: Some(2), overrides }] {
            for preset in [Preset::Tiny, Preset::Quick, Preset::Paper, Preset::Best] {
                let plan = plan(preset, &options);
                let mut trained = 0;
                for run in
                    plan.runs.iter().filter(|run| run.variant.stage == Stage::QuantizationAware)
                {
                    let control = &plan.runs[run.control.unwrap()];
                    assert!(control.variant.is_float() && control.chain == run.chain);
                    assert_eq!(
                        (run.seed, run.start),
                        (control.seed, control.start),
                        "{}",
                        run.folder
                    );
                    // Judging a float model can take more work, because others are compared with
                    // it.
                    let training = |work: Work| (work.images, work.steps, work.step_passes);
                    assert_eq!(training(run.work), training(control.work), "{}", run.folder);
                    let own = settings(run);
                    let other = settings(control);
                    assert_ne!(own.quantization.bits, other.quantization.bits);
                    let quantization = QuantizationConfig {
                        bits: own.quantization.bits.clone(),
                        ..other.quantization.clone()
                    };
                    assert_eq!(own, RunConfig { quantization, ..other }, "{}", run.folder);
                    trained += 1;
                }
                assert!(trained >= 6, "{preset:?}");
            }
        }
    }

    #[test]
    fn there_is_one_control_for_a_data_set_training_and_seed() {
        let plan = plan(Preset::Quick, &PlanOptions { seeds: Some(2), ..PlanOptions::default() });
        let controls: Vec<&PlannedRun> =
            plan.runs.iter().filter(|run| run.variant.stage == Stage::FloatContinued).collect();
        assert_eq!(controls.len(), 2 * 2 * 2);
        for control in controls {
            // The effect of further training alone.
            assert_eq!(
                (control.start, plan.runs[control.start.unwrap()].variant.stage),
                (control.control, Stage::Float)
            );
        }
        // The control of a model quantized after training is the float model itself.
        for run in plan.runs.iter().filter(|run| run.variant.stage == Stage::PostTraining) {
            assert_eq!((run.start, run.work.steps), (run.control, 0));
            assert_eq!(plan.runs[run.start.unwrap()].variant.stage, Stage::Float);
        }
        // No float model is trained further if models are trained from scratch, or if there is no
        // model to compare with.
        let float =
            PartialRunConfig { bits: Some("32".parse().unwrap()), ..PartialRunConfig::default() };
        let narrow = self::plan(Preset::Quick, &PlanOptions { seeds: None, overrides: float });
        for plan in [narrow, self::plan(Preset::Paper, &PlanOptions::default())] {
            assert!(plan.runs.iter().all(|run| run.variant.stage != Stage::FloatContinued));
        }
    }

    #[test]
    fn parts_have_as_equal_work_as_groups_allow() {
        use crate::study::shard::Shard;
        let plan = plan(Preset::Quick, &PlanOptions::default());
        let passes =
            |runs: &[usize]| runs.iter().map(|&index| plan.runs[index].work.passes()).sum::<u64>();
        for count in 1..6 {
            let parts: Vec<Vec<usize>> =
                (1..=count).map(|index| Shard { index, count }.runs(&plan)).collect();
            let mut all = parts.concat();
            all.sort_unstable();
            assert_eq!(all, (0..plan.runs.len()).collect::<Vec<_>>());
            // One machine makes a model and everything that it depends on.
            for part in &parts {
                let needs = part
                    .iter()
                    .flat_map(|&index| [plan.runs[index].start, plan.runs[index].control]);
                assert!(needs.flatten().all(|needed| part.contains(&needed)));
            }
        }
        // Each part gets one group with Saliency Guided Training and one without, because their
        // steps take 7 and 3 passes.
        let halves: Vec<u64> =
            (1..=2).map(|index| passes(&Shard { index, count: 2 }.runs(&plan))).collect();
        assert_eq!(halves[0], halves[1]);
        assert!(Shard { index: 5, count: 5 }.runs(&plan).is_empty());
    }
}
