//! The work of making a model of a study, counted in passes through the network and therefore equal
//! on every machine.

use serde::{Deserialize, Serialize};

use super::{preset::JudgementPlan, variant::Stage};
use crate::{
    config::{PartialRunConfig, RunConfig, resolve},
    data::{Dataset, tail_length},
    saliency::{Method, MethodOptions},
};

/// The work of making a model. A pass is the forward pass of one image; a backward pass counts as
/// one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Work {
    /// Number of training images; 0 for a model quantized without training.
    pub images: u32,
    /// Number of training steps; 0 for a model quantized without training.
    pub steps: u64,
    /// Passes of a step: 7 per image with Saliency Guided Training, 3 without (Algorithm 1).
    pub step_passes: u64,
    /// Passes outside the training steps.
    pub judging_passes: u64,
}

impl Work {
    /// The work of a training with the settings `config`, and of its tests after every epoch.
    pub fn of_training(config: &RunConfig, dataset: &Dataset) -> Work {
        let limited =
            dataset.train.len().min(config.train_limit.map_or(usize::MAX, |limit| limit as usize));
        let images = (limited - tail_length(limited, config.validation_share)).max(1) as u32;
        let batch = config.batch_size.min(images);
        let per_epoch = u64::from(images.div_ceil(batch));
        let steps = config.steps.unwrap_or(u64::from(config.epochs) * per_epoch);
        let tests =
            u64::from((dataset.test.len() as u32).min(config.test_limit.unwrap_or(u32::MAX)));
        Work {
            images,
            steps,
            step_passes: u64::from(batch) * if config.sgt.enabled { 7 } else { 3 },
            judging_passes: steps.div_ceil(per_epoch).saturating_mul(tests),
        }
    }

    /// The work of a model that is made by `stage` and trained with the settings `config`.
    pub(super) fn new(
        wanted: &JudgementPlan,
        stage: Stage,
        config: &RunConfig,
        dataset: &Dataset,
    ) -> Work {
        let trained = Work::of_training(config, dataset);
        let untrained = Work { images: 0, steps: 0, judging_passes: 0, ..trained };
        let own = if stage == Stage::PostTraining { untrained } else { trained };
        let judging = judging_passes(wanted, stage, config, dataset);
        Work { judging_passes: own.judging_passes.saturating_add(judging), ..own }
    }

    /// The total number of passes.
    pub fn passes(&self) -> u64 {
        self.steps.saturating_mul(self.step_passes).saturating_add(self.judging_passes)
    }
}

/// The number of passes for judging a model.
fn judging_passes(
    wanted: &JudgementPlan,
    stage: Stage,
    config: &RunConfig,
    dataset: &Dataset,
) -> u64 {
    let test = u64::from((dataset.test.len() as u32).min(config.test_limit.unwrap_or(u32::MAX)));
    let dropped = test.min(wanted.drop_images.into());
    let judged = dropped.min(wanted.images.into());
    let settings = MethodOptions::default();
    let layers = config.network.weight_layers().len() as u64;
    // Ranking a map and comparing it take about as long as one sample of it.
    let map = |method: Method| 2 * (u64::from(settings.samples_of(method, &config.network)) + 1);
    let chosen = |names: &[String]| -> Vec<Method> {
        Method::ALL
            .into_iter()
            .filter(|method| names.iter().any(|name| name == method.name()))
            .collect()
    };
    let mut passes = test + 10 * dropped;
    for method in chosen(&wanted.methods) {
        let is_noisy = !method.takes_samples() && wanted.sensitivity_samples > 0;
        let noisy = if is_noisy { 1 + u64::from(wanted.sensitivity_samples) } else { 0 };
        let random = if method.takes_samples() || !wanted.randomisation { 0 } else { layers };
        passes += dropped * (map(method) + 10) + judged * (noisy + random) * map(method);
    }
    if let Some(again) = wanted
        .retraining
        .as_ref()
        .filter(|again| again.post_training || stage != Stage::PostTraining)
        && let Ok(own) = PartialRunConfig::parse(&again.settings, "preset")
            .and_then(|own| resolve(own, &dataset.info()))
    {
        let images = u64::from(again.images[0].min(dataset.train.len() as u32));
        let trained = own
            .steps
            .map_or(u64::from(own.epochs) * images, |steps| steps * u64::from(own.batch_size));
        let methods = chosen(&again.methods);
        let curves = (methods.len() + usize::from(stage == Stage::Float)) as u64;
        passes += curves * again.shares.len() as u64 * 3 * trained;
        passes += methods.into_iter().map(map).sum::<u64>() * images;
    }
    passes
}
