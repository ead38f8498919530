//! The step as a whole, and each of its dispatches.

use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::{
    adapter::AdapterName,
    attribution::{self, AttributionResult},
    peaks::Peaks,
    timing::{REPEATS, median, time, time_step},
};
use crate::{
    Result,
    config::{Precision, RunConfig},
    data::Dataset,
    gpu::{self, Command, Gpu, Recording, Work},
    train::Trainer,
};

/// Options of the benchmark.
#[derive(Clone, Debug)]
pub struct BenchOptions {
    /// Number of steps, whose median is used.
    pub steps: u32,
    /// When the program started.
    pub started: Instant,
}

/// The step as a whole.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct StepResult {
    /// Median time of a step, in milliseconds.
    pub median_ms: f64,
    /// Rate of the layers' multiply-adds, counted as two operations, in 10⁹ per second.
    pub gflops: f64,
    /// Images a step.
    pub batch_size: u32,
    /// Images per second.
    pub images_per_second: f64,
    /// Operations of a step, in 10⁹.
    pub gflop: f64,
    /// Data that a step must move, in 10⁹ bytes: what it keeps for the backward pass, written once
    /// and read once.
    pub gbytes: f64,
    /// Lower bounds of the step's time on this adapter.
    pub floors: Floors,
    /// The larger floor divided by `median_ms`.
    pub floor_share: f64,
    /// `gflops` divided by the measured peak; above 1 if the step is faster than that peak.
    pub peak_share: f64,
    /// Number of dispatches of a step.
    pub dispatches: usize,
    /// Largest number of bytes of the run's buffers, without the data set.
    pub peak_bytes: u64,
    /// Bytes that the backward pass needs from the forward pass: images, outputs of layers, inputs
    /// of PACT, choices of max-pooling.
    pub kept_bytes: u64,
    /// `peak_bytes` divided by `kept_bytes`.
    pub memory_ratio: f64,
    /// Time from the program's start to the first step: opening the device, uploading, linking and
    /// creating pipelines.
    pub ready_ms: f64,
    /// Time from the program's start to the end of the first step, in which some drivers compile
    /// kernels.
    pub first_step_ms: f64,
}

/// Lower bounds of a step's time, in milliseconds.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Floors {
    /// Its operations at the rate of the fastest product.
    pub arithmetic_ms: f64,
    /// The bytes that it must move at the rate of the fastest copy.
    pub memory_ms: f64,
}

impl Floors {
    /// The larger floor.
    pub fn larger(self) -> f64 {
        self.arithmetic_ms.max(self.memory_ms)
    }
}

/// How dispatches were timed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Timing {
    /// By the device's timestamps, within the step.
    Timestamps,
    /// By the host's clock, each dispatch repeated on its own.
    #[default]
    Host,
}

/// One dispatch of the step.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct KernelResult {
    /// Its label, e.g. `conv2 forward`; dispatches with equal labels share a row.
    pub name: String,
    /// The kernel's file.
    pub kernel: String,
    /// Tiles and variant of the kernel: [`crate::shaders::Specialization::variant`]; those of the
    /// first dispatch if equal labels have several.
    pub variant: String,
    /// Number of runs in a step.
    pub count: usize,
    /// Median time of all its runs in a step, in milliseconds.
    pub median_ms: f64,
    /// Operations per second, in 10⁹; `None` if they are not counted.
    pub gflops: Option<f64>,
    /// Bytes that must move, in 10⁹ per second; `None` if they are not counted.
    pub gbytes_per_s: Option<f64>,
    /// The larger of the shares of the arithmetic and of the copy peak; above 1 if the kernel is
    /// faster than the measured peak.
    pub peak_share: Option<f64>,
}

/// The JSON of `saliq bench --json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BenchResult {
    /// The adapter's name, backend and driver.
    pub adapter: AdapterName,
    /// Fastest product and fastest copy of this adapter.
    pub peaks: Peaks,
    /// The whole step.
    pub step: StepResult,
    /// Storage format of activations between layers.
    #[serde(default)]
    pub precision: Precision,
    /// How the dispatches were timed.
    #[serde(default)]
    pub timing: Timing,
    /// Its dispatches, slowest first.
    pub kernels: Vec<KernelResult>,
    /// The cost of attributions; absent in results of earlier versions.
    #[serde(default)]
    pub attribution: Option<AttributionResult>,
}

