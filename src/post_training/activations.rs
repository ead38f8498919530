//! The activations that a network makes of the first images of a data set.

use crate::{
    Result,
    batch::{Batch, GatherOptions, ResidentData, StepRecord},
    config::{LayerConfig, NetworkConfig, QuantizationConfig},
    gpu::{Gpu, Recording},
    nn::{Network, NetworkOptions, ParameterLayout, TrainingPass, groups, to_nchw},
};

/// A network with its parameters, to be run on images.
#[derive(Clone, Copy, Debug)]
pub struct ActivationPass<'a> {
    /// The network.
    pub network: &'a NetworkConfig,
    /// How it runs.
    pub quantization: &'a QuantizationConfig,
    /// Where each of `parameters` is; those that the network does not have, such as α's where it runs in float, are left out.
    pub layout: &'a ParameterLayout,
    /// Flat parameters.
    pub parameters: &'a [f32],
    /// Mean and deviation of the pixels.
    pub normalization: (f32, f32),
    /// Whether batch norms take the statistics of the images, as in training, not the running ones; dropout is off all the same.
    pub live: bool,
}

/// Images of a batch at most: what is read back at once, and what live batch norms take their statistics of.
pub const OBSERVED_BATCH: u32 = 64;

/// Runs the network on the first `images` images of `data` in file order, a batch at a time, and shows `visit` every layer's output, under the name of its
/// activation where it has one: values [image, channel, row, column].
///
/// # Errors
/// Errors of the network and the device.
pub async fn observe_activations(
    gpu: &Gpu,
    pass: &ActivationPass<'_>,
    data: &ResidentData,
    images: u32,
    visit: &mut dyn FnMut(&str, &[f32]),
) -> Result<()> {
    let count = data.count.min(images);
    let most = count.clamp(1, OBSERVED_BATCH);
    let live = pass.live && pass.network.has_batch_norm();
    let options = NetworkOptions { slots: most, training: live, gradients: false, ..NetworkOptions::default() };
    let is_kept = |layer: &&LayerConfig| !matches!(layer, LayerConfig::Dropout { .. });
    let without_dropout =
        NetworkConfig { layers: pass.network.layers.iter().filter(is_kept).cloned().collect(), ..pass.network.clone() };
    let network = Network::new(gpu, &without_dropout, pass.quantization, options)?;
    gpu.write(&network.parameters, 0, &network.layout.gather(pass.layout, pass.parameters));
    let table = StepRecord::in_file_order(count, most, 0);
    let batch = Batch::new(gpu, most, false, table.len() as u64)?;
    batch.write_table(gpu, &table);
    let mut recording = Recording::new();
    batch.record_begin(gpu, &mut recording)?;
    let (mean, deviation) = pass.normalization;
    let gather = GatherOptions { shuffle: false, augment: Vec::new(), mean, deviation };
    batch.record_gather(gpu, &mut recording, data, &gather, &network.input)?;
    network.record_weights(gpu, &mut recording)?;
    let training = TrainingPass { step: &batch.step, batches: 1, freeze_after: None };
    network.record_forward(gpu, &mut recording, batch.clean(), live.then_some(training))?;
    for record in &table {
        recording.submit(gpu)?;
        for (name, shape, buffer) in network.activations() {
            let count = u64::from(record.count) * u64::from(shape.pixels() * groups(shape.channels)) * 4;
            visit(name, &to_nchw(&gpu.read::<f32>(buffer, 0, count).await?, shape));
        }
    }
    Ok(())
}
