//! Faults of a run's device and numbers: the device is lost, memory is small, a number is not
//! finite. The run continues to the same result, or stops with the last good state saved. (Faults
//! of its process and files: `faults.rs`.)

mod common;
mod support;

use std::path::Path;

use saliq::{
    Error,
    batch::{Batch, GatherOptions, ResidentData},
    config::{OnNonFinite, PixelNormalization, RunConfig},
    gpu::Gpu,
    layout::StepRecord,
    nn::{Network, NetworkOptions, Optimizer},
    sgt::{Cause, Masking, Metrics, StepInputs, StepOptions, TrainingStep},
    train::{Observer, Outcome, Start, StepLine, Trainer},
};
use support::{SMALL_NETWORK, Tensors, metric_lines, mini, run_config, run_result};

/// A small quantized run: 24 steps, 4 per epoch, with some checkpoints.
const SETTINGS: &str = "train-limit = 32\n\
                        test-limit = 8\n\
                        batch-size = 8\n\
                        steps = 24\n\
                        lr = 0.05\n\
                        bits = \"4,2\"\noptimizer = \"momentum\"\ncheckpoint-every = 5\n";

/// Records messages, and runs a function after a step.
struct Disturber<F: FnMut(u64)> {
    notes: Vec<String>,
    after: F,
}

impl<F: FnMut(u64)> Observer for Disturber<F> {
    fn step(&mut self, line: &StepLine, _: f64) {
        (self.after)(line.step);
    }

    fn note(&mut self, text: &str) {
        self.notes.push(text.into());
    }
}

/// Trains in `out` on `gpu`; returns the messages and the result.
fn train_on(
    gpu: &Gpu,
    settings: &str,
    out: &Path,
    after: impl FnMut(u64),
) -> (Vec<String>, Result<Outcome, Error>) {
    let config = run_config(&format!("{settings}{SMALL_NETWORK}"), mini(), out);
    let mut observer = Disturber { notes: Vec::new(), after };
    let result = Trainer::new(gpu, &config, mini())
        .and_then(|mut trainer| pollster::block_on(trainer.run(Start::New, &mut observer)));
    (observer.notes, result)
}

/// The device is lost during a step, before the first checkpoint or later: training continues on
/// another device from the last checkpoint, with the same result.
#[test]
fn a_lost_device() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole");
    let expected = train_on(&common::own_gpu(), SETTINGS, &whole, |_| {}).1.unwrap();
    for lost_after in [1, 9, 22] {
        let gpu = common::own_gpu();
        let out = folder.path().join(lost_after.to_string());
        let mut lost = false;
        let (notes, outcome) = train_on(&gpu, SETTINGS, &out, |step| {
            if step >= lost_after && !lost {
                lost = true;
                gpu.destroy();
            }
        });
        let outcome = outcome.unwrap();
        assert!(lost && notes.len() == 1 && notes[0].contains("device was lost"), "{notes:?}");
        assert!(
            run_result(&out) == run_result(&whole),
            "lost after step {lost_after}: another result"
        );
        assert_eq!(outcome.steps, expected.steps, "lost after step {lost_after}");
        assert_eq!(outcome.epochs.len(), expected.epochs.len());
        assert!(matches!(gpu.check(), Err(Error::DeviceLost(_))));
    }
}

/// A batch that does not fit the memory is cut until it fits, with the same result up to the order
/// of sums; otherwise the error says which setting to lower.
#[test]
fn little_memory() {
    let settings = "train-limit = 128\n\
                    test-limit = 8\nbatch-size = 64\nsteps = 4\nlr = 0.05\nmask-fill = \"zero\"\n";
    let folder = tempfile::tempdir().unwrap();
    let gpu = common::own_gpu();
    let whole = folder.path().join("whole");
    train_on(&gpu, settings, &whole, |_| {}).1.unwrap();
    let parameters = |out: &Path| {
        let tensors = Tensors::open(&out.join("model.safetensors"));
        tensors.contents().iter().flat_map(|(name, ..)| tensors.f32(name)).collect::<Vec<_>>()
    };
    let expected: Vec<f64> = parameters(&whole).into_iter().map(f64::from).collect();
    // The memory is enough for the batch, but not for the staging buffer of checkpoints too.
    for (number, share) in [1, 2, 4].into_iter().enumerate() {
        let small = common::own_gpu();
        small.limit_memory(gpu.peak_bytes() / share);
        let out = folder.path().join(number.to_string());
        let (notes, outcome) = train_on(&small, settings, &out, |_| {});
        outcome.unwrap();
        assert!(small.peak_bytes() <= gpu.peak_bytes() / share);
        assert!(notes.len() == 1 && notes[0].contains("in parts of"), "{notes:?}");
        common::assert_close("parameters", &parameters(&out), &expected, 1e-6);
    }
    let refused = |bytes: u64, settings: &str| {
        let small = common::own_gpu();
        small.limit_memory(bytes);
        let (_, outcome) = train_on(&small, settings, &folder.path().join("refused"), |_| {});
        let error = outcome.unwrap_err();
        assert!(matches!(error, Error::OutOfMemory(_)), "{error}");
        error.to_string()
    };
    let message = refused(120_000, settings);
    assert!(
        message.contains("asked for")
            && message.contains("bytes")
            && message.contains("train-limit"),
        "{message}"
    );
    let normalized = format!("{settings}batch-norm = true\n");
    let config = run_config(&normalized, mini(), folder.path());
    let small = common::own_gpu();
    small.limit_memory(4_000_000);
    let error = Trainer::new(&small, &config, mini()).err().unwrap().to_string();
    assert!(error.contains("batch norm") && error.contains("batch-size"), "{error}");
}

