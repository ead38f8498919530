//! Training as a whole: one seed gives one result, runs go on where they stopped, a step touches
//! nothing but the GPU, every setting runs, and what is written is what PyTorch reads.

use std::path::{Path, PathBuf};

use safetensors::Dtype;
use saliq::{
    batch::{Batch, GatherOptions, ResidentData},
    config::{NetworkConfig, QuantizationConfig, RunConfig, SgtConfig, Shape},
    data::Split,
    gpu::{Abilities, Command, Gpu, GpuOptions, Recording},
    layout::StepRecord,
    nn::{Network, NetworkOptions, Optimizer},
    sgt::{Masking, Metrics, StepInputs, StepOptions, TrainingStep},
    train::{Observer, Outcome, Start, StepLine, Trainer},
};

use crate::{
    common::{assert_close, gpu},
    support::{
        MNIST, NORMALIZATION, SMALL_NETWORK, Tensors, colored, failure, golden, json, mini,
        refused, run, run_config, run_result, saliq, text, write_folder,
    },
};

/// What a run says while it goes on.
#[derive(Default)]
struct Notes(Vec<String>);

impl Observer for Notes {
    fn note(&mut self, text: &str) {
        self.0.push(text.into());
    }
}

/// A finished run.
struct Run {
    config: RunConfig,
    outcome: Outcome,
    model: Vec<u8>,
    metrics: String,
    parameters: Vec<f32>,
    initial: Vec<f32>,
    notes: Vec<String>,
}

impl Run {
    /// The step lines of `metrics.jsonl`.
    fn step_lines(&self) -> Vec<&str> {
        self.metrics.lines().filter(|line| line.contains("\"kind\":\"step\"")).collect()
    }

    /// Every line and parameter a finite number.
    #[track_caller]
    fn assert_finite(&self, what: &str) {
        for StepLine { step, loss, ce, kl, accuracy, lr, .. } in &self.outcome.steps {
            let numbers = [loss, ce, kl, accuracy, lr];
            assert!(
                numbers.iter().all(|number| number.is_finite() && **number >= -1e-5),
                "{what}: step {step}: {numbers:?}"
            );
        }
        assert!(self.parameters.iter().all(|value| value.is_finite()), "{what}");
        assert!(self.outcome.evaluation.loss.is_finite(), "{what}");
    }
}

/// Trains on the built-in digits in `folder`, in parts of at most `most` images.
fn train_in(folder: &Path, settings: &str, start: Start, most: u32) -> Run {
    let config = run_config(settings, mini(), folder);
    let trainer = Trainer::in_parts(gpu(), &config, mini(), most)
        .unwrap_or_else(|error| panic!("{settings}: {error}"));
    run_of(trainer, config, start, folder)
}

fn run_of(mut trainer: Trainer<'_>, config: RunConfig, start: Start, folder: &Path) -> Run {
    let settings = config.to_toml();
    let mut notes = Notes::default();
    let outcome = pollster::block_on(trainer.run(start, &mut notes))
        .unwrap_or_else(|error| panic!("{settings}: {error}"));
    Run {
        outcome,
        model: std::fs::read(folder.join("model.safetensors")).unwrap(),
        metrics: std::fs::read_to_string(folder.join("metrics.jsonl")).unwrap(),
        parameters: pollster::block_on(trainer.parameters()).unwrap(),
        initial: trainer.network().graph.layout.initialize(config.seed, config.weight_init),
        notes: notes.0,
        config,
    }
}

fn train(settings: &str) -> Run {
    train_in(tempfile::tempdir().unwrap().path(), settings, Start::New, u32::MAX)
}

/// 48 images in batches of 16, 20 test images.
const TINY: &str = "train-limit = 48\ntest-limit = 20\nbatch-size = 16\n";
const QUANTIZED: &str =
    "bits = \"4,2\"\ndropout = \"0.25,0.5\"\naugment = \"shift,hflip\"\nlr = 0.05\n";

/// Images that stay in the host's memory are those of the GPU's, step by step.
#[test]
fn images_are_the_same_wherever_they_are() {
    let settings = format!("{TINY}{QUANTIZED}epochs = 2\nseed = 5\nlog-every = 1\n");
    let whole = train(&settings);
    let folder = tempfile::tempdir().unwrap();
    let config = run_config(&settings, mini(), folder.path());
    let trainer = Trainer::streaming(gpu(), &config, mini()).unwrap();
    let resident = Trainer::new(gpu(), &config, mini()).unwrap().data_bytes();
    assert!(trainer.data_bytes() < resident, "{} of {resident}", trainer.data_bytes());
    let streamed = run_of(trainer, config, Start::New, folder.path());
    assert_eq!(streamed.parameters, whole.parameters);
    assert_eq!(streamed.outcome.evaluation, whole.outcome.evaluation);
    let steps = |run: &Run| run.outcome.steps.iter().map(|line| line.loss).collect::<Vec<_>>();
    assert!(steps(&streamed) == steps(&whole) && steps(&whole).len() == 6);
}

/// Step lines hold what the quantizers are before the step: after one step less.
#[test]
fn step_lines_hold_the_quantizers() {
    for (quantizer, learned) in [("dorefa", 0), ("lsq", 2)] {
        let settings = format!("{TINY}{QUANTIZED}weight-quant = \"{quantizer}\"\nseed = 3\n");
        let (shorter, longer) =
            (train(&format!("steps = 3\n{settings}")), train(&format!("steps = 4\n{settings}")));
        let (end, step) = (&shorter.outcome.epochs[0], &longer.outcome.steps[3].quantizers);
        assert_eq!(
            (&step.alpha, &step.step_size, &step.weight_range),
            (&end.alpha, &end.step_size, &end.weight_range)
        );
        assert_eq!(
            (step.alpha.len(), step.step_size.len(), step.weight_range.len()),
            (2, learned, 2),
            "{quantizer}"
        );
        assert_ne!(longer.outcome.steps[0].quantizers.alpha, step.alpha, "{quantizer}: α's learn");
        assert!(
            longer.step_lines()[0].contains("\"alpha\":{\"act1\":"),
            "{}",
            longer.step_lines()[0]
        );
    }
    let float = train(&format!("steps = 1\n{TINY}"));
    assert!(!float.step_lines()[0].contains("alpha"), "{}", float.step_lines()[0]);
}

