//! `saliq export`.

use serde::Serialize;

use crate::{
    Result,
    cli::args::{ExportArgs, ExportFormat, GlobalArgs},
    config::{LayerConfig, QuantizationOverrides},
    model::{Model, fold_batch_norm},
};

/// What was written.
#[derive(Serialize)]
struct Exported {
    file: String,
    format: &'static str,
    tensors: usize,
    parameters: u64,
    /// Names of the batch norms that were folded.
    folded: Vec<String>,
}

/// Writes a model for use elsewhere.
///
/// # Errors
/// [`crate::Error`] of the files.
pub fn run(args: &ExportArgs, global: &GlobalArgs) -> Result<()> {
    let mut model = Model::load(&args.model, &QuantizationOverrides::default())?;
    let mut folded = Vec::new();
    if args.fold_batch_norm {
        folded.extend(model.config.network.layers.iter().filter_map(|layer| match layer {
            LayerConfig::BatchNorm { name } => Some(name.clone()),
            _ => None,
        }));
        model = fold_batch_norm(&model)?;
    }
    let format = match args.format {
        ExportFormat::Safetensors => "safetensors",
    };
    Model::save(&args.out, &model.config, &model.layout, &model.parameters)?;
    let exported = Exported {
        file: args.out.display().to_string(),
        format,
        tensors: model.layout.parameters.len(),
        parameters: model.config.network.parameter_count()?,
        folded,
    };
    global.output().result(&exported, || {
        let folded = match exported.folded.len() {
            0 => String::new(),
            count => format!(", {count} batch norms folded"),
        };
        format!("{}: {} tensors, {} parameters{folded}", exported.file, exported.tensors, exported.parameters)
    })
}
