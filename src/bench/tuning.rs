//! Autotune: times other tiles than those of the table on this adapter, product by product, and
//! checks their results.

use super::timing::time;
use crate::{
    Result,
    config::RunConfig,
    gpu::{Buffer, Command, Gpu, Recording},
    kernels::ImageRange,
    layout::{ImagesRange, groups},
    nn::{Gradients, Network, NetworkOptions, ProductShape, TileTable, TunedProduct, Tuning},
    random::{EXPLAIN, random_bits, random_key, uniform01},
};

/// Tiles replace those of the table only if their time is below this share of the table's, because
/// a smaller gain is noise.
const GAIN: f64 = 0.95;
/// Largest relative difference of results for f32 and for 16-bit storage: the order of f32 sums may
/// change, and with it the stored values.
const TOLERANCE: [f64; 2] = [1e-4, 1e-2];

/// One pass over random images, recorded with given tiles.
struct Trial {
    network: Network,
    recording: Recording,
    input_gradient: Buffer,
    images: [u32; 2],
    _ranges: [Buffer; 2],
}

impl Trial {
    fn new(gpu: &Gpu, config: &RunConfig, images: u32, tiles: TileTable) -> Result<Trial> {
        let options = NetworkOptions {
            slots: images,
            training: true,
            gradients: true,
            precision: config.precision,
            masked: false,
            tangents: 0,
        };
        let network =
            Network::with_tiles(gpu, &config.network, &config.quantization, options, tiles)?;
        let mut parameters = network.graph.layout.initialize(config.seed, config.weight_init);
        for alpha in network.graph.layout.alphas() {
            parameters[alpha.offset as usize] = 1.0;
        }
        gpu.write(network.parameters(), 0, &parameters);
        let shape = network.input_shape();
        let noise = |count: u32, channels: u32| noise(config.seed, images * count, channels);
        gpu.write(
            network.input(),
            0,
            &noise(shape.pixels() * groups(shape.channels), shape.channels),
        );
        let backward = network.chunk().min(images);
        let range = |count: u32| -> Result<Buffer> {
            let range = gpu.uniform("images", size_of::<ImagesRange>() as u64)?;
            gpu.write(&range, 0, &[ImagesRange { first: 0, count, batch: count, accumulate: 0 }]);
            Ok(range)
        };
        let ranges = [range(images)?, range(backward)?];
        let [whole, chunk] = [(&ranges[0], images), (&ranges[1], backward)]
            .map(|(buffer, most)| ImageRange { binding: buffer.into(), most });
        let mut recording = Recording::new();
        network.record_weights(gpu, &mut recording)?;
        network.record_forward(gpu, &mut recording, whole, None)?;
        gpu.write(
            network.logit_gradients()?,
            0,
            &noise(groups(network.classes()), network.classes()),
        );
        let input_gradient =
            network.record_backward(gpu, &mut recording, chunk, None, Gradients::Input)?;
        let input_gradient = input_gradient.buffer().clone();
        // Activations' derivatives are computed in place. The second pass begins with the first
        // one's remains of the logits' gradient, which are equal for all tiles.
        network.record_backward(gpu, &mut recording, chunk, None, Gradients::Parameters)?;
        Ok(Trial {
            network,
            recording,
            input_gradient,
            images: [images, backward],
            _ranges: ranges,
        })
    }

    /// Logits, ∂/∂X and ∂/∂θ.
    async fn results(&self, gpu: &Gpu) -> Result<[Vec<f32>; 3]> {
        self.recording.submit(gpu)?;
        let [images, backward] = self.images.map(u64::from);
        let (classes, shape) =
            (u64::from(groups(self.network.classes())), self.network.input_shape());
        let pixels = u64::from(shape.pixels() * groups(shape.channels));
        Ok([
            gpu.read(self.network.logits(), 0, images * classes * 4).await?,
            gpu.read(&self.input_gradient, 0, backward * pixels * 4).await?,
            gpu.read(self.network.gradients(), 0, u64::from(self.network.graph.layout.length))
                .await?,
        ])
    }

