//! A long run on a small scale: memory of the host and of the device does not grow, nor does the
//! number of unfinished submissions. Nothing else may run in this process, because its memory is
//! measured.

mod common;
mod support;

use saliq::{
    data,
    gpu::{Gpu, GpuOptions},
    train::{Observer, Start, StepLine, Trainer},
};
use support::{run_config, soak_number};

/// The smallest network with every feature: quantized, with batch norm, masked images and momentum.
/// 250 steps per epoch.
const TINY: &str = r#"
train-limit = 1000
test-limit = 4
batch-size = 4
lr = 0.01
bits = "4"
optimizer = "momentum"
checkpoint-every = 100
[network]
layers = [
    { type = "conv", name = "conv1", out-channels = 4, kernel = 5, stride = 5 },
    { type = "batch-norm", name = "bn1" },
    { type = "activation", name = "act1" },
    { type = "linear", name = "fc1", out-features = 10 },
]
"#;

/// Memory of the process and of the device at one moment.
#[derive(Clone, Copy, Debug)]
struct Sample {
    step: u64,
    /// Resident memory of the process.
    resident: u64,
    /// Memory in buffers of the step.
    allocated: u64,
    /// Memory reserved by the driver's allocator.
    reserved: u64,
}

struct Watch<'a> {
    gpu: &'a Gpu,
    every: u64,
    samples: Vec<Sample>,
    in_flight: usize,
}

impl Observer for Watch<'_> {
    fn step(&mut self, line: &StepLine, _: f64) {
        self.in_flight = self.in_flight.max(self.gpu.submissions_in_flight());
        if line.step.is_multiple_of(self.every) {
            self.samples.push(Sample {
                step: line.step,
                resident: resident_bytes(),
                allocated: self.gpu.allocated_bytes(),
                reserved: self.gpu.reserved_bytes().unwrap_or(0),
            });
        }
    }

    fn note(&mut self, text: &str) {
        panic!("{text}");
    }
}

/// VmRSS; 0 if the system does not report it.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0 kB");
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) * 1024
}

/// Slope of the least-squares line, in bytes per step.
fn slope(samples: &[Sample], value: impl Fn(&Sample) -> u64) -> f64 {
    let mean =
        |f: &dyn Fn(&Sample) -> f64| samples.iter().map(f).sum::<f64>() / samples.len() as f64;
    let (x, y) = (mean(&|sample| sample.step as f64), mean(&|sample| value(sample) as f64));
    let covariance = mean(&|sample| (sample.step as f64 - x) * (value(sample) as f64 - y));
    covariance / mean(&|sample| (sample.step as f64 - x).powi(2))
}

/// Trains for `steps` and asserts that memory grows by at most `bytes_a_step` per step after the
/// first fifth.
fn assert_flat(steps: u64, bytes_a_step: f64) {
    let gpu = pollster::block_on(Gpu::new(&GpuOptions::default()))
        .unwrap_or_else(|error| panic!("{error}"));
    let folder = tempfile::tempdir().unwrap();
    let dataset = data::load("mnist-mini", None).unwrap();
    let config =
        run_config(&format!("steps = {steps}\n{TINY}"), &dataset, &folder.path().join("run"));
    let mut trainer = Trainer::new(&gpu, &config, &dataset).unwrap();
    let mut watch =
        Watch { gpu: &gpu, every: (steps / 200).max(1), samples: Vec::new(), in_flight: 0 };
    let outcome = pollster::block_on(trainer.run(Start::New, &mut watch)).unwrap();
    assert!(outcome.evaluation.loss.is_finite());
    assert_eq!(outcome.steps.last().map(|line| line.step), Some(steps));
    let settled = &watch.samples[watch.samples.len() / 5..];
    let grown =
        [slope(settled, |sample| sample.resident), slope(settled, |sample| sample.reserved)];
    let [first, last] = [settled[0], settled[settled.len() - 1]];
    println!(
        "{steps} steps: host {:.2} bytes a step ({} -> {} kB), device {:.2} bytes a step ({} kB \
         reserved), at most {} submissions in flight",
        grown[0],
        first.resident / 1024,
        last.resident / 1024,
        grown[1],
        last.reserved / 1024,
        watch.in_flight
    );
    assert!(cfg!(not(target_os = "linux")) || first.resident > 0);
    assert!(
        settled.iter().all(|sample| sample.allocated == first.allocated),
        "buffers: {first:?} {last:?}"
    );
    assert!(
        grown.iter().all(|slope| *slope <= bytes_a_step),
        "{grown:?} bytes a step: {first:?} {last:?}"
    );
    assert!(watch.in_flight <= 4, "{} submissions in flight", watch.in_flight);
}

/// A leak of a staging buffer, a bind group or a line per step would be larger than this.
#[test]
fn memory_is_flat_over_a_thousand_steps() {
    assert_flat(1500, 1024.0);
}

/// `make soak`; `SALIQ_SOAK_STEPS` sets another number of steps.
#[test]
#[ignore = "minutes: make soak"]
fn memory_is_flat_over_a_hundred_thousand_steps() {
    assert_flat(soak_number("SALIQ_SOAK_STEPS", 100_000), 40.0);
}