#[test]
fn one_seed_one_result() {
    for (name, settings) in [("float", ""), ("(4,2)", QUANTIZED)] {
        let settings = format!("{TINY}{settings}");
        let first = train(&format!("steps = 4\nseed = 7\n{settings}"));
        let again = train(&format!("steps = 4\nseed = 7\n{settings}"));
        first.assert_finite(name);
        assert!(first.model == again.model, "{name}: the same seed gave another model");
        assert_eq!(first.step_lines(), again.step_lines(), "{name}");
        assert_eq!(first.step_lines().len(), 4);
        let other = train(&format!("steps = 4\nseed = 8\n{settings}"));
        assert!(first.parameters != other.parameters, "{name}: another seed gave the same model");
    }
}

#[test]
fn a_run_goes_on_where_it_stopped() {
    let settings = format!("{TINY}{QUANTIZED}optimizer = \"momentum\"\n");
    let whole = train(&format!("steps = 5\n{settings}"));
    let folder = tempfile::tempdir().unwrap();
    // In the middle of an epoch of three steps, and again at the end of one.
    train_in(folder.path(), &format!("steps = 2\n{settings}"), Start::New, u32::MAX);
    train_in(folder.path(), &format!("steps = 3\n{settings}"), Start::Resume, u32::MAX);
    let resumed =
        train_in(folder.path(), &format!("steps = 5\n{settings}"), Start::Resume, u32::MAX);
    assert_eq!(resumed.notes, [""; 0]);
    assert_eq!(resumed.outcome.steps.len(), 2);
    assert!(whole.model == resumed.model, "the resumed run gave another model");
    assert_eq!(whole.step_lines(), resumed.step_lines());
    assert_eq!(whole.config.seed, resumed.config.seed);
}

/// Wishes to stop after a number of steps.
struct StopAfter(std::cell::Cell<u32>);

impl Observer for StopAfter {
    fn interrupted(&self) -> Option<i32> {
        self.0.set(self.0.get().saturating_sub(1));
        (self.0.get() == 0).then_some(2)
    }
}

/// Stopped after any number of steps, the ends of epochs and of the run among them, or ended early
/// and then asked to go on: every line once.
#[test]
fn no_line_is_lost_or_written_twice() {
    let settings = format!("{TINY}{QUANTIZED}sgt-variant = \"hlgm\"\n");
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole");
    train_in(&whole, &format!("steps = 5\n{settings}"), Start::New, u32::MAX);
    let expected = run_result(&whole);
    assert_eq!(expected.1.iter().filter(|line| line.contains("\"kind\":\"epoch\"")).count(), 2);
    for stop in 1..=5 {
        let out = folder.path().join(format!("stopped {stop}"));
        let config = run_config(&format!("steps = 5\n{settings}"), mini(), &out);
        let mut trainer = Trainer::new(gpu(), &config, mini()).unwrap();
        let error =
            pollster::block_on(trainer.run(Start::New, &mut StopAfter(stop.into()))).unwrap_err();
        assert!(matches!(error, saliq::Error::Interrupted { signal: 2 }), "{error}");
        train_in(&out, &format!("steps = 5\n{settings}"), Start::Resume, u32::MAX);
        assert!(
            run_result(&out) == expected,
            "stopped after step {stop}: {:#?}",
            run_result(&out).1
        );

        let out = folder.path().join(format!("shorter {stop}"));
        train_in(&out, &format!("steps = {stop}\n{settings}"), Start::New, u32::MAX);
        let shorter = run_result(&out);
        train_in(&out, &format!("steps = {stop}\n{settings}"), Start::Resume, u32::MAX);
        assert!(run_result(&out) == shorter, "finished after step {stop} and resumed");
        train_in(&out, &format!("steps = 5\n{settings}"), Start::Resume, u32::MAX);
        assert!(
            run_result(&out) == expected,
            "shorter by {} steps: {:#?}",
            5 - stop,
            run_result(&out).1
        );
    }
}

/// The small network's settings in a file, and a run folder that is not there yet.
fn small_config(folder: &Path) -> (PathBuf, PathBuf) {
    let config = folder.join("small.toml");
    std::fs::write(&config, format!("{TINY}lr = 0.05\n{SMALL_NETWORK}")).unwrap();
    (config, folder.join("run"))
}

fn steps_in(folder: &Path) -> Vec<String> {
    let metrics = std::fs::read_to_string(folder.join("metrics.jsonl")).unwrap_or_default();
    metrics.lines().filter(|line| line.contains("\"kind\":\"step\"")).map(str::to_string).collect()
}

