//! Benchmarks of the training step and of each of its dispatches, against peaks measured in the same run.

mod peaks;
mod tuning;

use std::time::Instant;

use serde::{Deserialize, Serialize};

pub use peaks::Peaks;
pub use tuning::autotune;

use crate::{
    Result,
    config::{PartialRunConfig, RunConfig},
    data::Dataset,
    gpu::{Command, Gpu, Recording},
    train::Trainer,
};

/// Times each dispatch is run for its median.
const REPEATS: usize = 5;

/// What to measure.
#[derive(Clone, Debug)]
pub struct BenchOptions {
    /// Images a step.
    pub batch_size: u32,
    /// Steps for the median.
    pub steps: u32,
}

/// The step as a whole.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StepResult {
    /// Median time of a step, in milliseconds.
    pub median_ms: f64,
    /// Multiply-adds of the layers, counted as two operations, a second.
    pub gflops: f64,
    /// Images a step.
    pub batch_size: u32,
    /// Images a second.
    pub images_per_second: f64,
    /// Operations of a step.
    pub gflop: f64,
    /// Dispatches of a step.
    pub dispatches: usize,
    /// Bytes of all buffers of the run.
    pub allocated_bytes: u64,
    /// Time from nothing to the end of the first step: linking, compiling, uploading.
    pub first_step_ms: f64,
    /// `gflops` over the measured peak.
    pub peak_share: f64,
}

/// One dispatch of the step.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KernelResult {
    /// What it does, e.g. `conv2 forward`; equal names are one row.
    pub name: String,
    /// The kernel's file.
    pub kernel: String,
    /// Times it runs in a step.
    pub count: usize,
    /// Median time of all its runs in a step, in milliseconds.
    pub median_ms: f64,
    /// Operations a second; 0 where they do not matter.
    pub gflops: f64,
    /// Bytes that must move, a second; 0 where not noted.
    pub gbytes_per_s: f64,
    /// The larger of the shares of the arithmetic and of the copy peak.
    pub peak_share: f64,
}

/// The JSON of `saliq bench --json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BenchResult {
    /// The adapter's name, backend and driver.
    pub adapter: AdapterName,
    /// Best product and best copy of this adapter.
    pub peaks: Peaks,
    /// The whole step.
    pub step: StepResult,
    /// Its dispatches, the slowest first.
    pub kernels: Vec<KernelResult>,
}

/// The adapter a benchmark ran on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AdapterName {
    /// Name.
    pub name: String,
    /// Name, backend and driver.
    pub description: String,
}

/// The configuration that is timed: the float SGT step of Table I's network, `uniform` fill, no dropout.
pub fn configuration(dataset: &Dataset, batch_size: u32) -> Result<RunConfig> {
    let mut config = PartialRunConfig::default().resolve(&dataset.info())?;
    config.batch_size = batch_size;
    config.epochs = 1;
    Ok(config)
}

/// Runs the benchmark on the images of `dataset`, repeated as often as the batch needs.
///
/// # Errors
/// Those of the training run that it times.
pub fn run(
    gpu: &Gpu,
    dataset: &Dataset,
    config: &RunConfig,
    options: &BenchOptions,
    progress: &mut dyn FnMut(&str),
) -> Result<BenchResult> {
    progress("compiling kernels");
    let started = Instant::now();
    let trainer = Trainer::new(gpu, config, dataset)?;
    trainer.begin_benchmark(u64::from(options.steps) + 2)?;
    trainer.submit_step()?;
    gpu.wait()?;
    let first_step_ms = started.elapsed().as_secs_f64() * 1e3;

    progress("timing the step");
    let mut times = Vec::new();
    for _ in 0..options.steps.max(1) {
        let start = Instant::now();
        trainer.submit_step()?;
        gpu.wait()?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    let step_ms = median(&mut times);

    progress("measuring the adapter's peaks");
    let peaks = Peaks::measure(gpu)?;
    let mut kernels: Vec<KernelResult> = Vec::new();
    let mut flops = 0;
    let mut dispatches = 0;
    for single in trainer.step().recordings().into_iter().flat_map(Recording::split) {
        let Some(Command::Dispatch { kernel, label, work, .. }) = single.commands().first() else { continue };
        dispatches += 1;
        flops += work.flops;
        // The table has an entry for every step only: beginning one is not repeated.
        if kernel.name() == "begin_step" {
            continue;
        }
        progress(label);
        let ms = time(gpu, &single)?;
        let (gflops, gbytes) = (work.flops as f64 / 1e9, work.bytes as f64 / 1e9);
        match kernels.iter_mut().find(|other| other.name == *label) {
            Some(other) => {
                // Sums for now; turned into rates below.
                other.count += 1;
                other.median_ms += ms;
                other.gflops += gflops;
                other.gbytes_per_s += gbytes;
            }
            None => kernels.push(KernelResult {
                name: label.clone(),
                kernel: kernel.name().into(),
                count: 1,
                median_ms: ms,
                gflops,
                gbytes_per_s: gbytes,
                peak_share: 0.0,
            }),
        }
    }
    for kernel in &mut kernels {
        let seconds = kernel.median_ms / 1e3;
        kernel.gflops /= seconds;
        kernel.gbytes_per_s /= seconds;
        kernel.peak_share = (kernel.gflops / peaks.product_gflops).max(kernel.gbytes_per_s / peaks.copy_gbytes_per_s);
    }
    kernels.sort_by(|a, b| b.median_ms.total_cmp(&a.median_ms));
    let batch_size = config.batch_size.min(dataset.train.len() as u32);
    let gflop = flops as f64 / 1e9;
    Ok(BenchResult {
        adapter: AdapterName { name: gpu.adapter_name().into(), description: gpu.adapter_description() },
        step: StepResult {
            median_ms: step_ms,
            gflops: gflop / step_ms * 1e3,
            batch_size,
            images_per_second: f64::from(batch_size) / step_ms * 1e3,
            gflop,
            dispatches,
            allocated_bytes: gpu.allocated_bytes(),
            first_step_ms,
            peak_share: gflop / step_ms * 1e3 / peaks.product_gflops,
        },
        peaks,
        kernels,
    })
}

fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Median milliseconds of one submission of `recording`, repeated inside it until it takes long enough to be timed.
fn time(gpu: &Gpu, recording: &Recording) -> Result<f64> {
    let run = |count: u32| -> Result<f64> {
        let start = Instant::now();
        let mut encoder = gpu.encoder();
        for _ in 0..count {
            recording.encode(&mut encoder);
        }
        gpu.submit(encoder)?;
        gpu.wait()?;
        Ok(start.elapsed().as_secs_f64() * 1e3)
    };
    let once = run(1)?.max(1e-3);
    let count = (5.0 / once).ceil().clamp(1.0, 1000.0) as u32;
    let mut times = (0..REPEATS).map(|_| Ok(run(count)? / f64::from(count))).collect::<Result<Vec<_>>>()?;
    Ok(median(&mut times))
}