/// Runs the benchmark on the images of `dataset`.
///
/// # Errors
/// Errors of the timed training run.
pub async fn run(
    gpu: &Gpu,
    dataset: &Dataset,
    config: &RunConfig,
    options: &BenchOptions,
    progress: &mut dyn FnMut(&str),
) -> Result<BenchResult> {
    progress("creating pipelines");
    let trainer = Trainer::new(gpu, config, dataset)?;
    trainer.begin_benchmark();
    let since_start = || options.started.elapsed().as_secs_f64() * 1e3;
    let ready_ms = since_start();
    trainer.submit_step()?;
    gpu.wait()?;
    let first_step_ms = since_start();

    progress("timing the step");
    time_step(gpu, &trainer)?;
    let mut times = Vec::new();
    for _ in 0..options.steps.max(1) {
        times.push(time_step(gpu, &trainer)?);
    }
    let step_ms = median(&mut times);
    let (peak_bytes, kept_bytes) =
        (gpu.peak_bytes() - trainer.data_bytes(), trainer.network().kept_bytes());

    progress("timing its dispatches");
    let whole = trainer.step().whole(trainer.parts());
    let (timing, dispatch_times) = time_dispatches(gpu, &trainer, &whole).await?;
    progress("measuring the adapter's peaks");
    let peaks = Peaks::measure(gpu)?;

    let mut work = Work::default();
    for command in whole.commands() {
        if let Command::Dispatch { work: own, .. } = command {
            work.flops += own.flops;
        }
    }
    work.bytes = 2 * kept_bytes * u64::from(trainer.parts());
    let (gflop, gbytes) = (work.flops as f64 / 1e9, work.bytes as f64 / 1e9);
    let floors = Floors {
        arithmetic_ms: gflop / peaks.product_gflops * 1e3,
        memory_ms: gbytes / peaks.copy_gbytes_per_s * 1e3,
    };
    progress("timing attributions");
    let attribution = Some(attribution::measure(gpu, config)?);
    let batch_size = config.batch_size.min(dataset.train.len() as u32);
    Ok(BenchResult {
        adapter: AdapterName::of(gpu),
        step: StepResult {
            median_ms: step_ms,
            gflops: gflop / step_ms * 1e3,
            batch_size,
            images_per_second: f64::from(batch_size) / step_ms * 1e3,
            gflop,
            gbytes,
            floors,
            floor_share: floors.larger() / step_ms,
            peak_share: gflop / step_ms * 1e3 / peaks.product_gflops,
            dispatches: whole.commands().len(),
            peak_bytes,
            kept_bytes,
            memory_ratio: peak_bytes as f64 / kept_bytes as f64,
            ready_ms,
            first_step_ms,
        },
        precision: config.precision,
        timing,
        peaks,
        kernels: kernel_results(&whole, &dispatch_times, peaks),
        attribution,
    })
}

/// Median milliseconds of each command of a step; `None` if it was not timed.
async fn time_dispatches(
    gpu: &Gpu,
    trainer: &Trainer<'_>,
    step: &Recording,
) -> Result<(Timing, Vec<Option<f64>>)> {
    let mut runs = Vec::new();
    for _ in 0..REPEATS {
        trainer.rewind();
        let Some(times) = gpu::time_dispatches(step, gpu).await? else { break };
        runs.push(times);
    }
    if let Some(first) = runs.first() {
        let of_all = |index: usize| {
            let mut times: Vec<f64> = runs.iter().filter_map(|run| run[index]).collect();
            (!times.is_empty()).then(|| median(&mut times))
        };
        return Ok((Timing::Timestamps, (0..first.len()).map(of_all).collect()));
    }
    let single = |own: Recording| match own.kernels().next() {
        // `begin_step` is not repeated, because the table has one entry per step.
        Some(kernel) if kernel.name() != "begin_step" => Ok(Some(time(gpu, &own)?)),
        _ => Ok(None),
    };
    Ok((Timing::Host, step.split().map(single).collect::<Result<_>>()?))
}

/// One row per label of the dispatches, slowest first.
fn kernel_results(step: &Recording, times: &[Option<f64>], peaks: Peaks) -> Vec<KernelResult> {
    let mut kernels: Vec<KernelResult> = Vec::new();
    let mut work_of: Vec<Work> = Vec::new();
    for (command, time) in step.commands().iter().zip(times) {
        let (Command::Dispatch { kernel, label, work, .. }, Some(ms)) = (command, time) else {
            continue;
        };
        let index = kernels.iter().position(|other| other.name == *label).unwrap_or_else(|| {
            let variant = kernel.specialization().variant();
            kernels.push(KernelResult {
                name: label.clone(),
                kernel: kernel.name().into(),
                variant,
                ..KernelResult::default()
            });
            work_of.push(Work::default());
            kernels.len() - 1
        });
        let row = &mut kernels[index];
        row.count += 1;
        row.median_ms += ms;
        work_of[index].flops += work.flops;
        work_of[index].bytes += work.bytes;
    }
    for (row, work) in kernels.iter_mut().zip(work_of) {
        let seconds = (row.median_ms / 1e3).max(1e-9);
        let rate = |count: u64| (count > 0).then(|| count as f64 / 1e9 / seconds);
        (row.gflops, row.gbytes_per_s) = (rate(work.flops), rate(work.bytes));
        let shares = [
            row.gflops.map(|rate| rate / peaks.product_gflops),
            row.gbytes_per_s.map(|rate| rate / peaks.copy_gbytes_per_s),
        ];
        row.peak_share = shares.into_iter().flatten().reduce(f64::max);
    }
    kernels.sort_by(|a, b| b.median_ms.total_cmp(&a.median_ms));
    kernels
}
