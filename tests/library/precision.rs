//! Training with activations and gradients in 16 bits: close to the same run in 32 bits, the same
//! bits for the same seed, and about half the memory.

use std::path::Path;

use crate::common::{self, Silent, gpu, launch};
use crate::support::{SMALL_NETWORK, run_config};
use saliq::{
    data::{self, Dataset},
    gpu::{Abilities, Gpu},
    kernels::{Activation, ImageRange},
    nn::{ProductShape, ProductTiles, TileTable, TunedProduct, Tuning},
    quant::ActivationPlan,
    reference::storage::{bf16, f16},
    storage::{Format, Storage},
    train::{Start, Trainer},
};

fn mini() -> Dataset {
    data::load("mnist-mini", None).expect("built in")
}

/// Losses of the steps.
fn losses(settings: &str) -> Vec<f64> {
    let (folder, dataset) = (tempfile::tempdir().unwrap(), mini());
    let config =
        run_config(&format!("{settings}\n{SMALL_NETWORK}"), &dataset, &folder.path().join("run"));
    let mut trainer = Trainer::new(gpu(), &config, &dataset).unwrap();
    let outcome = pollster::block_on(trainer.run(Start::New, &mut Silent)).unwrap();
    outcome.steps.iter().map(|line| line.loss).collect()
}

#[test]
fn a_run_in_16_bits_follows_the_run_in_32() {
    for more in ["", "bits = \"4,4\"\n"] {
        let settings = |precision: &str| {
            format!(
                "batch-size = 32\n\
                 steps = 60\n\
                 lr = 0.1\ntest-limit = 8\nseed = 5\nprecision = \"{precision}\"\n{more}"
            )
        };
        let [full, half, again] =
            ["f32", "f16", "f16"].map(|precision| losses(&settings(precision)));
        assert_eq!(half, again, "{more}: one seed, two results");
        assert_ne!(half, full, "{more}: nothing was stored in 16 bits");
        let mean = |steps: &[f64]| steps.iter().sum::<f64>() / steps.len() as f64;
        let [start, full, half] = [mean(&full[..5]), mean(&full[50..]), mean(&half[50..])];
        assert!(
            full < 0.8 * start,
            "{more}: the run learns too little to compare: {start} to {full}"
        );
        // Rounding changes single steps; over ten steps the losses agree to a tenth of the decrease
        // of the loss.
        assert!(
            (half - full).abs() < 0.1 * (start - full),
            "{more}: {half} in 16 bits, {full} in 32"
        );
    }
}

#[test]
fn a_step_takes_half_the_memory() {
    let dataset = mini();
    let [full, half] = ["f32", "f16"].map(|precision| {
        // Table I's network on a device that executes nothing.
        let gpu = Gpu::noop(false, Abilities::default());
        let config =
            run_config(&format!("precision = \"{precision}\""), &dataset, Path::new("nowhere"));
        let trainer = Trainer::new(&gpu, &config, &dataset).unwrap();
        [trainer.network().kept_bytes(), gpu.allocated_bytes()]
    });
    // Images and the choices of max-pooling are not halved: 30 of 300 kB per image.
    assert!((half[0] as f64) < 0.56 * full[0] as f64, "kept: {half:?} and {full:?}");
    assert!((half[1] as f64) < 0.70 * full[1] as f64, "in all: {half:?} and {full:?}");
}

/// The step of Table I's network at batch 256 on a software driver: all device memory except the
/// data set, relative to the memory that the backward pass must read.
#[test]
fn a_step_takes_little_more_than_it_must_keep() {
    let dataset = mini();
    for (settings, most) in [("", 1.30), ("bits = \"4,2\"\n", 1.30), ("sgt = false\n", 1.80)] {
        let abilities = Abilities { subgroup_lanes: Some(8), ..Abilities::default() };
        let gpu = Gpu::noop(true, abilities);
        let settings = format!("batch-size = 256\n{settings}");
        let config = run_config(&settings, &dataset, Path::new("nowhere"));
        let trainer = Trainer::new(&gpu, &config, &dataset).unwrap();
        let taken = (gpu.peak_bytes() - trainer.data_bytes()) as f64;
        let ratio = taken / trainer.network().kept_bytes() as f64;
        assert!((1.0..=most).contains(&ratio), "{settings}: {ratio:.3}");
    }
}

