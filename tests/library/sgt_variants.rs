//! The variants of Saliency Guided Training: what a step masks is what its table entry says, and
//! whole runs follow the rules.

use std::path::Path;

use saliq::{
    batch::{Batch, GatherOptions, ResidentData},
    config::{NetworkConfig, QuantizationConfig, RunConfig, SgtConfig},
    data::{self, Dataset},
    gpu::Recording,
    kernels::Scalar,
    layout::StepRecord,
    nn::{Gradients, Network, NetworkOptions, Optimizer},
    reference::select_lowest::select_lowest,
    sgt::{Masking, Metrics, StepInputs, StepOptions, TrainingStep, record_saliency_seed},
    train::{Outcome, Start, Trainer},
};

use crate::{
    common::{Silent, assert_close, gpu, read},
    support::{MNIST, NORMALIZATION, SMALL_NETWORK, run_config},
};

const IMAGES: u32 = 6;
const PIXELS: usize = 784;

fn mini() -> Dataset {
    data::load("mnist-mini", None).unwrap()
}

/// A recorded step over the first images of the digits, with the update left out of account: the
/// rate is 0.
struct Steps {
    network: Network,
    batch: Batch,
    masking: Masking,
    metrics: Metrics,
    step: TrainingStep,
    data: ResidentData,
}

/// What one step left behind.
struct Left {
    /// Σce, Σkl, Σcorrect, images.
    sums: [f32; 4],
    gradients: Vec<f32>,
    mask: Vec<u32>,
}

impl Steps {
    fn new(network: &NetworkConfig, sgt: &SgtConfig) -> Steps {
        let dataset = mini();
        let mut split = dataset.train.clone();
        split.truncate(IMAGES as usize, MNIST);
        let data = ResidentData::new(gpu(), &split, MNIST).unwrap();
        let quantization = QuantizationConfig::default();
        let options = NetworkOptions {
            slots: 2 * IMAGES,
            training: true,
            gradients: true,
            ..NetworkOptions::default()
        };
        let built = Network::new(gpu(), network, &quantization, options).unwrap();
        gpu().write(
            built.parameters(),
            0,
            &built.graph.layout.initialize(3, saliq::config::WeightInit::KaimingUniform),
        );
        let batch = Batch::new(gpu(), IMAGES, sgt.enabled, 1).unwrap();
        let masking =
            Masking::new(gpu(), MNIST, IMAGES, sgt.mask_ratio, sgt.mask_rank, sgt.mask_fill)
                .unwrap();
        let metrics = Metrics::new(gpu(), IMAGES, 1).unwrap();
        let optimizer = Optimizer::new(gpu(), &built, &Default::default(), &quantization).unwrap();
        let gather = GatherOptions::in_file_order(NORMALIZATION);
        let options = StepOptions::new(sgt, gather, &built.graph);
        let used = sgt.enabled.then_some(&masking);
        let inputs = StepInputs {
            network: &built,
            data: &data,
            batch: &batch,
            masking: used,
            class_weights: None,
            teaching: None,
            metrics: &metrics,
            optimizer: &optimizer,
        };
        let step = TrainingStep::record(gpu(), &inputs, &options).unwrap();
        Steps { network: built, batch, masking, metrics, step, data }
    }

    fn record(unmasked: u32, mask_highest: u32) -> StepRecord {
        StepRecord {
            step: 1,
            count: IMAGES,
            batch: IMAGES,
            epoch_images: IMAGES,
            unmasked,
            mask_highest,
            seed_low: 5,
            ..StepRecord::default()
        }
    }

    fn run(&self, record: StepRecord) -> Left {
        self.batch.write_table(gpu(), &[record]);
        self.step.submit(gpu(), 1).unwrap();
        Left {
            sums: read::<[f32; 4]>(&self.metrics.sums, 1)[0],
            gradients: read(self.network.gradients(), self.network.graph.layout.length as usize),
            mask: read(&self.masking.mask, IMAGES as usize * PIXELS),
        }
    }