#[test]
fn resume_on_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let (config, out) = small_config(folder.path());
    let whole = folder.path().join("whole");
    let train = |out: &Path, more: &[&str]| {
        run(&[&["train", "--config", text(&config), "--out", text(out)], more].concat())
    };
    let model = |out: &Path| std::fs::read(out.join("model.safetensors")).unwrap();
    let said = |output: &std::process::Output| {
        format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        )
    };

    assert_eq!(train(&whole, &["--steps", "6"]).status.code(), Some(0));
    assert_eq!(train(&out, &["--steps", "3"]).status.code(), Some(0));
    assert_eq!(train(&out, &["--steps", "6", "--resume"]).status.code(), Some(0));
    assert!(model(&whole) == model(&out), "another model");
    assert_eq!(steps_in(&whole), steps_in(&out));

    // A finished run says so; the model stays as it is.
    let finished = run(&["train", "--out", text(&out), "--resume"]);
    assert_eq!(finished.status.code(), Some(0), "{}", said(&finished));
    assert!(said(&finished).contains("finished already"), "{}", said(&finished));
    assert!(model(&whole) == model(&out), "another model");

    let existing = failure(&train(&out, &["--steps", "6", "--quiet"]), 2);
    assert!(existing.contains("--resume") && existing.contains("--force"), "{existing}");
    let other =
        failure(&train(&out, &["--steps", "9", "--resume", "--lambda", "0.5", "--quiet"]), 2);
    assert!(other.contains("--resume") && other.contains("other settings"), "{other}");
    assert!(model(&whole) == model(&out), "a refused run changed the model");

    let [newest, before] =
        ["checkpoint.safetensors", "checkpoint.1.safetensors"].map(|name| out.join(name));
    for damage in [None, Some(&b"not a checkpoint"[..])] {
        let harm = |path: &Path| match damage {
            None => std::fs::remove_file(path).unwrap(),
            Some(bytes) => std::fs::write(path, bytes).unwrap(),
        };
        // The newest is lost: the run goes on from the one before, of step 3. Both are lost: it
        // starts over.
        for (lost, said_of_it) in
            [(&[&newest][..], "of step 3"), (&[&newest, &before], "starting over")]
        {
            lost.iter().for_each(|path| harm(path));
            let over = train(&out, &["--steps", "6", "--resume"]);
            assert_eq!(over.status.code(), Some(0), "{}", said(&over));
            assert!(said(&over).contains(said_of_it), "{}", said(&over));
            assert!(said(&over).contains("checkpoint.safetensors"), "{}", said(&over));
            assert!(model(&whole) == model(&out), "another model");
            assert_eq!(steps_in(&whole), steps_in(&out));
        }
        // Two checkpoints again.
        assert_eq!(train(&out, &["--steps", "3", "--force"]).status.code(), Some(0));
        assert_eq!(train(&out, &["--steps", "6", "--resume"]).status.code(), Some(0));
    }
}

/// A signal in the middle of an epoch: a checkpoint, the signal's exit code, and a run that goes on
/// as if nothing had been.
#[cfg(unix)]
fn interrupted_by(signal: &str, code: i32) {
    use std::time::Duration;
    let folder = tempfile::tempdir().unwrap();
    let (config, out) = small_config(folder.path());
    let train = |steps: &str, out: &Path, resume: &[&str]| {
        let mut command = saliq();
        // 250 steps an epoch: the signal comes in the middle of one.
        command.args([
            "train",
            "--train-limit",
            "1000",
            "--batch-size",
            "4",
            "--quiet",
            "--config",
            text(&config),
        ]);
        command.args(["--steps", steps, "--out", text(out)]).args(resume);
        command
    };
    let mut process =
        train("1000000", &out, &[]).stderr(std::process::Stdio::piped()).spawn().unwrap();
    // No time is measured: only that the run has begun matters. A run that fails ends the wait.
    while steps_in(&out).is_empty() {
        assert!(process.try_wait().unwrap().is_none(), "the run ended by itself");
        std::thread::sleep(Duration::from_millis(20));
    }
    let sent = std::process::Command::new("kill")
        .args([signal, &process.id().to_string()])
        .status()
        .unwrap();
    assert!(sent.success());
    let output = process.wait_with_output().unwrap();
    let message = failure(&output, code);
    assert!(message.contains("checkpoint") && message.contains("--resume"), "{message}");
    let done = steps_in(&out).len();
    let steps = (done + 3).to_string();
    assert_eq!(train(&steps, &out, &["--resume"]).status().unwrap().code(), Some(0));
    let whole = folder.path().join("whole");
    assert_eq!(train(&steps, &whole, &[]).status().unwrap().code(), Some(0));
    assert_eq!(steps_in(&out).len(), done + 3);
    assert_eq!(steps_in(&whole), steps_in(&out));
    let model = |out: &Path| std::fs::read(out.join("model.safetensors")).unwrap();
    assert!(model(&whole) == model(&out), "another model after {done} steps and {signal}");
}

#[cfg(unix)]
#[test]
fn interrupt_and_go_on() {
    interrupted_by("-INT", 130);
}

#[cfg(unix)]
#[test]
fn terminate_and_go_on() {
    interrupted_by("-TERM", 143);
}

#[test]
fn parts_add_up_to_the_batch() {
    for settings in [
        "mask-fill = \"zero\"\n",
        "mask-fill = \"uniform\"\ndropout = 0.3\naugment = \"shift\"\n",
        "sgt = false\nbits = \"4,2\"\nweight-quant = \"affine\"\n",
    ] {
        let network = if settings.contains("dropout") {
            SMALL_NETWORK.replace(
                "{ type = \"linear\"",
                "{ type = \"dropout\", rate = 0.3 },\n    { type = \"linear\"",
            )
        } else {
            SMALL_NETWORK.into()
        };
        // Batches of 14, 14 and the rest of 30: 2.
        let settings = format!(
            "train-limit = 30\n\
             test-limit = 4\nbatch-size = 14\nsteps = 3\nlr = 0.02\nseed = 3\n{settings}{network}"
        );
        let whole = train(&settings);
        let parts = train_in(tempfile::tempdir().unwrap().path(), &settings, Start::New, 5);
        for (whole, parts) in whole.outcome.steps.iter().zip(&parts.outcome.steps) {
            assert_eq!(whole.accuracy, parts.accuracy, "{settings}: step {}", whole.step);
            for (whole, parts) in [(whole.ce, parts.ce), (whole.kl, parts.kl)] {
                assert!(
                    (whole - parts).abs() <= 1e-5 * whole.max(0.1),
                    "{settings}: {whole} and {parts}"
                );
            }
        }
        let expected: Vec<f64> = whole.parameters.iter().map(|&value| f64::from(value)).collect();
        assert_close(&settings, &parts.parameters, &expected, 1e-5);
    }
}

