//! Arguments of `saliq train`.

use std::path::PathBuf;

use clap::Args;

use crate::{Result, config::PartialRunConfig};

/// `saliq train`: the settings are those of [`PartialRunConfig`].
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  saliq train --bits 4,2 --epochs 5                         the paper's (4,2) on the built-in images
  saliq train --dataset mnist --sgt false --bits 2,2        quantized, without saliency guidance
  saliq train --config runs/first/config.toml --seed 1 --out runs/second
  saliq train --out runs/first --epochs 20 --resume         go on with a run, for longer")]
pub struct TrainArgs {
    /// Settings given as flags.
    #[command(flatten)]
    pub flags: PartialRunConfig,
    /// TOML file with any of the settings of this command, named as the flags are; flags win
    ///
    /// The config.toml of a run folder is such a file. Layers of a network of your own stand in it as [[network.layers]].
    #[arg(long, value_name = "FILE", help_heading = "Run")]
    pub config: Option<PathBuf>,
    /// Replace an existing run folder
    #[arg(long, help_heading = "Run", conflicts_with = "resume")]
    pub force: bool,
    /// Go on with the run in --out from its last checkpoint; --epochs or --steps may be raised
    #[arg(long, help_heading = "Run")]
    pub resume: bool,
}

impl TrainArgs {
    /// Flags over the `--config` file, both checked; defaults are filled in by [`PartialRunConfig::resolve`].
    ///
    /// # Errors
    /// [`crate::Error::Usage`] naming the flag, or file, line and key; [`crate::Error::Io`] for a file that cannot be read.
    pub fn settings(&self) -> Result<PartialRunConfig> {
        self.flags.validate()?;
        let merged = match &self.config {
            Some(path) => self.flags.clone().over(PartialRunConfig::from_file(path)?),
            None => self.flags.clone(),
        };
        self.flags.check_against(&merged)?;
        merged.check_merged()?;
        Ok(merged)
    }
}