    /// Time of the dispatches with this `label`, in milliseconds.
    fn time(&self, gpu: &Gpu, label: &str) -> Result<f64> {
        let mut named = Recording::new();
        for single in self.recording.split() {
            if single.commands().iter().any(
                |command| matches!(command, Command::Dispatch { label: own, .. } if own == label),
            ) {
                named.extend(&single);
            }
        }
        time(gpu, &named)
    }
}

/// `elements` groups of numbers in −1..1, zeros in the padding of `channels`.
fn noise(seed: u64, elements: u32, channels: u32) -> Vec<f32> {
    let key = random_key(seed, 0, EXPLAIN);
    let value = |bits: u32| 2.0 * uniform01(bits) - 1.0;
    (0..elements)
        .flat_map(|element| {
            let first = element % groups(channels) * 4;
            let bits = random_bits(key, element, 0, 0);
            [0, 1, 2, 3]
                .map(|lane| if first + lane < channels { value(bits[lane as usize]) } else { 0.0 })
        })
        .collect()
}

/// ‖a − b‖ / ‖b‖; infinite if any value is not finite.
fn difference(a: &[f32], b: &[f32]) -> f64 {
    let squares =
        |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>();
    let distance = squares(&mut a.iter().zip(b).map(|(&a, &b)| f64::from(a) - f64::from(b)));
    let norm = squares(&mut b.iter().map(|&b| f64::from(b)));
    let ratio = (distance / norm.max(f64::MIN_POSITIVE)).sqrt();
    if a.len() == b.len() && ratio.is_finite() { ratio } else { f64::INFINITY }
}

/// The fastest tiles of every product in a training step of `config`'s network, if they differ from
/// those of `table`. Tiles that change the network's results beyond the tolerance are rejected and
/// also reported to `progress`.
///
/// # Errors
/// Errors of the passes.
pub async fn autotune(
    gpu: &Gpu,
    config: &RunConfig,
    table: TileTable,
    progress: &mut dyn FnMut(&str),
) -> Result<Tuning> {
    let plain = Trial::new(gpu, config, config.batch_size, table.clone())?;
    let expected = plain.results(gpu).await?;
    let tolerance = TOLERANCE[usize::from(config.precision != crate::config::Precision::F32)];
    let mut products: Vec<(String, ProductShape)> = Vec::new();
    for (label, product) in plain.network.products() {
        if products.iter().all(|(_, other)| *other != product) {
            products.push((label, product));
        }
    }
    let mut found = Vec::new();
    for (label, product) in products {
        let Some(usual) = table.of(product) else { continue };
        let table_ms = plain.time(gpu, &label)?;
        let mut best = TunedProduct { product, tiles: usual, table_ms, ms: table_ms * GAIN };
        for tiles in usual.neighbours(product.weight_gradient) {
            let trial = Trial::new(
                gpu,
                config,
                config.batch_size,
                table.clone().with_trial(product, tiles),
            )?;
            let results = trial.results(gpu).await?;
            let error = results
                .iter()
                .zip(&expected)
                .map(|(own, plain)| difference(own, plain))
                .fold(0.0, f64::max);
            if error > tolerance {
                progress(&format!("{label}: {tiles:?} rejected: results differ by {error:.1e}"));
                continue;
            }
            let ms = trial.time(gpu, &label)?;
            if ms < best.ms {
                best = TunedProduct { tiles, ms, ..best };
            }
        }
        progress(&format!(
            "{label}: {table_ms:.3} ms with the table's tiles, best {:.3} ms",
            best.ms.min(table_ms)
        ));
        if best.tiles != usual {
            found.push(best);
        }
    }
    let version = env!("CARGO_PKG_VERSION").to_string();
    Ok(Tuning { adapter: gpu.adapter_description(), version, products: found })
}
