//! `saliq train`.

use crate::{
    Error, Result,
    cli::args::{GlobalArgs, TrainArgs},
};

/// Runs the command.
///
/// # Errors
/// [`Error`] of the work behind it.
pub fn run(args: &TrainArgs, _global: &GlobalArgs) -> Result<()> {
    let _settings = args.settings()?;
    Err(Error::Usage("not built yet".into()))
}
