//! `saliq data`.

use crate::{
    Error, Result,
    cli::args::{DataArgs, GlobalArgs},
};

/// Runs the command.
///
/// # Errors
/// [`Error`] of the work behind it.
pub fn run(_args: &DataArgs, _global: &GlobalArgs) -> Result<()> {
    Err(Error::Usage("not built yet".into()))
}