    /// ∂ log softmax(f(X))[y] / ∂X, computed apart.
    fn saliency(&self) -> Vec<f32> {
        let mut recording = Recording::new();
        self.batch.record_begin(gpu(), &mut recording).unwrap();
        let gather = GatherOptions::in_file_order(NORMALIZATION);
        self.batch
            .record_gather(gpu(), &mut recording, &self.data, &gather, self.network.input())
            .unwrap();
        self.network.record_forward(gpu(), &mut recording, self.batch.clean(), None).unwrap();
        let (clean, labels) = (self.batch.clean(), &self.batch.labels);
        record_saliency_seed(
            gpu(),
            &mut recording,
            &self.network,
            clean,
            labels,
            Scalar::LogSoftmaxLabel,
        )
        .unwrap();
        let gradient = self
            .network
            .record_backward(gpu(), &mut recording, clean, None, Gradients::Input)
            .unwrap();
        self.batch.write_table(gpu(), &[Steps::record(0, 0)]);
        recording.submit(gpu()).unwrap();
        read(gradient.buffer(), IMAGES as usize * PIXELS * 4)
    }
}

fn network(dropout: bool) -> NetworkConfig {
    let text = if dropout {
        SMALL_NETWORK.replace(
            "{ type = \"linear\"",
            "{ type = \"dropout\", rate = 0.5 },\n{ type = \"linear\"",
        )
    } else {
        SMALL_NETWORK.to_string()
    };
    run_config(&text, &mini(), Path::new("nowhere")).network
}

fn exact(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| f64::from(value)).collect()
}

#[test]
fn a_step_masks_what_its_entry_says() {
    let steps = Steps::new(&network(false), &SgtConfig { mask_ratio: 0.3, ..SgtConfig::default() });
    let k = (0.3 * PIXELS as f64) as usize;
    let lowest = steps.run(Steps::record(0, 0));
    let highest = steps.run(Steps::record(0, 1));
    let saliency = steps.saliency();
    assert_eq!(lowest.mask, select_lowest(&saliency, PIXELS, 1, k, false, false));
    assert_eq!(highest.mask, select_lowest(&saliency, PIXELS, 1, k, false, true));
    // Most of it: equal gradients (0 at the border) may be in both.
    let common = lowest.mask.iter().zip(&highest.mask).filter(|(a, b)| **a + **b == 2).count();
    assert!(
        common * 10 < k * IMAGES as usize,
        "{common} features are both among the lowest and the highest"
    );
    assert!(lowest.sums[1] > 0.0 && highest.sums[1] > 0.0 && lowest.sums[1] != highest.sums[1]);
}

#[test]
fn images_without_a_masked_twin_have_no_part_in_the_divergence() {
    let sgt = SgtConfig::default();
    for dropout in [false, true] {
        let network = network(dropout);
        let steps = Steps::new(&network, &sgt);
        let plain = Steps::new(&network, &SgtConfig { enabled: false, ..sgt.clone() })
            .run(Steps::record(0, 0));
        let warmup = steps.run(Steps::record(IMAGES, 0));
        assert_eq!(warmup.sums[1], 0.0);
        assert_eq!(
            warmup.sums, plain.sums,
            "dropout {dropout}: without masks a step is one of plain training"
        );
        assert_close("gradient", &warmup.gradients, &exact(&plain.gradients), 1e-6);

        // The first images alone, as a part of the batch: their divergence is the whole batch's.
        let some = steps.run(Steps::record(IMAGES - 2, 0));
        let first = steps.run(StepRecord { count: 2, ..Steps::record(0, 0) });
        assert!(some.sums[1] > 0.0);
        assert_eq!(some.mask[..2 * PIXELS], first.mask[..2 * PIXELS]);
        let all = steps.run(Steps::record(0, 0));
        assert_eq!(some.sums[0], all.sums[0], "the cross entropy is of all images");
        if !dropout {
            assert_eq!(some.sums[1], first.sums[1]);
            // L is a sum over images: the gradient of 2 masked ones among 6 is the plain one of 6,
            // plus what masking adds to those 2.
            let bare = steps.run(StepRecord { count: 2, ..Steps::record(2, 0) });
            let expected: Vec<f64> = exact(&plain.gradients)
                .iter()
                .zip(exact(&first.gradients).iter().zip(exact(&bare.gradients)))
                .map(|(plain, (first, bare))| plain + first - bare)
                .collect();
            assert_close("gradient", &some.gradients, &expected, 1e-5);
        }
    }
}

struct Run {
    config: RunConfig,
    outcome: Outcome,
    model: Vec<u8>,
    metrics: String,
}

