//! No dispatch is so long that a system takes the device for hung and resets it.

use std::path::Path;

use saliq::{
    data::{self, Dataset},
    gpu::{Abilities, Command, Gpu},
    train::{DISPATCH_FLOPS, Trainer},
};

use crate::support::run_config;

/// Windows resets a device that is busy with one dispatch for two seconds. Batches are cut so that
/// a dispatch has no more work than a slow GPU does in that time; nothing runs here.
#[test]
fn no_dispatch_is_too_long_for_a_watchdog() {
    let wide = |channels: u32| {
        format!(
            "network.layers = [ {{ type = \"conv\", name = \"conv1\", out_channels = {channels}, \
             kernel = 3, padding = 1 }}, {{ type = \"activation\", name = \"act1\" }}, {{ type = \
             \"conv\", name = \"conv2\", out_channels = {channels}, kernel = 5, padding = 2 }}, {{ \
             type = \"activation\", name = \"act2\" }}, {{ type = \"max-pool\", kernel = 4, stride \
             = 4 }}, {{ type = \"linear\", name = \"fc1\", out_features = 10 }} ]\n"
        )
    };
    let dataset = data::load("mnist-mini", None).unwrap();
    let mut cut = 0;
    for software in [true, false] {
        for (settings, network) in [
            ("batch-size = 1000\n", String::new()),
            ("batch-size = 1000\nsgt = false\n", String::new()),
            ("batch-size = 1000\nbits = \"4,2\"\n", String::new()),
            ("batch-size = 256\n", wide(64)),
            ("batch-size = 256\nsgt = false\n", wide(128)),
            ("batch-size = 64\n", wide(192)),
        ] {
            let gpu = Gpu::noop(software, Abilities::default());
            let config =
                run_config(&format!("{settings}{network}"), &dataset, Path::new("nowhere"));
            let trainer = Trainer::new(&gpu, &config, &dataset).unwrap();
            let (label, flops) = longest(&trainer);
            assert!(flops <= DISPATCH_FLOPS, "{settings}{network}: {label} has {flops} operations");
            assert!(
                flops > DISPATCH_FLOPS / 100,
                "{settings}{network}: {label} has {flops} operations: what was not counted?"
            );
            cut += u32::from(trainer.parts() > 1);
        }
    }
    assert!(cut >= 4, "only {cut} of the cases were cut: the bound is not put to the test");
    let default = run_config("", &paper(&dataset), Path::new("nowhere"));
    let gpu = Gpu::noop(false, Abilities::default());
    assert_eq!(
        Trainer::new(&gpu, &default, &dataset).unwrap().parts(),
        1,
        "the paper's batch needs no cutting"
    );
}

/// The data set under the name whose defaults are the paper's.
fn paper(dataset: &Dataset) -> Dataset {
    Dataset { name: "mnist".into(), ..dataset.clone() }
}

fn longest(trainer: &Trainer<'_>) -> (String, u64) {
    let commands =
        trainer.step().recordings().into_iter().flat_map(|recording| recording.commands());
    let work = commands.filter_map(|command| match command {
        Command::Dispatch { label, work, .. } => Some((label.clone(), work.flops)),
        Command::Clear(_) => None,
    });
    work.max_by_key(|(_, flops)| *flops).unwrap()
}