/// Batches whose backward pass goes in chunks, against parts that need none, and against
/// themselves.
#[test]
fn chunks_add_up_to_the_batch() {
    for settings in
        ["", "dropout", "bits = \"4,2\"\nweight-quant = \"affine\"\nper-channel = true\n"]
    {
        let network = SMALL_NETWORK.replace(
            "{ type = \"linear\"",
            "{ type = \"dropout\", rate = 0.3 },\n    { type = \"linear\"",
        );
        let (settings, network) =
            if settings == "dropout" { ("", network.as_str()) } else { (settings, SMALL_NETWORK) };
        let settings = format!(
            "train-limit = 150\n\
             test-limit = 4\nbatch-size = 75\nsteps = 3\nlr = 0.02\n{settings}{network}"
        );
        let config = run_config(&settings, mini(), Path::new("nowhere"));
        let chunk =
            |most| Trainer::in_parts(gpu(), &config, mini(), most).unwrap().network().chunk();
        assert_eq!(
            [chunk(75), chunk(25)],
            [64, 50],
            "150 images of a step in 3 chunks, 50 images of a part in one"
        );
        let whole = train(&settings);
        let parts = train_in(tempfile::tempdir().unwrap().path(), &settings, Start::New, 25);
        let expected: Vec<f64> = parts.parameters.iter().map(|&value| f64::from(value)).collect();
        assert_close(&settings, &whole.parameters, &expected, 1e-5);
        assert!(
            whole.model == train(&settings).model,
            "{settings}: the same seed gave another model"
        );
    }
}

/// What a step of Table I's network must keep for its backward pass is known to the byte, and all
/// its memory is at most 1.3 times what a network with separate pools must keep. (Where the pool is
/// part of the convolution half as much is kept; weights and gradients then weigh more, 1.49 times
/// at batch 256.)
#[test]
fn memory_is_close_to_what_must_be_kept() {
    let windows = 16 * (28 * 28 + 26 * 26 * 8 + 12 * 12 * 16 + 32 + 3) + 4 * 12 * 12 * 16;
    // PACT's inputs beside the outputs, of which the last is only passed on to the pool, where that
    // is on its own.
    let (map, input) = (16 * 24 * 24 * 16, 16 * 26 * 26 * 8);
    let separate = |settings| (false, settings, windows + map, windows + map, 0);
    let joined = |settings| (true, settings, windows, windows + map, 0);
    let cases = [
        separate("batch-size = 256"),
        separate("batch-size = 2048"),
        (false, "bits = \"4,2\"", windows + map + input, windows + map + input, map),
        joined("batch-size = 256"),
        joined("batch-size = 2048"),
        (true, "bits = \"4,2\"", windows + input + 16 * 12 * 12 * 16, windows + map + input, 0),
    ];
    for (software, settings, image, separate_image, passed_on) in cases {
        // Nothing runs: every buffer is made, within 128 MiB a binding.
        let gpu = Gpu::noop(software, Abilities::default());
        assert_eq!(gpu.limits().max_storage_buffer_binding_size, 128 << 20);
        let config = run_config(settings, mini(), Path::new("nowhere"));
        let trainer = Trainer::new(&gpu, &config, mini()).unwrap();
        let slots = 2 * u64::from(
            config.batch_size.min(mini().train.len() as u32).div_ceil(trainer.parts()),
        );
        let kept = slots * image;
        assert_eq!(trainer.network().kept_bytes(), kept, "{settings}");
        let used = gpu.peak_bytes() - trainer.data_bytes() - slots * passed_on;
        let of_separate = used as f64 / (slots * separate_image) as f64;
        assert!(
            of_separate <= 1.3,
            "{settings}: {used} bytes are {of_separate:.3} of what separate pools keep"
        );
        let ratio = used as f64 / kept as f64;
        assert!(
            ratio > 1.05,
            "{settings}: {ratio:.3} leaves no room for weights and gradients: what was not counted?"
        );
    }
}

/// The small network as the library has it.
fn small_network() -> NetworkConfig {
    run_config(SMALL_NETWORK, mini(), Path::new("nowhere")).network
}

/// What benchmarks time must be a whole step, however often it is repeated: the table of a data set
/// of one batch has a single entry.
#[test]
fn a_repeated_step_trains_every_time() {
    let config =
        run_config("batch-size = 8\ntrain-limit = 8\nlr = 0.05\n", mini(), Path::new("nowhere"));
    let trainer = Trainer::new(gpu(), &config, mini()).unwrap();
    trainer.begin_benchmark();
    let mut before = pollster::block_on(trainer.parameters()).unwrap();
    for repetition in 0..3 {
        trainer.submit_step().unwrap();
        let after = pollster::block_on(trainer.parameters()).unwrap();
        assert!(after != before, "repetition {repetition} did nothing");
        before = after;
        trainer.rewind();
    }
}

#[test]
fn a_step_is_one_submission_and_nothing_else() {
    // A device of its own: other tests use theirs at the same time.
    let options = GpuOptions {
        adapter: std::env::var("SALIQ_ADAPTER").unwrap_or_default(),
        ..GpuOptions::default()
    };
    let gpu = &pollster::block_on(Gpu::new(&options)).unwrap();
    let config = run_config(
        "batch-size = 4\noptimizer = \"momentum\"\nlr = 0.01\n",
        mini(),
        Path::new("nowhere"),
    );
    let mut split = mini().train.clone();
    split.truncate(40, MNIST);
    let data = ResidentData::new(gpu, &split, MNIST).unwrap();
    let quantization = QuantizationConfig::default();
    let options =
        NetworkOptions { slots: 8, training: true, gradients: true, ..NetworkOptions::default() };
    let network = Network::new(gpu, &small_network(), &quantization, options).unwrap();
    gpu.write(network.parameters(), 0, &network.graph.layout.initialize(0, config.weight_init));
    let batch = Batch::new(gpu, 4, true, 100).unwrap();
    let masking =
        Masking::new(gpu, MNIST, 4, 0.5, config.sgt.mask_rank, config.sgt.mask_fill).unwrap();
    let metrics = Metrics::new(gpu, 4, 100).unwrap();
    let optimizer = Optimizer::new(gpu, &network, &config.optimizer, &quantization).unwrap();
    let gather = GatherOptions { shuffle: true, augment: Vec::new(), normalization: NORMALIZATION };
    let sgt = SgtConfig::default();
    let options = StepOptions::new(&sgt, gather, &network.graph);
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
    let step = TrainingStep::record(gpu, &inputs, &options).unwrap();
    let table: Vec<_> = (0..100)
        .map(|index| StepRecord {
            step: index + 1,
            epoch: index / 10,
            position: index % 10 * 4,
            count: 4,
            batch: 4,
            log_slot: index,
            epoch_images: 40,
            learning_rate: 0.01,
            momentum: 0.9,
            ..StepRecord::default()
        })
        .collect();
    batch.write_table(gpu, &table);
    let before = gpu.counters.snapshot();
    let allocated = gpu.allocated_bytes();
    for _ in 0..100 {
        step.submit(gpu, 1).unwrap();
    }
    let after = gpu.counters.snapshot();
    let [submissions, maps, writes, copies] =
        [0, 1, 2, 3].map(|counter| after[counter] - before[counter]);
    assert_eq!(
        [submissions, maps, writes, copies],
        [100, 0, 0, 0],
        "submissions, maps, writes, copies"
    );
    assert_eq!(gpu.allocated_bytes(), allocated);
    let sums: Vec<[f32; 4]> = pollster::block_on(gpu.read(&metrics.sums, 0, 100)).unwrap();
    for (index, [ce, kl, correct, images]) in sums.iter().enumerate() {
        assert!(
            ce.is_finite() && kl.is_finite() && *correct <= 4.0 && *images == 4.0,
            "step {}: {:?}",
            index + 1,
            sums[index]
        );
    }
    let mean = |steps: &[[f32; 4]]| {
        steps.iter().map(|[ce, ..]| ce / 4.0).sum::<f32>() / steps.len() as f32
    };
    assert!(mean(&sums[80..]) < mean(&sums[..20]), "100 steps did not lower the loss");
}