/// The kernels' rounding of numbers near every edge of the formats.
#[test]
fn rounding_is_the_references() {
    let mut values: Vec<f32> = vec![
        0.0,
        -0.0,
        1.0,
        65504.0,
        65519.0,
        65520.0,
        1e30,
        -1e30,
        6.103_515_6e-5,
        1e-4,
        -1e-4,
        3.0e38,
    ];
    let mut random = common::Random(3);
    values.extend((0..4084).map(|_| random.signed() * 2f32.powi(random.below(32) as i32 - 13)));
    // Halfway between two f16 numbers, and next to that.
    values.extend((0..1024u32).flat_map(|fraction| {
        let half = f32::from_bits(0x3f80_0000 + (fraction << 13) + (1 << 12));
        [half, half.next_up(), half.next_down(), -half]
    }));
    let images = gpu().uniform("images", 16).unwrap();
    gpu().write(&images, 0, &[0u32, 1, 1, 0]);
    let input = gpu().upload("values", &values).unwrap();
    let groups = values.len() as u32 / 4;
    for (format, reference) in [(Format::F16, f16 as fn(f64) -> f64), (Format::Bf16, bf16)] {
        let output = gpu().buffer("stored", values.len() as u64 * 2).unwrap();
        launch(&Activation {
            images: ImageRange { binding: (&images).into(), most: 1 },
            input: (&input).into(),
            output: (&output).into(),
            parameters: (&input).into(),
            elements: groups,
            channels: 4,
            activation: ActivationPlan::NONE,
            storage: Storage::new(Format::F32, format),
        });
        let stored = format.decode(&common::read::<u32>(&output, values.len() / 2));
        for (&value, stored) in values.iter().zip(stored) {
            // Below 2^−14 an f16 loses digits, and the driver may truncate or round.
            let expected = reference(f64::from(value)) as f32;
            let unit = if format == Format::F16 && value.abs() < 6.103_515_6e-5 {
                2f32.powi(-24)
            } else {
                0.0
            };
            assert!(
                (stored - expected).abs() <= unit,
                "{format:?}: {value:e} is stored as {stored:e}, not {expected:e}"
            );
        }
    }
}

#[test]
fn measured_tiles_take_precedence_where_they_are_wanted() {
    let product = ProductShape { weight_gradient: false, column_groups: 16, rows: 576, inner: 72 };
    let tiles = ProductTiles { row_lanes: 16, column_lanes: 8, rows: 4, deep: 8, slices: 1 };
    let (gpu, software) =
        (Gpu::noop(false, Abilities::default()), Gpu::noop(true, Abilities::default()));
    let usual = TileTable::new(&gpu).of(product).unwrap();
    assert_ne!(usual, tiles);
    assert_eq!(TileTable::for_kind(false).with_trial(product, tiles).of(product), Some(tiles));
    let tuned = TunedProduct { product, tiles, table_ms: 2.0, ms: 1.0 };
    let tuning = Tuning { adapter: "any".into(), version: "any".into(), products: vec![tuned] };
    gpu.use_tuning(tuning.clone());
    software.use_tuning(tuning);
    assert_eq!(TileTable::new(&gpu).of(product), Some(tiles));
    assert_eq!(TileTable::new(&software).of(product), None);
    // Another device of the same process has its own tiles.
    assert_eq!(TileTable::new(&Gpu::noop(false, Abilities::default())).of(product), Some(usual));
    assert_eq!(TileTable::for_kind(false).of(product), Some(usual));
    let other = ProductShape { rows: 100, ..product };
    assert_eq!(TileTable::new(&gpu).of(other), TileTable::for_kind(false).of(other));
}
