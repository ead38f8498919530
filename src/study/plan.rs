//! Which models a study has, in the order in which they can be made.

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
    config::{
        BitsList, LayerBits, PartialRunConfig, PixelNormalization, QuantizationConfig, RunConfig,
        resolve,
    },
    data::{Dataset, digest},
    digest::sha256_hex,
    error::phrase,
};

/// The plan in a study's folder.
pub const PLAN_FILE: &str = "plan.json";
/// Changes with what a result holds or how it is computed; part of the name of a run's folder.
const RESULT_FORMAT: u32 = 3;
/// Widths of Table III, after float.
const WIDTHS: [&str; 3] = ["4,4", "4,2", "2,2"];

/// A model to be made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PlannedRun {
    /// Which model.
    pub variant: Variant,
    /// Seed of its training.
    pub seed: u64,
    /// Folder under `runs/`; ends with a hash of all that its numbers depend on.
    pub folder: String,
    /// The float model that its training starts from, or that it is quantized from, by its place in
    /// the plan.
    pub start: Option<usize>,
    /// The model of the same data set, training and seed that it is compared with, by its place in
    /// the plan. It differs in nothing but the bits, so that a difference is that of quantization:
    /// the float model trained on as long where quantized ones start from it, else the float model.
    /// A float model trained on is compared with its start.
    pub control: Option<usize>,
    /// Models that depend on each other share a chain: one machine makes them.
    pub chain: usize,
    /// What making it takes.
    pub work: Work,
    /// Settings of its training, as TOML that `saliq train --config` takes.
    pub settings: String,
}

/// The models of a study, float ones before those that need them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Plan {
    /// Which preset it was made from.
    pub preset: Preset,
    /// What is judged.
    pub judgement: JudgementPlan,
    /// Names of the classes, by data set.
    pub class_names: BTreeMap<String, Vec<String>>,
    /// The models.
    pub runs: Vec<PlannedRun>,
}

/// What a user may change about a preset.
#[derive(Clone, Debug, Default)]
pub struct PlanOptions {
    /// Seeds a model.
    pub seeds: Option<u32>,
    /// Settings over those of the preset, as `saliq train` takes them.
    pub overrides: PartialRunConfig,
}

impl Plan {
    /// The plan of `preset` with `options` for `datasets`; `methods` are the attribution methods
    /// there are.
    ///
    /// # Errors
    /// [`Error::Settings`] for settings that do not go together.
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

    /// What there is to warn of where the plan quantizes trained float models by a quantizer that
    /// does not keep their scale.
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
        settings.bits = Some(bits_list(&variant.bits)?);
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

    /// Eight digits of SHA-256 over all that a model's numbers depend on: settings, data, the
    /// models behind it, what is judged, and this program's version.
    fn hash(
        &self,
        variant: &Variant,
        config: &RunConfig,
        source: &Source<'_>,
        behind: [&str; 2],
    ) -> String {
        let (mean, deviation) = source.dataset.normalization(&config.normalize);
        let text = serde_json::json!({
            "version": env!("CARGO_PKG_VERSION"),
            "format": RESULT_FORMAT,
            "variant": variant,
            "data": source.digest,
            "test-limit": config.test_limit,
            "model": config.model_metadata(PixelNormalization { mean, deviation }, &[]),
            "judgement": self.judgement,
            "behind": behind,
        });
        sha256_hex([text.to_string().as_bytes()])[..8].to_string()
    }

    /// What the models of `variant` are compared with.
    pub fn control_of(&self, variant: &Variant) -> Option<&Variant> {
        let run = self.runs.iter().find(|run| run.variant == *variant)?;
        Some(&self.runs.get(run.control?)?.variant)
    }

    /// Steps that the models of `variant` were trained before their own training began.
    pub fn steps_before(&self, variant: &Variant) -> u64 {
        let run = self.runs.iter().find(|run| run.variant == *variant);
        run.and_then(|run| self.runs.get(run.start?)).map_or(0, |start| start.work.steps)
    }

    /// Groups of models that depend on each other, each with its passes, in order.
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
    /// [`Error::Settings`] where there is none, [`Error::Format`] for one that this version does not
    /// understand.
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
        // What the report's commands name: text that a shell reads.
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

/// What a model starts from and is compared with, and the chain of models that it is in.
struct Behind {
    start: Option<usize>,
    control: Option<usize>,
    chain: usize,
}

/// A data set and what tells it from another.
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

    /// What a trained model is compared with has its start, its steps and its settings: all but the
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
                    // A float model that others are judged beside may have more to be judged by.
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
            // What training on brings by itself.
            assert_eq!(
                (control.start, plan.runs[control.start.unwrap()].variant.stage),
                (control.control, Stage::Float)
            );
        }
        // Without training there is nothing to be held against but the float model itself.
        for run in plan.runs.iter().filter(|run| run.variant.stage == Stage::PostTraining) {
            assert_eq!((run.start, run.work.steps), (run.control, 0));
            assert_eq!(plan.runs[run.start.unwrap()].variant.stage, Stage::Float);
        }
        // From scratch, or with nothing to compare, there is no training on.
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
            // What a model needs is made by the machine that makes the model.
            for part in &parts {
                let needs = part
                    .iter()
                    .flat_map(|&index| [plan.runs[index].start, plan.runs[index].control]);
                assert!(needs.flatten().all(|needed| part.contains(&needed)));
            }
        }
        // A group with guidance and a plain one each, not both with guidance: 7 passes a step to 3.
        let halves: Vec<u64> =
            (1..=2).map(|index| passes(&Shard { index, count: 2 }.runs(&plan))).collect();
        assert_eq!(halves[0], halves[1]);
        assert!(Shard { index: 5, count: 5 }.runs(&plan).is_empty());
    }
}
