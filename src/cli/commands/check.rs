//! `saliq check`.

use crate::{
    Result,
    check::{self, ShaderReport},
    cli::args::{CheckArgs, GlobalArgs},
};

/// Validates and translates saliq's own kernels, or the given files and folders.
///
/// # Errors
/// [`crate::Error::CheckFailed`] with the shaders that failed.
pub fn run(args: &CheckArgs, global: &GlobalArgs) -> Result<()> {
    let output = global.output();
    if let Some(text) = args.requirements.explanation() {
        return output.text(&text?);
    }
    let options = args.requirements.options()?;
    let reports: Vec<ShaderReport> = if args.paths.is_empty() {
        let kernels = check::own_kernels()?;
        if let Some(folder) = &args.spirv {
            check::write_spirv(&kernels, folder)?;
        }
        check::check_all_for(&kernels, &options)
    } else {
        let reports = check::check_paths_for(&args.paths, &options)?;
        if let Some(folder) = &args.spirv {
            check::write_spirv_of_paths(&args.paths, folder)?;
        }
        reports
    };
    match args.format {
        _ if output.json => output.result(&check::to_json(&reports), String::new)?,
        format => output.text(&check::render(&reports, format))?,
    }
    check::verdict(&reports)
}
