//! Trains a small network with Saliency Guided Training and 4-bit layers on the built-in digits:
//! `cargo run --release --no-default-features --features gpu --example train`.

use saliq::{
    Result,
    config::{PartialRunConfig, resolve},
    data,
    gpu::{Gpu, GpuOptions},
    train::{EpochLine, Observer, Start, Trainer},
};

/// Prints the results of every epoch.
struct Lines;

impl Observer for Lines {
    fn epoch(&mut self, line: &EpochLine) {
        let accuracy = 100.0 * line.test_accuracy;
        println!("epoch {}: loss {:.3}, {accuracy:.2} % right", line.epoch, line.train_loss);
    }
}

const SETTINGS: &str = r#"
bits = "4,4"
epochs = 2
lr = 0.1
out = "runs/example"

[network]
layers = [
    { type = "conv", name = "conv1", out-channels = 8, kernel = 3, stride = 2 },
    { type = "activation", name = "act1" },
    { type = "conv", name = "conv2", out-channels = 16, kernel = 3 },
    { type = "activation", name = "act2" },
    { type = "max-pool", kernel = 2, stride = 2 },
    { type = "linear", name = "fc1", out-features = 10 },
]
"#;

fn main() -> Result<()> {
    let gpu = pollster::block_on(Gpu::new(&GpuOptions::default()))?;
    let dataset = data::load("mnist-mini", None)?;
    let config = resolve(PartialRunConfig::parse(SETTINGS, "the example")?, &dataset.info())?;
    let mut trainer = Trainer::new(&gpu, &config, &dataset)?;
    let outcome = pollster::block_on(trainer.run(Start::Replace, &mut Lines))?;
    println!("{:.2} % of the test images", 100.0 * outcome.evaluation.accuracy);
    println!("the model is {}", config.out.join("model.safetensors").display());
    Ok(())
}
