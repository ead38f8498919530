//! Common parts of `saliq drop` and `saliq compare`: the models with their images and predictions.

use std::{
    path::{Path, PathBuf},
    rc::Rc,
};

use serde::Serialize;

use crate::{
    Error, Result,
    cli::{
        args::{ExplainTarget, GlobalArgs, ModelInputArgs},
        output::Output,
    },
    config::{PixelNormalization, QuantizationOverrides, ReadOptions},
    data::{Dataset, Split},
    files::write_atomically,
    gpu::Gpu,
    judgement::Subject,
    metrics::Evaluation,
    model::Model,
    pipelines::CachedGpu,
};

/// A model with the images that it is judged on and its predictions.
pub(super) struct Judged {
    pub model: Model,
    /// The name of its run folder or file, with a number if several models share it.
    pub name: String,
    /// `float` or `(4,2)`.
    pub bits: String,
    pub dataset: Rc<Dataset>,
    pub images: Split,
    /// How they were read.
    pub reading: ReadOptions,
    pub normalization: PixelNormalization,
    pub evaluation: Evaluation,
}

/// A model in JSON.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct JudgedModel {
    name: String,
    path: PathBuf,
    bits: String,
    /// Accuracy on the judged images.
    accuracy: f64,
    /// Weights of a teacher's terms in its training.
    #[serde(skip_serializing_if = "Option::is_none")]
    teaching: Option<serde_json::Value>,
}

impl Judged {
    /// Loads every model of `paths` with the first `count` images, and predicts them.
    pub fn load_all(
        gpu: impl FnOnce() -> Result<CachedGpu>,
        paths: &[PathBuf],
        (input, global): (&ModelInputArgs, &GlobalArgs),
        count: u32,
        target: ExplainTarget,
        output: &Output,
    ) -> Result<(CachedGpu, Vec<Judged>)> {
        let flags = super::ModelFlags::new(input, global);
        let models = paths.iter().map(|path| flags.open(path)).collect::<Result<Vec<_>>>()?;
        for model in &models {
            model.require_alphas()?;
            let classes = model.config.network.classes;
            if let ExplainTarget::Class(class) = target
                && class >= classes
            {
                return Err(Error::Usage(format!(
                    "--target {class}: the model has classes 0 to {}",
                    classes - 1
                )));
            }
        }
        let gpu = gpu()?;
        let mut all: Vec<Judged> = Vec::new();
        for mut model in models {
            let (dataset, normalization) = flags.data(&mut model)?;
            super::note_other_classes(&model, &dataset.name, &dataset.class_names, output);
            let mut images = super::split_of(&dataset, input.split).clone();
            images.truncate(count as usize, dataset.shape);
            let own = super::explain::model_name(&model.path);
            let name = match all
                .iter()
                .filter(|other| other.name == own || other.name.starts_with(&format!("{own} #")))
                .count()
            {
                0 => own,
                others => format!("{own} #{}", others + 1),
            };
            let bits = bits_label(&model);
            let mut judged = Judged {
                reading: flags.reading_for(&model),
                model,
                name,
                bits,
                dataset,
                images,
                normalization,
                evaluation: Evaluation::default(),
            };
            judged.evaluation = pollster::block_on(judged.subject(&gpu, input).evaluate())?;
            all.push(judged);
        }
        flags.say(output);
        Ok((gpu, all))
    }

    /// The model in the form that judgements take.
    pub fn subject<'a>(&'a self, gpu: &'a Gpu, input: &ModelInputArgs) -> Subject<'a> {
        self.subject_on(gpu, input, &self.images)
    }

    /// The files of the images, in the folder of the data set; empty where they have none.
    pub fn files(&self, split: crate::cli::args::Split) -> &[String] {
        let own = super::files_of(&self.dataset, split);
        &own[..own.len().min(self.images.len())]
    }

    /// The model on other images.
    pub fn subject_on<'a>(
        &'a self,
        gpu: &'a Gpu,
        input: &ModelInputArgs,
        images: &'a Split,
    ) -> Subject<'a> {
        let (model, normalization, batch_size) =
            (&self.model, self.normalization, input.batch_size);
        Subject { gpu, model, images, normalization, batch_size }
    }

    /// The settings of the model's training without the seed, and the seed. Models with the same
    /// recipe and different seeds repeat one experiment. `None` if the model does not say this, or
    /// does not say what it started from.
    pub fn recipe(&self) -> Option<(String, u64)> {
        recipe(&self.model, MOST_STARTS)
    }

    /// The description in the JSON output.
    pub fn described(&self) -> JudgedModel {
        JudgedModel {
            name: self.name.clone(),
            path: self.model.path.clone(),
            bits: self.bits.clone(),
            accuracy: self.evaluation.accuracy,
            teaching: self.model.config.teaching().cloned(),
        }
    }

    /// What a teacher's terms weighed in its training, for people; none without a teacher.
    pub fn teaching(&self) -> Option<String> {
        let own = self.model.config.teaching()?;
        let terms = ["distill", "align"].into_iter().filter_map(|term| {
            let weight = own.get(term)?.as_f64().filter(|weight| *weight > 0.0)?;
            Some(format!("{term} {weight}"))
        });
        Some(terms.collect::<Vec<_>>().join(", ")).filter(|said| !said.is_empty())
    }
}

/// Longest chain of models that started from each other.
const MOST_STARTS: u32 = 4;

fn recipe(model: &Model, starts: u32) -> Option<(String, u64)> {
    let mut config = model.config.clone();
    let training = config.training.as_object_mut()?;
    let seed = training.remove("seed")?.as_u64()?;
    let starts_from_model = training.get("from-model").and_then(serde_json::Value::as_bool)?;
    let start = match (starts_from_model, starts) {
        (false, _) => String::new(),
        (true, 0) => return None,
        (true, _) => {
            let init = super::settings_beside(model)?.ok()?.init?;
            let start = Model::load(&init, &QuantizationOverrides::default()).ok()?;
            // If the start model says nothing about itself, its path must be the same.
            let path = || init.canonicalize().ok().map(|path| path.display().to_string());
            recipe(&start, starts - 1).map(|(start, _)| start).or_else(path)?
        }
    };
    Some((format!("{}\n{start}", config.to_metadata()), seed))
}

/// `float`, or the bits as `(4,2)`.
fn bits_label(model: &Model) -> String {
    match model.config.quantization.label().as_str() {
        "32" => "float".into(),
        bits => format!("({})", bits.replace('-', ",")),
    }
}

/// Writes `value` as JSON.
pub(super) fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let mut text =
        serde_json::to_string_pretty(value).map_err(|error| Error::Model(error.to_string()))?;
    text.push('\n');
    write_atomically(path, text.as_bytes())
}
