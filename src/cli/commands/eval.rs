//! `saliq eval`.

use crate::{
    Error, Result,
    cli::args::{EvalArgs, GlobalArgs},
};

/// Runs the command.
///
/// # Errors
/// [`Error`] of the work behind it.
pub fn run(_args: &EvalArgs, _global: &GlobalArgs) -> Result<()> {
    Err(Error::Usage("not built yet".into()))
}
