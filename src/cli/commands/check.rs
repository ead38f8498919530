//! `saliq check`.

use crate::{
    Error, Result,
    cli::args::{CheckArgs, GlobalArgs},
};

/// Runs the command.
///
/// # Errors
/// [`Error`] of the work behind it.
pub fn run(_args: &CheckArgs, _global: &GlobalArgs) -> Result<()> {
    Err(Error::Usage("not built yet".into()))
}
