//! `saliq explain`.

use crate::{
    Error, Result,
    cli::args::{ExplainArgs, GlobalArgs},
};

/// Runs the command.
///
/// # Errors
/// [`Error`] of the work behind it.
pub fn run(args: &ExplainArgs, _global: &GlobalArgs) -> Result<()> {
    args.validate()?;
    Err(Error::Usage("not built yet".into()))
}
