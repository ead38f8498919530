//! Arguments of `saliq train`.

use std::path::PathBuf;

use clap::Args;

use crate::{
    Error, Result,
    config::{NetworkChoice, PartialRunConfig},
};

/// `saliq train`: the settings are those of [`PartialRunConfig`].
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  saliq train --bits 4,2 --epochs 5                         the paper's (4,2) on the built-in images
  saliq train --dataset mnist --sgt false --bits 2,2        quantized, without saliency guidance
  saliq train --network lenet-5 --bits 4 --all-layers --first-last 8
  saliq train --config runs/first/config.toml --seed 1 --out runs/second
  saliq train --out runs/first --epochs 20 --resume         continue a run for more epochs")]
pub struct TrainArgs {
    /// Settings given as flags.
    #[command(flatten)]
    pub flags: PartialRunConfig,
    /// TOML file with any of the settings of this command, with the names of the flags; flags take
    /// precedence
    ///
    /// The config.toml of a run folder is such a file. It can define your own network by
    /// [[network.layers]].
    #[arg(long, value_name = "FILE", help_heading = "Run")]
    pub config: Option<PathBuf>,
    /// Network: a name from `saliq networks`, or a TOML file with [[network.layers]] [default: that
    /// of --config, else table-1]
    #[arg(long, value_name = "NAME|FILE.toml", help_heading = "Network & quantization")]
    pub network: Option<String>,
    /// Replace an existing run folder
    #[arg(long, help_heading = "Run", conflicts_with = "resume")]
    pub force: bool,
    /// Continue the run in --out from its last checkpoint; --epochs or --steps may be raised
    #[arg(long, help_heading = "Run")]
    pub resume: bool,
}

impl TrainArgs {
    /// The flags over the `--config` file, both checked. [`crate::config::resolve`] fills in
    /// defaults.
    ///
    /// # Errors
    /// [`crate::Error::Usage`] with the flag, or with file, line and key; [`crate::Error::Io`] for
    /// a file that cannot be read.
    pub fn settings(&self) -> Result<PartialRunConfig> {
        self.flags.validate()?;
        let merged = match (&self.config, &self.network) {
            (None, None) => self.flags.clone(),
            (Some(path), _) => self.over(PartialRunConfig::from_file(path)?)?,
            (None, Some(_)) => self.over(PartialRunConfig::default())?,
        };
        self.flags.check_against(&merged)?;
        merged.check_merged()?;
        Ok(merged)
    }

    /// The flags, including `--network`, over the settings of a file.
    ///
    /// # Errors
    /// Errors of the network's file; [`Error::Usage`] if that file has other settings too, which
    /// would be lost.
    pub fn over(&self, below: PartialRunConfig) -> Result<PartialRunConfig> {
        let Some(text) = &self.network else { return Ok(self.flags.clone().over(below)) };
        let choice = NetworkChoice::find(text)?;
        if let NetworkChoice::File { others, .. } = &choice
            && !others.is_empty()
        {
            return Err(Error::Usage(format!(
                "--network {}: has settings besides the network ({}); give the file with --config, \
                 or leave them out of it",
                choice.label(),
                others.join(", ")
            )));
        }
        Ok(self.flags.clone().over(below.with_network(choice.table())))
    }
}
