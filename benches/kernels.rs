//! Each dispatch of the SGT step of Table I's network, timed separately: `cargo bench`. See
//! README.md.

use std::sync::OnceLock;

use divan::counter::ItemsCount;
use saliq::{
    bench, data,
    gpu::{Command, Gpu, GpuOptions, Recording},
    train::Trainer,
};

fn main() {
    divan::main();
}

/// `cargo bench` passes `--bench`; in `cargo test` every benchmark runs once, on a few images.
fn batch_size() -> u32 {
    if std::env::args().any(|argument| argument == "--bench") { 64 } else { 2 }
}

/// The device, and the first dispatch of each label in a step.
struct Step {
    gpu: Gpu,
    dispatches: Vec<(String, Recording)>,
}

fn step() -> &'static Step {
    static STEP: OnceLock<Step> = OnceLock::new();
    STEP.get_or_init(|| {
        let options = GpuOptions {
            adapter: std::env::var("SALIQ_ADAPTER").unwrap_or_default(),
            ..GpuOptions::default()
        };
        let gpu = pollster::block_on(Gpu::new(&options)).unwrap_or_else(|error| panic!("{error}"));
        let dataset = data::load("mnist-mini", None).expect("built in");
        let config = bench::configuration(&dataset, batch_size()).expect("a configuration");
        let trainer = Trainer::new(&gpu, &config, &dataset).expect("a trainer");
        let mut dispatches: Vec<(String, Recording)> = Vec::new();
        for single in trainer.step().recordings().into_iter().flat_map(Recording::split) {
            let [Command::Dispatch { label, kernel, .. }] = single.commands() else { continue };
            // `begin_step` advances to the next entry of its table, which has an end.
            if kernel.name() != "begin_step" && dispatches.iter().all(|(name, _)| name != label) {
                dispatches.push((label.clone(), single));
            }
        }
        drop(trainer);
        Step { gpu, dispatches }
    })
}

fn names() -> impl Iterator<Item = &'static str> {
    step().dispatches.iter().map(|(name, _)| name.as_str())
}

#[divan::bench(args = names(), sample_count = 9, sample_size = 1)]
fn dispatch(bencher: divan::Bencher<'_, '_>, name: &str) {
    let Step { gpu, dispatches } = step();
    let single = dispatches
        .iter()
        .find(|(own, _)| own == name)
        .map(|(_, single)| single)
        .expect("one of the names");
    let submit = || {
        single.submit(gpu).expect("submitted");
        gpu.wait().expect("done");
    };
    // Compilation at the first dispatch is not timed.
    submit();
    bencher.counter(ItemsCount::new(batch_size())).bench_local(submit);
}