/// 48 images in batches of 16: three steps an epoch.
fn train_in(folder: &Path, settings: &str, start: Start, most: u32) -> Run {
    let dataset = mini();
    let settings = format!(
        "train-limit = 48\ntest-limit = 20\nbatch-size = 16\nlr = 0.05\n{settings}{SMALL_NETWORK}"
    );
    let config = run_config(&settings, &dataset, folder);
    let mut trainer = Trainer::in_parts(gpu(), &config, &dataset, most).unwrap();
    let outcome = pollster::block_on(trainer.run(start, &mut Silent)).unwrap();
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    Run {
        config,
        outcome,
        model: read("model.safetensors"),
        metrics: String::from_utf8(read("metrics.jsonl")).unwrap(),
    }
}

fn train(settings: &str) -> Run {
    train_in(tempfile::tempdir().unwrap().path(), settings, Start::New, u32::MAX)
}

impl Run {
    fn divergences(&self) -> Vec<f64> {
        self.outcome.steps.iter().map(|line| line.kl).collect()
    }

    fn step_lines(&self) -> Vec<&str> {
        self.metrics.lines().filter(|line| line.contains("\"kind\":\"step\"")).collect()
    }
}

#[test]
fn hlgm_warms_up_without_masks() {
    let run = train("sgt-variant = \"hlgm\"\nsteps = 6\n");
    assert_eq!(run.config.sgt.warmup_epochs, 1);
    let divergences = run.divergences();
    assert!(
        divergences[..3].iter().all(|&kl| kl == 0.0) && divergences[3..].iter().all(|&kl| kl > 0.0),
        "{divergences:?}"
    );
    // The warm-up is plain training, to the bit; after it the odd steps are Algorithm 1's, the even
    // ones are not.
    let plain = train("sgt = false\nsteps = 3\n");
    assert_eq!(
        run.outcome.steps[..3].iter().map(|line| line.ce).collect::<Vec<_>>(),
        plain.outcome.steps.iter().map(|line| line.ce).collect::<Vec<_>>()
    );
    let standard = train("sgt-warmup-epochs = 1\nsteps = 6\n").divergences();
    assert_eq!(divergences[..4], standard[..4]);
    assert_ne!(divergences[4], standard[4]);
}

#[test]
fn smoot_follows_the_loss() {
    let run = train("sgt-variant = \"smoot\"\nsteps = 15\n");
    let shares: Vec<f64> =
        run.outcome.epochs.iter().map(|line| line.masked_share.unwrap()).collect();
    let losses: Vec<f64> = run.outcome.epochs.iter().map(|line| line.train_ce).collect();
    let mut expected = vec![0.5f64, 0.5];
    for pair in losses[..4].windows(2) {
        let change = if pair[1] <= pair[0] { 0.125 } else { -0.125 };
        expected.push(f64::clamp(expected[expected.len() - 1] + change, 0.125, 1.0));
    }
    assert_eq!(shares, expected, "{losses:?}");
    assert!(shares.iter().any(|&share| share != 0.5), "{losses:?}");
    let standard = train("steps = 1\n").divergences()[0];
    assert!(run.divergences()[0] > 0.0 && run.divergences()[0] < standard);
}

#[test]
fn variants_repeat_resume_and_do_not_depend_on_parts() {
    for variant in ["hlgm", "smoot"] {
        let settings = |steps: u32| {
            format!("sgt-variant = \"{variant}\"\noptimizer = \"momentum\"\nsteps = {steps}\n")
        };
        let whole = train(&settings(12));
        assert!(
            train(&settings(12)).model == whole.model,
            "{variant}: the same seed gave another model"
        );
        let folder = tempfile::tempdir().unwrap();
        // Stopped within the third epoch and at the end of it.
        train_in(folder.path(), &settings(8), Start::New, u32::MAX);
        train_in(folder.path(), &settings(9), Start::Resume, u32::MAX);
        let resumed = train_in(folder.path(), &settings(12), Start::Resume, u32::MAX);
        assert!(resumed.model == whole.model, "{variant}: the resumed run gave another model");
        assert_eq!(resumed.step_lines(), whole.step_lines(), "{variant}");
        let parts = train_in(tempfile::tempdir().unwrap().path(), &settings(12), Start::New, 5);
        for (whole, parts) in whole.outcome.steps.iter().zip(&parts.outcome.steps) {
            for (whole, parts) in [(whole.ce, parts.ce), (whole.kl, parts.kl)] {
                assert!(
                    (whole - parts).abs() <= 1e-4 * whole.max(0.1),
                    "{variant}: {whole} and {parts}"
                );
            }
        }
    }
}