/// Labels of a step's dispatches, and the floating-point operations they are for.
fn dispatches(settings: &str) -> Vec<(String, u64)> {
    let config = run_config(&format!("{TINY}{settings}"), mini(), Path::new("nowhere"));
    let trainer = Trainer::new(gpu(), &config, mini()).unwrap();
    let commands = trainer.step().recordings().into_iter().flat_map(Recording::commands);
    commands
        .filter_map(|command| match command {
            Command::Dispatch { label, work, .. } => Some((label.clone(), work.flops)),
            Command::Clear(_) => None,
        })
        .collect()
}

/// Images of a pass of one of [`SMALL_NETWORK`]'s convolutions, in batches of 16.
fn batches(dispatches: &[(String, u64)], label: &str) -> u64 {
    // Twice taps × input channels × output channels × output pixels.
    let image =
        if label.starts_with("conv1") { 2 * 9 * 8 * 13 * 13 } else { 2 * 9 * 8 * 8 * 6 * 6 };
    let flops: u64 =
        dispatches.iter().filter(|(found, _)| found == label).map(|(_, flops)| flops).sum();
    assert_eq!(flops % (16 * image), 0, "{label}");
    flops / (16 * image)
}

#[test]
fn work_of_a_step() {
    let plain = dispatches(&format!("sgt = false\n{SMALL_NETWORK}"));
    let guided = dispatches(SMALL_NETWORK);
    let dropout = dispatches(&SMALL_NETWORK.replace(
        "{ type = \"linear\"",
        "{ type = \"dropout\", rate = 0.5 },\n{ type = \"linear\"",
    ));
    let count = |list: &[(String, u64)], label: &str| {
        list.iter().filter(|(found, _)| found == label).count()
    };
    for label in ["saliency seed", "select lowest", "image statistics", "fill masked"] {
        assert_eq!(
            [count(&plain, label), count(&guided, label), count(&dropout, label)],
            [0, 1, 1],
            "{label}"
        );
    }
    assert!(plain.len() < guided.len());
    for (list, forward, input_gradient) in [(&plain, 1, 1), (&guided, 2, 3), (&dropout, 3, 3)] {
        for layer in ["conv1", "conv2"] {
            assert_eq!(batches(list, &format!("{layer} forward")), forward, "{layer}");
            // Of X and X̃ together, in one dispatch.
            assert_eq!(count(list, &format!("{layer} weight gradient")), 1);
        }
        assert_eq!(batches(list, "conv2 input gradient"), input_gradient);
        // Training does not need the images' gradient: only saliency does.
        assert_eq!(
            batches(list, "conv1 input gradient"),
            input_gradient - if forward == 1 { 1 } else { 2 }
        );
        assert_eq!(count(list, "update"), 1);
    }
    // Forward-equivalents of conv2: forward passes, input gradients, and the weight gradient of X
    // and X̃.
    let work = batches(&guided, "conv2 forward") + batches(&guided, "conv2 input gradient") + 2;
    assert_eq!(work, 7, "Algorithm 1 costs at most 7 forward passes of a batch");
}

#[test]
fn plain_training_lowers_the_loss() {
    let run = train(
        "sgt = false\ntrain-limit = 16\ntest-limit = 4\nbatch-size = 16\nsteps = 4\nlr = 0.05\n",
    );
    let losses: Vec<f64> = run.outcome.steps.iter().map(|line| line.loss).collect();
    assert!(losses.windows(2).all(|pair| pair[1] < pair[0]), "{losses:?}");
    assert!(
        (losses[0] - 10f64.ln()).abs() < 0.2,
        "an untrained network is no better than chance: {losses:?}"
    );
    assert!(run.outcome.steps.iter().all(|line| line.kl == 0.0 && line.loss == line.ce));
    let shapes: Vec<_> = Tensors::golden("table1").contents();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    std::fs::write(&path, &run.model).unwrap();
    assert_eq!(
        Tensors::open(&path).contents(),
        shapes,
        "a saliq model has PyTorch's names, types and shapes"
    );
}

