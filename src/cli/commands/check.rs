//! `saliq check`.

use std::collections::HashMap;

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
    if !args.paths.is_empty() {
        return check::run_files(args, output.json, |text| {
            if output.json {
                let report: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
                output.result(&report, String::new)
            } else {
                output.text(text)
            }
        });
    }
    let options = args.requirements.options()?;
    let kernels = check::own_kernels()?;
    let reports: Vec<ShaderReport> = match &args.spirv {
        Some(folder) => check::check_all_writing(&kernels, &options, folder)?.0,
        None => check::check_all_for(&kernels, &options),
    };
    match args.format {
        _ if output.json => output.result(&check::to_json(&reports), String::new)?,
        format => output.text(&check::render(&reports, &HashMap::new(), format))?,
    }
    check::verdict(&reports)
}
