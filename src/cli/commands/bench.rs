//! `saliq bench`.

use crate::{
    Error, Result,
    cli::args::{BenchArgs, GlobalArgs},
};

/// Runs the command.
///
/// # Errors
/// [`Error`] of the work behind it.
pub fn run(_args: &BenchArgs, _global: &GlobalArgs) -> Result<()> {
    Err(Error::Usage("not built yet".into()))
}
