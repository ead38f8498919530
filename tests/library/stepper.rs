//! Runs that are made step by step, without a folder, against those of the trainer.

use std::path::Path;

use saliq::{
    Error,
    config::RunConfig,
    model::ModelFile,
    train::{Checkpoint, Observer, Start, StepLine, Stepper, Trainer},
};

use crate::{
    common::gpu,
    support::{SMALL_NETWORK, mini, run_config},
};

struct Silent;

impl Observer for Silent {}

/// 36 images in batches of 16: three steps an epoch, the last of four images.
fn config(out: &Path, more: &str) -> RunConfig {
    let settings = format!(
        "bits = \"4,2\"\ntrain-limit = 36\ntest-limit = 20\nbatch-size = 16\nepochs = 2\n\
         optimizer = \"adam\"\nlr = 0.01\n{more}{SMALL_NETWORK}"
    );
    run_config(&settings, mini(), out)
}

fn advance(stepper: &mut Stepper<'_>, count: u64) -> Vec<StepLine> {
    pollster::block_on(stepper.advance(count)).unwrap()
}

fn new(config: &RunConfig, init: Option<ModelFile>) -> Stepper<'static> {
    pollster::block_on(Stepper::new(gpu(), config, mini(), init)).unwrap()
}

#[test]
fn a_run_in_steps_is_that_of_the_trainer() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), "sgt-variant = \"smoot\"\n");
    let mut trainer = Trainer::new(gpu(), &config, mini()).unwrap();
    let outcome = pollster::block_on(trainer.run(Start::New, &mut Silent)).unwrap();
    let mut stepper = new(&config, None);
    assert_eq!((stepper.total_steps(), stepper.steps_per_epoch()), (6, 3));
    let mut lines = advance(&mut stepper, 2);
    assert_eq!(lines.len(), 2);
    // No further than the epoch.
    lines.extend(advance(&mut stepper, 5));
    assert_eq!(lines.len(), 3);
    // The state of this moment, elsewhere.
    let bytes = pollster::block_on(stepper.checkpoint()).unwrap().to_bytes().unwrap();
    drop(stepper);
    let name = Path::new("state");
    let checkpoint = Checkpoint::parse(name, &bytes).unwrap();
    let resumed = Stepper::resume(gpu(), &config, mini(), (name, &checkpoint));
    let mut stepper = pollster::block_on(resumed).unwrap();
    assert_eq!(stepper.step(), 3);
    while stepper.step() < stepper.total_steps() {
        lines.extend(advance(&mut stepper, 1));
    }
    assert!(advance(&mut stepper, 1).is_empty());
    let expected: Vec<StepLine> = outcome
        .steps
        .into_iter()
        .map(|line| StepLine { quantizers: Default::default(), ..line })
        .collect();
    assert_eq!(lines, expected);
    let model = pollster::block_on(stepper.model()).unwrap();
    assert!(model == std::fs::read(folder.path().join("model.safetensors")).unwrap());
    let evaluation = pollster::block_on(stepper.evaluate()).unwrap();
    assert_eq!(evaluation, outcome.evaluation);
    let maps = pollster::block_on(stepper.maps()).unwrap();
    assert_eq!(maps.step, 6);
    assert_eq!(maps.saliency.len(), stepper.shown_images().len() * 784);
    // A model in memory is where another run starts.
    let init = ModelFile::parse("given".into(), &model, None).unwrap();
    let mut next = new(&config, Some(init));
    let line = advance(&mut next, 1).remove(0);
    assert!(line.loss < expected[0].loss, "{} {}", line.loss, expected[0].loss);
}

#[test]
fn a_state_of_another_run_is_refused() {
    let own = config(Path::new("nowhere"), "");
    let stepper = new(&own, None);
    let checkpoint = pollster::block_on(stepper.checkpoint()).unwrap();
    for more in ["seed = 1\n", "sgt = false\n"] {
        let other = config(Path::new("nowhere"), more);
        let resumed = Stepper::resume(gpu(), &other, mini(), (Path::new("state"), &checkpoint));
        let error = pollster::block_on(resumed).err().unwrap();
        assert!(matches!(error, Error::Settings(_)), "{error}");
    }
}
