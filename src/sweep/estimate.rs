//! The time that the runs of a sweep are expected to take.

use std::collections::BTreeMap;

use super::plan::SweepPlan;
use crate::{
    Result,
    config::{PartialRunConfig, resolve},
    gpu::Gpu,
    study::{
        estimate::{kind_of_step, seconds_of_step},
        work::Work,
    },
};

/// Kinds of steps that are timed at most; the others are estimated by their work.
const MOST_KINDS: usize = 6;

/// Seconds of each of the runs `open` of `plan`, from a few timed steps of every kind of training.
/// Tests between the epochs are not counted.
///
/// # Errors
/// Errors of the device, and of settings that do not fit together.
pub fn expected_seconds(gpu: &Gpu, plan: &SweepPlan, open: &[usize]) -> Result<Vec<f64>> {
    let mut timed: BTreeMap<String, f64> = BTreeMap::new();
    let (mut seconds, mut work) = (0.0, 0.0);
    let mut expected = Vec::new();
    for &index in open {
        let run = &plan.runs[index];
        let dataset = &plan.datasets[run.dataset];
        // The start does not change the time, and its model may not be there yet.
        let settings = PartialRunConfig { init: None, ..run.settings.clone() };
        let config = resolve(settings, &dataset.info())?;
        let kind = kind_of_step(&config, Work::of_training(&config, dataset).images);
        if !timed.contains_key(&kind) && timed.len() < MOST_KINDS {
            timed.insert(kind.clone(), seconds_of_step(gpu, &config, dataset)?);
        }
        let own = timed.get(&kind).map(|step| step * run.steps as f64);
        if let Some(own) = own {
            (seconds, work) = (seconds + own, work + run.work as f64);
        }
        expected.push((own, run.work as f64));
    }
    let rate = if work > 0.0 { seconds / work } else { 0.0 };
    Ok(expected.into_iter().map(|(own, work)| own.unwrap_or(rate * work)).collect())
}
