//! Autotune with the GPU's kernels, on whatever adapter there is: what it tries computes the same,
//! and what it finds can be used.

use std::path::Path;

use saliq::{
    bench::autotune,
    data,
    nn::{TileTable, Tuning},
};

use crate::{common::gpu, support::run_config};

const NETWORK: &str = r#"
[network]
layers = [
    { type = "conv", name = "conv1", out-channels = 8, kernel = 3, stride = 4 },
    { type = "activation", name = "act1" },
    { type = "linear", name = "fc1", out-features = 10 },
]
"#;

#[test]
fn tiles_on_trial_compute_the_same() {
    let dataset = data::load("mnist-mini", None).unwrap();
    let config = run_config(&format!("batch-size = 8\n{NETWORK}"), &dataset, Path::new("nowhere"));
    let mut notes = Vec::new();
    let mut progress = |note: &str| notes.push(note.to_string());
    let found = autotune(gpu(), &config, TileTable::for_kind(false), &mut progress);
    let tuning = pollster::block_on(found).unwrap();
    assert_eq!(tuning.adapter, gpu().adapter_description());
    // Both layers forward and to their weights, fc1 to its input.
    assert_eq!(notes.len(), 5, "{notes:?}");
    assert!(notes.iter().all(|note| !note.contains("rejected")), "{notes:?}");
    assert!(
        tuning.products.iter().all(
            |tuned| tuned.ms < tuned.table_ms && tuned.tiles.fit(tuned.product.weight_gradient)
        )
    );
    assert_eq!(Tuning::parse(&tuning.to_text()).unwrap(), tuning);
}