#[test]
fn every_setting_runs() {
    let base = "train-limit = 12\ntest-limit = 6\nbatch-size = 6\nsteps = 3\nseed = 5\n";
    for settings in [
        "mask-fill = \"uniform\"\n",
        "mask-fill = \"zero\"\nmask-rank = \"abs\"\n",
        "mask-fill = \"mean\"\nsaliency-target = \"label\"\n",
        "mask-fill = \"corner\"\nsaliency-target = \"predicted\"\n",
        "mask-fill = \"blur\"\nstop-gradient = true\n",
        "mask-ratio = 1\nmask-fill = \"zero\"\n",
        "mask-ratio = 0.001\n",  // k = 0
        "mask-ratio = 0.0013\n", // k = 1
        "mask-ratio = 0.9999\n", // k = 783
        "lambda = 0\n",
        "lambda = 10\nlr = 0.01\n",
        "optimizer = \"sgd\"\nweight-decay = 0.01\n",
        "optimizer = \"momentum\"\nnesterov = true\nweight-decay = 0.01\n",
        "optimizer = \"adam\"\nweight-decay = 0.01\n",
        "optimizer = \"adamw\"\nweight-decay = 0.01\n",
        "optimizer = \"adadelta\"\n",
        "schedule = \"cosine\"\n",
        "schedule = \"one-cycle\"\noptimizer = \"momentum\"\n",
        "schedule = \"step\"\ngamma = 0.5\n",
        "warmup-steps = 2\n",
        "weight-init = \"kaiming-normal\"\n",
        "augment = \"shift,hflip\"\nnormalize = \"unit\"\n",
        "normalize = \"0.5,0.25\"\nno-shuffle = true\nvalidation-share = 0.25\n",
        "snapshot-every = 2\n",
        "bits = \"4\"\nweight-quant = \"sawb\"\n",
        "bits = \"w2a4,w8a3\"\nweight-quant = \"affine\"\nper-channel = true\n",
        "bits = \"3,2\"\nweight-quant = \"dorefa\"\npact = \"signed\"\n",
        "bits = \"2,2\"\n\
         pact = \"signed-after-relu\"\nalpha-decay = 0.001\nalpha-lr-factor = 0.1\n",
        "bits = \"w32a1,w2a32\"\nalpha-init = 2.5\n",
        "bits = \"4,2,4\"\nsgt = false\n",
    ] {
        let run = train(&format!("{base}{settings}{SMALL_NETWORK}"));
        run.assert_finite(settings);
        assert_eq!(run.outcome.steps.len(), 3, "{settings}");
        assert!(run.parameters != run.initial, "{settings}: nothing was learnt");
        let kl = run.outcome.steps.iter().map(|line| line.kl).fold(0.0, f64::max);
        match settings {
            "mask-ratio = 0.001\n" => assert!(kl < 1e-6, "nothing is masked, but KL is {kl}"),
            _ if settings.contains("sgt = false") => assert_eq!(kl, 0.0),
            _ => assert!(kl > 0.0, "{settings}: KL is 0"),
        }
        if settings.contains("bits") {
            assert!(
                run.outcome.alphas.values().all(|&alpha| alpha >= saliq::nn::ALPHA_FLOOR),
                "{settings}"
            );
            assert!(!run.outcome.alphas.is_empty(), "{settings}");
        }
        if settings.contains("snapshot") {
            let steps: Vec<u64> =
                run.outcome.snapshots.iter().map(|snapshot| snapshot.step).collect();
            assert_eq!(steps, [0, 2]);
        }
    }
}

/// λ = 0 leaves plain training: the masked branch must not leak into the gradients. Snapshots must
/// not change a run either.
#[test]
fn lambda_zero_is_plain_training() {
    let base = format!(
        "train-limit = 24\ntest-limit = 4\nbatch-size = 8\nsteps = 6\nlr = 0.05\n{SMALL_NETWORK}"
    );
    let plain = train(&format!("sgt = false\n{base}"));
    let expected: Vec<f64> = plain.parameters.iter().map(|&value| f64::from(value)).collect();
    let guided = train(&format!("lambda = 0\n{base}"));
    assert_close("λ = 0", &guided.parameters, &expected, 1e-5);
    assert!(
        plain
            .outcome
            .steps
            .iter()
            .zip(&guided.outcome.steps)
            .all(|(a, b)| (a.ce - b.ce).abs() < 1e-5)
    );

    let guided = train(&base);
    let watched =
        train(&format!("snapshot-every = 1\nlog-every = 2\ncheckpoint-every = \"2\"\n{base}"));
    assert!(guided.model == watched.model, "watching a run changed it");
    assert!(guided.parameters != plain.parameters, "SGT without effect");
    assert_eq!(watched.step_lines().len(), 3);
}

/// The bare state_dict of PyTorch, on the golden images as a folder of IDX files.
#[test]
fn a_pytorch_export_is_a_model() {
    let folder = tempfile::tempdir().unwrap();
    let tensors = Tensors::golden("forward");
    let split = tensors.split();
    let images = folder.path().join("digits");
    write_folder(&images, MNIST, &split, &split);
    let model = golden("table1");
    let model = text(&model);
    let labels = tensors.i64("labels");
    let predicted = tensors.i64("float.predicted");
    let correct =
        predicted.iter().zip(&labels).filter(|(predicted, label)| predicted == label).count();
    // The folder has its own statistics; the export was trained with MNIST's.
    let data = ["--dataset", text(&images), "--normalize", "0.1307,0.3081"];
    let result = json(&[&["eval", model], &data[..]].concat());
    assert_eq!(result["accuracy"].as_f64(), Some(correct as f64 / 16.0));
    let logits = tensors.f64("float.logits_f64");
    let loss: f64 = logits
        .chunks_exact(10)
        .zip(&labels)
        .map(|(row, &label)| {
            row.iter().map(|logit| logit.exp()).sum::<f64>().ln() - row[label as usize]
        })
        .sum::<f64>()
        / 16.0;
    assert!(
        (result["loss"].as_f64().unwrap() - loss).abs() < 1e-5,
        "{} for {loss}",
        result["loss"]
    );

    let out = folder.path().join("explained");
    json(
        &[
            &["explain", model, "--target", "label", "--count", "16", "--out", text(&out)],
            &data[..],
        ]
        .concat(),
    );
    let written = Tensors::open(&out.join("attributions.safetensors"));
    assert_close("gradient", &written.f32("gradient"), &tensors.f64("float.grad_label_f64"), 1e-4);
    assert_close("logits", &written.f32("logits"), &logits, 1e-5);
    assert_eq!(written.i64("predictions"), predicted);

    for command in ["eval", "explain"] {
        let message = refused(1, &[&[command, model, "--bits", "4,2"], &data[..]].concat());
        assert!(message.contains("act1.alpha") && message.contains("act2.alpha"), "{message}");
    }

    // Calibrated and trained on, then read back: α's are in the file, and the model's own bits are
    // used.
    let config = folder.path().join("run.toml");
    std::fs::write(&config, "batch-size = 8\nsteps = 1\nbits = \"4,2\"\nlr = 0.001\n").unwrap();
    let trained = folder.path().join("trained");
    let run = [
        &["train", "--config", text(&config), "--init", model, "--out", text(&trained)],
        &data[..],
    ]
    .concat();
    let trained_result = json(&run);
    let evaluated = json(&["eval", text(&trained), "--dataset", text(&images)]);
    assert_eq!(trained_result["accuracy"], evaluated["accuracy"]);
    assert_eq!(trained_result["loss"], evaluated["loss"]);
    let contents = Tensors::open(&trained.join("model.safetensors")).contents();
    let mut expected = Tensors::golden("table1").contents();
    expected.splice(
        0..0,
        ["act1.alpha", "act2.alpha"].map(|name| (name.to_string(), Dtype::F32, vec![1])),
    );
    assert_eq!(contents, expected);
}

