//! `saliq demo`.

use crate::{
    Error, Result,
    cli::args::{DemoArgs, GlobalArgs},
};

/// Runs the command.
///
/// # Errors
/// [`Error`] of the work behind it.
pub fn run(_args: &DemoArgs, _global: &GlobalArgs) -> Result<()> {
    Err(Error::Usage("not built yet".into()))
}
