//! Arguments of `saliq reproduce` and `saliq report`.

use std::path::PathBuf;

use clap::Args;

use crate::{
    Error, Result,
    config::PartialRunConfig,
    study::{preset::Preset, shard::Shard},
};

/// `saliq reproduce`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
The study has float, (4,4), (4,2) and (2,2) models, trained with and without Saliency Guided
Training, and the float models quantized after training. It measures the accuracy and the cost of
each model and judges its saliency maps. If quantized models start from the float model (in all
presets except `paper`), they are compared with a float model that is trained for the same number of
further steps with the same settings.

Finished runs are not repeated: the same command continues a study that was stopped. Settings of
`saliq train` override those of the preset in every run; the defaults that their help names are of
`saliq train`. --dataset, --bits and --sgt restrict the study; --seed is its first seed.

Parts: models of the same data set, training and seed depend on each other and form a group, which
stays in one part. The groups are distributed so that the parts have numbers of passes through the
network as equal as possible. Parts beyond the number of groups have no work. In an array job of
Slurm (SLURM_ARRAY_TASK_ID, _COUNT, _MIN, _STEP) or Kubernetes (JOB_COMPLETION_INDEX,
JOB_COMPLETIONS), the index of the job selects the part, and a message says so. --shard takes
precedence, and --shard none makes the whole study.

Examples:
  saliq reproduce
      both built-in data sets, four methods
  saliq reproduce --preset paper --plan
      prints what would be done, and how long it would take here
  saliq reproduce --preset best --shard 2/4 --out /shared/study
      one of four machines
  saliq report /shared/study
      the report, when all parts are finished")]
pub struct ReproduceArgs {
    /// Extent and recipe of the study
    #[arg(
        long,
        value_enum,
        default_value = "quick",
        value_name = "PRESET",
        help_heading = "Study"
    )]
    pub preset: Preset,
    /// Number of seeds that every model is trained with [default: the preset's]
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..=100),
        help_heading = "Study"
    )]
    pub seeds: Option<u32>,
    /// Make only this part of the study, such as 2/4; `none` makes all of it [default: the part
    /// given by the array variables of Slurm or Kubernetes, else all]
    #[arg(long, value_name = "I/N", help_heading = "Study")]
    pub shard: Option<Shard>,
    /// Print the plan with an estimate of its time on this adapter, and exit
    #[arg(long, help_heading = "Study")]
    pub plan: bool,
    /// TOML file with any of the settings of `saliq train`; flags take precedence
    #[arg(long, value_name = "FILE", help_heading = "Study")]
    pub config: Option<PathBuf>,
    /// Settings that override those of the preset; `--out` is the study's folder.
    #[command(flatten)]
    pub flags: PartialRunConfig,
}

impl ReproduceArgs {
    /// The settings that override the preset's, checked.
    ///
    /// # Errors
    /// [`Error::Usage`] for a setting that a study cannot have.
    pub fn overrides(&self) -> Result<PartialRunConfig> {
        self.flags.validate()?;
        let settings = match &self.config {
            Some(path) => self.flags.clone().over(PartialRunConfig::from_file(path)?),
            None => self.flags.clone(),
        };
        if settings.init.is_some() {
            return Err(Error::Usage(
                "--init: the study determines the start of its models".into(),
            ));
        }
        Ok(settings)
    }

    /// The study's folder.
    pub fn folder(&self, settings: &PartialRunConfig) -> PathBuf {
        let name = clap::ValueEnum::to_possible_value(&self.preset)
            .map_or(String::new(), |value| value.get_name().to_string());
        settings
            .out
            .clone()
            .unwrap_or_else(|| PathBuf::from("runs").join(format!("reproduce-{name}")))
    }
}

/// `saliq report`.
#[derive(Clone, Debug, Args)]
pub struct ReportArgs {
    /// Folder of a study, made by `saliq reproduce`
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
}