/// Networks whose first layer works in place, with batches that go back in chunks: behind it are
/// gradients as large as the images', or small ones.
#[test]
fn networks_that_begin_in_place_train_in_chunks() {
    let folder = tempfile::tempdir().unwrap();
    let images = folder.path().join("corners");
    write_folder(&images, Shape::new(3, 11, 13), &colored(130, 1), &colored(30, 2));
    let perceptron = "type = \"flatten\"\n[[network.layers]]\ntype = \"linear\"\nout_features = ";
    let activated = "type = \"activation\"\n[[network.layers]]\ntype = \"conv\"\n\
                     out_channels = 4\nkernel = 3\n[[network.layers]]\ntype = \"linear\"\n\
                     out_features = 4";
    let networks = [
        format!("{perceptron}4"),
        format!("{perceptron}2000\n[[network.layers]]\n{}", "type = \"linear\"\nout_features = 4"),
        activated.into(),
    ];
    for (number, layers) in networks.iter().enumerate() {
        let network = folder.path().join(format!("{number}.toml"));
        std::fs::write(&network, format!("[[network.layers]]\n{layers}\n")).unwrap();
        for sgt in ["true", "false"] {
            let out = folder.path().join(format!("{number}-{sgt}"));
            let arguments = ["train", "--dataset", text(&images), "--network", text(&network)];
            let more = ["--batch-size", "130", "--steps", "2", "--sgt", sgt, "--out", text(&out)];
            json(&[&arguments[..], &more].concat());
        }
    }
}

/// Odd sizes all the way: three channels, 11×13 pixels, stride, padding, an overlapping pool, a
/// folder of files.
#[test]
fn a_network_and_images_of_ones_own() {
    let folder = tempfile::tempdir().unwrap();
    let shape = Shape::new(3, 11, 13);
    let images = folder.path().join("corners");
    write_folder(&images, shape, &colored(120, 1), &colored(30, 2));
    let config = folder.path().join("run.toml");
    let network = r#"
[network]
[[network.layers]]
type = "conv"
name = "first"
out-channels = 5
kernel = 3
stride = 2
padding = 1
[[network.layers]]
type = "activation"
name = "relu1"
[[network.layers]]
type = "conv"
name = "second"
out-channels = 7
kernel = 2
padding = 1
[[network.layers]]
type = "activation"
name = "relu2"
[[network.layers]]
type = "max-pool"
kernel = 3
stride = 2
[[network.layers]]
type = "linear"
name = "head"
out-features = 4
"#;
    std::fs::write(
        &config,
        format!("batch-size = 16\nepochs = 8\noptimizer = \"adam\"\nlr = 0.02\n{network}"),
    )
    .unwrap();
    for bits in ["32", "4,4"] {
        let out = folder.path().join(bits);
        let arguments = [
            "train",
            "--config",
            text(&config),
            "--dataset",
            text(&images),
            "--out",
            text(&out),
            "--bits",
            bits,
        ];
        let result = json(&arguments);
        assert!(result["accuracy"].as_f64().unwrap() >= 0.9, "{bits}: {result}");
        let evaluated = json(&["eval", text(&out), "--dataset", text(&images)]);
        assert_eq!(result["accuracy"], evaluated["accuracy"], "{bits}");
        assert_eq!(evaluated["confusion"].as_array().map(Vec::len), Some(4));
        let explained = out.join("explained");
        let methods = "gradient,input-x-gradient,random";
        json(&[
            "explain",
            text(&out),
            "--dataset",
            text(&images),
            "--method",
            methods,
            "--out",
            text(&explained),
        ]);
        let tensors = Tensors::open(&explained.join("attributions.safetensors"));
        let gradient = tensors.f32("gradient");
        assert_eq!(gradient.len() % shape.elements() as usize, 0);
        assert!(
            gradient.iter().any(|&value| value != 0.0)
                && gradient.iter().all(|value| value.is_finite())
        );
        let contents = Tensors::open(&out.join("model.safetensors")).contents();
        let alphas = contents.iter().filter(|(name, ..)| name.ends_with(".alpha")).count();
        assert_eq!(alphas, if bits == "32" { 0 } else { 2 });
        assert!(
            contents.contains(&("head.weight".into(), Dtype::F32, vec![4, 7 * 3 * 3])),
            "{contents:?}"
        );
    }
}