/// A network, its step and its batches, with verdicts on every step.
struct Judged {
    network: Network,
    batch: Batch,
    metrics: Metrics,
    optimizer: Optimizer,
    step: TrainingStep,
    _data: ResidentData,
}

impl Judged {
    fn new(policy: OnNonFinite, settings: &str) -> Judged {
        let config = run_config(
            &format!("optimizer = \"momentum\"\n{settings}"),
            mini(),
            Path::new("nowhere"),
        );
        let mut split = mini().train.clone();
        split.truncate(16, mini().shape);
        let data = ResidentData::new(common::gpu(), &split, mini().shape).unwrap();
        let options = NetworkOptions {
            slots: 8,
            training: true,
            gradients: true,
            ..NetworkOptions::default()
        };
        let network =
            Network::new(common::gpu(), &config.network, &config.quantization, options).unwrap();
        let batch = Batch::in_chunks(common::gpu(), 4, true, 4, network.chunk()).unwrap();
        let sgt = &config.sgt;
        let masking = Masking::new(
            common::gpu(),
            mini().shape,
            4,
            sgt.mask_ratio,
            sgt.mask_rank,
            sgt.mask_fill,
        )
        .unwrap();
        let metrics = Metrics::new(common::gpu(), 4, 4).unwrap();
        let optimizer =
            Optimizer::new(common::gpu(), &network, &config.optimizer, &config.quantization)
                .unwrap();
        let gather = GatherOptions {
            shuffle: true,
            augment: Vec::new(),
            normalization: PixelNormalization::uniform(0.13, 0.31),
        };
        let options =
            StepOptions { on_non_finite: policy, ..StepOptions::new(sgt, gather, &network.graph) };
        let inputs = StepInputs {
            network: &network,
            data: &data,
            batch: &batch,
            masking: Some(&masking),
            class_weights: None,
            teaching: None,
            metrics: &metrics,
            optimizer: &optimizer,
        };
        let step = TrainingStep::record(common::gpu(), &inputs, &options).unwrap();
        optimizer.begin(
            common::gpu(),
            &network,
            &network.graph.layout.initialize(3, config.weight_init),
            1.0,
        );
        Judged { network, batch, metrics, optimizer, step, _data: data }
    }

    /// Runs step `number` (1 to 4) at `rate`; returns the verdict.
    fn take(&self, number: u32, rate: f32) -> [u32; 2] {
        let record = StepRecord {
            step: number,
            position: 4 * (number - 1),
            count: 4,
            batch: 4,
            log_slot: number - 1,
            epoch_images: 16,
            learning_rate: rate,
            momentum: 0.9,
            ..StepRecord::default()
        };
        self.batch.write_table(common::gpu(), &[record]);
        self.step.submit(common::gpu(), 1).unwrap();
        common::read::<[u32; 2]>(&self.metrics.verdicts, 4)[number as usize - 1]
    }

    fn parameters(&self) -> Vec<f32> {
        common::read(self.network.parameters(), self.network.graph.layout.padded_length() as usize)
    }

    /// Parameters with running statistics, and the optimiser's state, as bits.
    fn state(&self) -> Vec<u32> {
        let state = common::read::<f32>(
            &self.optimizer.states[0],
            self.network.graph.layout.length as usize,
        );
        self.parameters().into_iter().chain(state).map(f32::to_bits).collect()
    }

    /// Runs step `number` with one parameter set to `bad` during the step.
    fn take_with(&self, number: u32, name: &str, bad: f32) -> [u32; 2] {
        let good = self.parameters();
        let place = self.network.graph.layout.find(name).unwrap().offset as usize;
        let mut harmed = good.clone();
        harmed[place] = bad;
        common::gpu().write(self.network.parameters(), 0, &harmed);
        let verdict = self.take(number, 0.05);
        let left = self.parameters();
        assert_eq!(
            left.iter().filter(|value| !value.is_finite()).count(),
            1,
            "{name}: the harm has spread"
        );
        common::gpu().write(self.network.parameters(), 0, &good);
        let mut expected = good;
        expected[place] = bad;
        let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&left), bits(&expected), "{name}: an update was made");
        verdict
    }
}

