//! ROAR in a study: trains networks again without the features that a model's maps rank highest.

use std::path::Path;

use super::{preset::RetrainingPlan, watcher::Watcher};
use crate::{
    Result,
    config::{PartialRunConfig, resolve},
    data::Dataset,
    gpu::Gpu,
    judgement::{DropCurve, Fill, RetrainingOptions, Subject, retrain},
    model::Model,
    saliency::{Method, MethodOptions},
    train::Observer,
};

/// Temporary folder of the training runs inside a run's folder; removed at the end.
const FOLDER: &str = "retraining";
/// Images per pass.
const BATCH: u32 = 128;

/// A model whose maps are tested by ROAR.
pub(super) struct Retraining<'a> {
    pub gpu: &'a Gpu,
    pub model: &'a Model,
    pub dataset: &'a Dataset,
    pub seed: u64,
    /// The run's folder.
    pub folder: &'a Path,
    pub plan: &'a RetrainingPlan,
    /// Values that replace removed features.
    pub fill: Fill,
}

/// Forwards only the request to stop.
struct Silent<'a>(&'a dyn Watcher);

impl Observer for Silent<'_> {
    fn interrupted(&self) -> Option<i32> {
        self.0.interrupted()
    }
}

impl Retraining<'_> {
    /// Accuracy against the removed share, in the order of the maps of `method` for the logit of
    /// the true label.
    ///
    /// # Errors
    /// Errors of the device and of training; [`crate::Error::Interrupted`].
    pub async fn run(&self, method: Method, watcher: &dyn Watcher) -> Result<DropCurve> {
        let dataset = self.limited();
        let (gpu, model) = (self.gpu, self.model);
        let normalization = model.normalization()?;
        let subjects = [&dataset.train, &dataset.test].map(|images| Subject {
            gpu,
            model,
            images,
            normalization,
            batch_size: BATCH,
        });
        let settings = MethodOptions { seed: self.seed, ..MethodOptions::default() };
        let mut maps = Vec::new();
        for subject in subjects {
            let labels: Vec<u32> = subject.images.labels.clone();
            maps.push(
                subject
                    .explain(&[method], &settings, &labels, &mut |_| {})
                    .await?
                    .maps
                    .swap_remove(0),
            );
        }
        let mut training = PartialRunConfig::parse(&self.plan.settings, "preset")?;
        training.dataset = Some(dataset.name.clone());
        training.sgt = Some(false);
        training.seed = Some(self.seed as i64);
        training.log_every = Some(0);
        training.out = Some(self.folder.join(FOLDER).join(method.name()));
        let config = resolve(training, &dataset.info())?;
        let options = RetrainingOptions {
            fill: self.fill,
            shares: self.plan.shares.clone(),
            seed: self.seed,
        };
        let curve = retrain(
            gpu,
            &config,
            &dataset,
            subjects,
            [&maps[0], &maps[1]],
            &options,
            &mut Silent(watcher),
        )
        .await;
        let _ = std::fs::remove_dir_all(self.folder.join(FOLDER));
        curve
    }

    /// The images that the plan selects.
    fn limited(&self) -> Dataset {
        let mut dataset = self.dataset.clone();
        let [train, test] = self.plan.images;
        dataset.train.truncate(train as usize, dataset.shape);
        dataset.test.truncate(test as usize, dataset.shape);
        dataset
    }
}