/// The split behind `--train-limit` is the first images in file order.
#[test]
fn limits_take_the_first_images() {
    let run = train(&format!(
        "train-limit = 5\ntest-limit = 3\nbatch-size = 64\nepochs = 2\n{SMALL_NETWORK}"
    ));
    assert_eq!(run.outcome.steps.len(), 2, "one batch of five images an epoch");
    assert_eq!(run.outcome.evaluation.images, 3);
    let labels: Vec<u32> =
        run.outcome.evaluation.predictions.iter().map(|prediction| prediction.label).collect();
    let Split { labels: expected, .. } = &mini().test;
    assert_eq!(labels, expected[..3].to_vec());
}

/// Every class is drawn as often as the largest one, wherever the images are.
#[test]
fn balanced_epochs_draw_all_classes_alike() {
    // The first 30 digits: 8 of the largest class.
    let settings =
        "train-limit = 30\ntest-limit = 10\nbatch-size = 16\nepochs = 1\nbalance = true\n";
    let folder = tempfile::tempdir().unwrap();
    let config = run_config(settings, mini(), folder.path());
    let mut counts = [0usize; 10];
    mini().train.labels[..30].iter().for_each(|&label| counts[label as usize] += 1);
    let classes = counts.iter().filter(|&&count| count > 0).count();
    let largest = *counts.iter().max().unwrap();
    assert!(counts.iter().any(|&count| count > 0 && count < largest), "{counts:?}");
    let trainers = [Trainer::new, Trainer::streaming];
    let parameters = trainers.map(|trainer| {
        let trainer = trainer(gpu(), &config, mini()).unwrap();
        assert_eq!(trainer.total_steps(), (classes * largest).div_ceil(16) as u64);
        run_of(trainer, config.clone(), Start::Replace, folder.path()).parameters
    });
    assert_eq!(parameters[0], parameters[1]);
    assert_ne!(parameters[0], train(&settings.replace("balance = true", "")).parameters);
}

/// Weights of classes need the order in which images are drawn, wherever these are. Where all
/// classes are alike, they change nothing but rounding.
#[test]
fn classes_are_weighted_in_any_order() {
    let folder = tempfile::tempdir().unwrap();
    let settings = |images: u32| {
        format!(
            "train-limit = {images}\ntest-limit = 10\nbatch-size = 16\nepochs = 1\n\
             class-weights = \"balanced\"\n{SMALL_NETWORK}"
        )
    };
    let config = run_config(&settings(30), mini(), folder.path());
    let parameters = [Trainer::new, Trainer::streaming].map(|trainer| {
        let trainer = trainer(gpu(), &config, mini()).unwrap();
        run_of(trainer, config.clone(), Start::Replace, folder.path()).parameters
    });
    assert_eq!(parameters[0], parameters[1]);
    let without = |settings: &str| train(&settings.replace("\"balanced\"", "\"none\""));
    assert_ne!(parameters[0], without(&settings(30)).parameters);

    // Two classes of eight images each.
    let mut alike = mini().clone();
    let images = |class: u32| {
        let labels = mini().train.labels.iter().enumerate();
        labels.filter(move |(_, label)| **label == class).map(|(number, _)| number).take(8)
    };
    alike.train = mini().train.select(&images(3).chain(images(5)).collect::<Vec<_>>(), MNIST);
    let losses = ["balanced", "none"].map(|weights| {
        let settings = settings(16).replace("balanced", weights).replace("size = 16", "size = 8");
        let config = run_config(&settings, &alike, folder.path());
        let trainer = Trainer::new(gpu(), &config, &alike).unwrap();
        let run = run_of(trainer, config, Start::Replace, folder.path());
        run.outcome.steps.iter().map(|line| line.loss).collect::<Vec<_>>()
    });
    for (weighted, plain) in losses[0].iter().zip(&losses[1]) {
        assert!((weighted - plain).abs() < 1e-5, "{losses:?}");
    }
}

/// A run ends where the validation images get no better, keeps its best model, and a run that goes
/// on from a checkpoint comes to the same end.
#[test]
fn early_stopping_keeps_the_best_model() {
    let settings = "train-limit = 60\ntest-limit = 10\nbatch-size = 20\nepochs = 30\nlr = 0.3\n\
                    validation-share = 0.4\nearly-stopping = 2\ncheckpoint-every = 2\n\
                    sgt = false\n";
    let folder = tempfile::tempdir().unwrap();
    let run = train_in(folder.path(), settings, Start::New, u32::MAX);
    let figures: Vec<(f64, f64)> = run
        .outcome
        .epochs
        .iter()
        .map(|line| (line.validation_accuracy.unwrap(), line.validation_loss.unwrap()))
        .collect();
    let better = |a: (f64, f64), b: (f64, f64)| a.0 > b.0 || a.0 == b.0 && a.1 < b.1;
    let best = (0..figures.len()).reduce(|a, b| if better(figures[b], figures[a]) { b } else { a });
    assert_eq!(best.unwrap() + 3, figures.len(), "{figures:?}");
    assert!(figures.len() < 30 && run.notes.iter().any(|said| said.contains("best.safetensors")));

    let file = folder.path().join("best.safetensors");
    let best_model = std::fs::read(&file).unwrap();
    assert!(best_model != run.model);
    // The best model is that of the run up to there.
    let shorter = settings.replace("epochs = 30", &format!("epochs = {}", best.unwrap() + 1));
    let other = tempfile::tempdir().unwrap();
    let short = train_in(other.path(), &shorter, Start::New, u32::MAX);
    let parameters = |bytes: &[u8]| {
        let overrides = saliq::config::QuantizationOverrides::default();
        saliq::model::Model::parse(Path::new("best"), bytes, &overrides).unwrap().parameters
    };
    assert!(parameters(&best_model) == parameters(&short.model), "not that of its epoch");

    // The shorter run goes on to the same end.
    let rest = train_in(other.path(), settings, Start::Resume, u32::MAX);
    assert_eq!(rest.parameters, run.parameters);
    let kept = std::fs::read(other.path().join("best.safetensors")).unwrap();
    assert!(parameters(&kept) == parameters(&best_model), "another best model");
    let again = train_in(other.path(), settings, Start::Resume, u32::MAX);
    assert!(again.outcome.already_finished);
    assert_eq!(again.parameters, run.parameters);
}