const WITH_NORM: &str = "bits = \"4,4\"\n[network]\nlayers = [
    { type = \"conv\", name = \"conv1\", out-channels = 4, kernel = 5, stride = 4 }, \
    { type = \"batch-norm\", name = \"bn1\" },
    { type = \"activation\", name = \"act1\" }, \
    { type = \"linear\", name = \"fc1\", out-features = 10 } ]\n";

/// NaN in a weight, in an α, or an infinite rate is found within the step on the device. The update
/// is not made, and later steps are as if this step had not happened.
#[test]
fn steps_that_do_not_count() {
    for settings in [SMALL_NETWORK, WITH_NORM] {
        let undisturbed = Judged::new(OnNonFinite::Skip, settings);
        assert_eq!([1, 2, 4].map(|number| undisturbed.take(number, 0.05)), [[0, u32::MAX]; 3]);
        let expected = undisturbed.state();

        let skip = Judged::new(OnNonFinite::Skip, settings);
        let layout = &skip.network.graph.layout;
        skip.take(1, 0.05);
        skip.take(2, 0.05);
        let before = skip.state();
        for bad in [f32::NAN, f32::INFINITY] {
            for name in ["conv1.weight", "fc1.bias"] {
                let [cause, _] = skip.take_with(3, name, bad);
                assert!(
                    Cause::of([cause, 0]).is_some_and(|cause| cause != Cause::Halted),
                    "{name} {bad}: {cause}"
                );
            }
        }
        assert_eq!(skip.take(3, f32::INFINITY)[0], Cause::Update as u32);
        assert_eq!(skip.state(), before, "a step that does not count left a trace");
        if let Some(alpha) = layout.find("act1.alpha") {
            let [cause, index] = skip.take_with(3, "act1.alpha", f32::NAN);
            assert_ne!(cause, 0);
            assert!(index == u32::MAX || index <= alpha.offset, "{index}");
        }
        assert_eq!(skip.take(4, 0.05), [0, u32::MAX]);
        assert!(skip.state() == expected, "another result than without the bad steps");

        // The rate is halved once for each bad step, for all later steps.
        let lower = Judged::new(OnNonFinite::LowerLr, settings);
        lower.take(1, 0.05);
        lower.take_with(2, "conv1.weight", f32::NAN);
        lower.take(2, 0.1);
        assert_ne!(lower.take(3, f32::INFINITY)[0], 0);
        lower.take(4, 0.2);
        assert!(lower.state() == expected, "the rate was not halved");

        // After a stop nothing changes any more, not even by good steps.
        let stop = Judged::new(OnNonFinite::Stop, settings);
        stop.take(1, 0.05);
        let before = stop.state();
        assert_ne!(stop.take_with(2, "conv1.weight", f32::NAN)[0], 0);
        assert_eq!([2, 3, 4].map(|number| stop.take(number, 0.05)[0]), [Cause::Halted as u32; 3]);
        assert!(stop.state() == before, "a step after the end was made");
    }
}

/// From the user's view: the update of an α overflows.
#[test]
fn numbers_that_end() {
    let folder = tempfile::tempdir().unwrap();
    let settings = |policy: &str, steps: u32| {
        format!(
            "train-limit = 32\n\
             test-limit = 8\n\
             batch-size = 8\n\
             steps = {steps}\n\
             lr = 2\nbits = \"4,2\"\nalpha-lr-factor = 3e38\non-non-finite = \"{policy}\"\n"
        )
    };
    let train = |name: &str, policy: &str, steps: u32| {
        let out = folder.path().join(name);
        let (notes, outcome) = train_on(common::gpu(), &settings(policy, steps), &out, |_| {});
        (out, notes, outcome.map_err(|error| error.to_string()))
    };
    // Before the first step that counts there is no checkpoint to save.
    let (out, _, outcome) = train("stop", "stop", 6);
    let message = outcome.unwrap_err();
    assert!(
        message.contains("step 1: the update of act1.alpha") && message.contains("lower lr"),
        "{message}"
    );
    assert!(!out.join("model.safetensors").exists());

    let (_, notes, outcome) = train("skip", "skip", 50);
    let message = outcome.unwrap_err();
    assert!(
        message.contains("step 32: ")
            && message.contains("act1.alpha")
            && message.contains("in a row"),
        "{message}"
    );
    assert_eq!(notes.len(), 32);

    let (whole, notes, outcome) = train("lower", "lower-lr", 6);
    let outcome = outcome.unwrap();
    assert!(notes[0].contains("step 1 was skipped") && notes[0].contains("halved"), "{notes:?}");
    let mut rate = 2.0;
    let mut skipped = Vec::new();
    for line in metric_lines(&whole) {
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        if value["kind"] != "epoch" {
            assert_eq!(value["lr"], rate, "{line}");
        }
        if value["kind"] == "skipped" {
            rate /= 2.0;
            skipped.push(value);
        }
    }
    assert_eq!([skipped.len(), outcome.steps.len()], [notes.len(), 6 - notes.len()]);
    assert!(
        skipped[0]["step"] == 1 && skipped[0]["reason"].as_str().unwrap().contains("act1.alpha"),
        "{skipped:?}"
    );

    // The halved rate is part of a run's state.
    let out = folder.path().join("stopped");
    let short = settings("lower-lr", 3);
    train_on(common::gpu(), &short, &out, |_| {}).1.unwrap();
    let config = run_config(&format!("{}{SMALL_NETWORK}", settings("lower-lr", 6)), mini(), &out);
    let mut trainer = Trainer::new(common::gpu(), &config, mini()).unwrap();
    pollster::block_on(
        trainer.run(Start::Resume, &mut Disturber { notes: Vec::new(), after: |_| {} }),
    )
    .unwrap();
    assert_eq!(
        std::fs::read(out.join("model.safetensors")).unwrap(),
        std::fs::read(whole.join("model.safetensors")).unwrap()
    );
    let steps = |out: &Path| {
        metric_lines(out)
            .into_iter()
            .filter(|line| !line.contains("\"kind\":\"epoch\""))
            .collect::<Vec<_>>()
    };
    assert_eq!(steps(&out), steps(&whole));
}

/// An α at its lower bound, or a ReLU network whose gradients a huge rate made 0: the run
/// continues, and one message names the parameters that no longer learn.
#[test]
fn what_no_longer_learns_is_said_once() {
    let folder = tempfile::tempdir().unwrap();
    let common = "train-limit = 32\ntest-limit = 16\nbatch-size = 8\nsgt = false\n";
    let train = |name: &str, settings: &str| {
        let out = folder.path().join(name);
        let (notes, outcome) =
            train_on(common::gpu(), &format!("{common}{settings}"), &out, |_| {});
        outcome.unwrap();
        let lines: Vec<serde_json::Value> =
            metric_lines(&out).iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        (notes, lines.into_iter().filter(|line| line["kind"] == "epoch").collect::<Vec<_>>())
    };
    let (notes, epochs) =
        train("floor", "epochs = 3\nlr = 0.05\nbits = \"4,2\"\nalpha-decay = 1e6\n");
    let floors: Vec<_> = notes.iter().filter(|note| note.contains("floor")).collect();
    assert!(
        floors.len() == 1
            && floors[0]
                .starts_with("warning: epoch 1: act1.alpha, act2.alpha are at their floors"),
        "{notes:?}"
    );
    assert!(
        epochs
            .iter()
            .all(|line| line["at_floor"] == serde_json::json!(["act1.alpha", "act2.alpha"])),
        "{epochs:?}"
    );

    let (notes, epochs) = train("dead", "epochs = 5\nlr = 2\n");
    assert!(
        notes.len() == 1 && notes[0].contains("conv1, conv2: every gradient was exactly 0"),
        "{notes:?}"
    );
    assert!(
        notes[0].contains("a lower lr") && epochs.iter().all(|line| line["at_floor"].is_null()),
        "{epochs:?}"
    );

    let (notes, _) = train("alive", "epochs = 3\nlr = 0.05\nbits = \"4,2\"\n");
    assert!(notes.is_empty(), "{notes:?}");
}

/// A run that stopped on such a step has saved the state before it and can continue from there with
/// another policy.
#[test]
fn the_last_good_state_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let settings = "train-limit = 96\ntest-limit = 8\nbatch-size = 8\nsteps = 12\nlr = 1e30\n";
    let error = train_on(common::gpu(), settings, &out, |_| {}).1.unwrap_err().to_string();
    assert!(error.contains("step 2: ") && error.contains("checkpoint.safetensors"), "{error}");
    let tensors = Tensors::open(&out.join("checkpoint.safetensors"));
    let config =
        run_config(&format!("{settings}{SMALL_NETWORK}"), mini(), &folder.path().join("one"));
    let one = RunConfig { steps: Some(1), ..config };
    let mut trainer = Trainer::new(common::gpu(), &one, mini()).unwrap();
    pollster::block_on(
        trainer.run(Start::New, &mut Disturber { notes: Vec::new(), after: |_| {} }),
    )
    .unwrap();
    let after_one = pollster::block_on(trainer.parameters()).unwrap();
    assert!(tensors.f32("parameters") == after_one, "not the state before the step");
    assert_eq!(metric_lines(&out).len(), 1, "the line of the step that counted");
}
