//! The baseline by squared gradients: the trace of the empirical Fisher information of a slot times
//! the mean squared error of its quantizer (FIT, Zandonati et al., ICLR 2023). It knows the loss
//! only, and needs no pass for each width.

use std::collections::BTreeMap;

use super::slots::{Slot, Space};
use crate::{
    Error, Result,
    batch::{Batch, GatherOptions, ResidentData},
    config::PixelNormalization,
    gpu::{Gpu, Recording},
    kernels::Scalar,
    layout::{StepRecord, groups},
    model::{Model, fold_batch_norm},
    nn::{BackwardRule, Gradients, Layers, Network, NetworkOptions},
    post_training::{ActivationRanges, Calibration, PostTraining, WeightRanges, folded_weights},
    sgt::record_saliency_seed,
};

/// Images whose gradients are squared. Those by the weights need a pass for each image.
const IMAGES: u32 = 32;

/// For every slot and width: Σ over its tensors of E‖∂ℓ/∂v‖² · mean (v̂ − v)².
///
/// # Errors
/// Errors of quantization and of the device; [`Error::Gpu`] for a batch norm that cannot be folded.
pub async fn fisher(
    gpu: &Gpu,
    space: &Space,
    model: &Model,
    (weights, activations): (&WeightRanges, &ActivationRanges),
    calibration: Calibration,
    (data, normalization): (&ResidentData, PixelNormalization),
) -> Result<Vec<Vec<f64>>> {
    let folded = fold_batch_norm(model)?;
    let data = data.first(gpu, IMAGES)?;
    let images = (&data, normalization);
    let of_weights = weight_traces(gpu, &folded, images).await?;
    let mut traces = BTreeMap::new();
    for slot in space.slots.iter().filter(|slot| slot.activations) {
        let name = activation_of(space, slot);
        traces.insert(name.clone(), activation_trace(gpu, &folded, images, &name).await?);
    }
    let float = folded_weights(gpu, model).await?;
    let mut damages = vec![Vec::new(); space.slots.len()];
    for width in 0..space.widths.len() {
        let quantization = space.quantization(&space.all_at(width));
        let options = PostTraining { quantization, calibration };
        let (quantized, tensors) = weights.quantize(model, &options, activations)?;
        let quantized = folded_weights(gpu, &quantized).await?;
        let of_activation = |name: &str| {
            let own = tensors.iter().find(|tensor| tensor.name == name);
            own.map_or(0.0, |tensor| tensor.mean_squared_error)
        };
        for (slot, own) in space.slots.iter().zip(&mut damages) {
            let mut damage = 0.0;
            if slot.weights {
                let error = mean_squared_error(&float[slot.layer], &quantized[slot.layer]);
                damage += of_weights[slot.layer] * error;
            }
            if slot.activations {
                let name = activation_of(space, slot);
                damage += traces[&name] * of_activation(&name);
            }
            own.push(damage);
        }
    }
    Ok(damages)
}

/// The activation behind the layer of `slot`.
fn activation_of(space: &Space, slot: &Slot) -> String {
    let mut layers = space.network.weight_layers();
    layers.swap_remove(slot.layer).activation.unwrap_or_default()
}

/// E‖∂ℓ/∂W‖² of every layer with weights.
async fn weight_traces(
    gpu: &Gpu,
    model: &Model,
    (data, normalization): (&ResidentData, PixelNormalization),
) -> Result<Vec<f64>> {
    let own = &model.config;
    let options =
        NetworkOptions { slots: 1, training: true, gradients: true, ..NetworkOptions::default() };
    let network = Network::new(gpu, &own.network, &own.quantization, options)?;
    gpu.write(network.parameters(), 0, &model.parameters);
    let table = StepRecord::in_file_order(data.count, 1, 0);
    let batch = Batch::new(gpu, 1, false, table.len() as u64)?;
    let (mut prepare, mut pass) = (Recording::new(), Recording::new());
    network.record_weights(gpu, &mut prepare)?;
    record_loss_gradient(gpu, &mut pass, &network, (data, normalization), &batch)?;
    network.record_backward(gpu, &mut pass, batch.clean(), None, Gradients::Parameters)?;
    batch.write_table(gpu, &table);
    prepare.submit(gpu)?;
    let mut traces = vec![0.0; network.graph.weighted().count()];
    for record in &table {
        data.stage(gpu, std::slice::from_ref(record), false);
        pass.submit(gpu)?;
        let length = u64::from(network.graph.layout.length);
        let gradients: Vec<f32> = gpu.read(network.gradients(), 0, length).await?;
        for (trace, (_, own)) in traces.iter_mut().zip(network.graph.weighted()) {
            *trace += squares(&gradients[network.graph.parameter(own.weight).range()]);
        }
    }
    let images = f64::from(data.count.max(1));
    Ok(traces.into_iter().map(|trace| trace / images).collect())
}

/// E‖∂ℓ/∂a‖² of the activation `name`.
async fn activation_trace(
    gpu: &Gpu,
    model: &Model,
    (data, normalization): (&ResidentData, PixelNormalization),
    name: &str,
) -> Result<f64> {
    let own = &model.config;
    let parameters = gpu.upload("parameters", &model.parameters)?;
    let slots = (data.count, Layers::Separate);
    let (config, quantization) = (&own.network, &own.quantization);
    let network = Network::for_attribution(gpu, config, quantization, slots, true, &parameters)?;
    let stop = config.names().iter().position(|own| own == name);
    let stop = stop.ok_or_else(|| Error::Model(format!("the network has no layer {name}")))?;
    let batch = Batch::new(gpu, data.count, false, 1)?;
    let mut pass = Recording::new();
    network.record_weights(gpu, &mut pass)?;
    record_loss_gradient(gpu, &mut pass, &network, (data, normalization), &batch)?;
    let (clean, rule) = (batch.clean(), BackwardRule::Gradient);
    let gradient = network.record_backward_by(gpu, &mut pass, clean, rule, Some(stop))?;
    let table = StepRecord::in_file_order(data.count, data.count, 0);
    batch.write_table(gpu, &table);
    data.stage(gpu, &table, false);
    pass.submit(gpu)?;
    let (_, shape, _) = network.layer(stop);
    let count = u64::from(data.count) * u64::from(shape.pixels() * groups(shape.channels)) * 4;
    let values: Vec<f32> = gpu.read(gradient.buffer(), gradient.offset() / 4, count).await?;
    Ok(squares(&values) / f64::from(data.count.max(1)))
}

/// Adds a forward pass and the gradient of the log-probability of the label, which is that of the
/// loss but for its sign.
fn record_loss_gradient(
    gpu: &Gpu,
    pass: &mut Recording,
    network: &Network,
    (data, normalization): (&ResidentData, PixelNormalization),
    batch: &Batch,
) -> Result<()> {
    batch.record_begin(gpu, pass)?;
    let gather = GatherOptions::in_file_order(normalization);
    batch.record_gather(gpu, pass, data, &gather, network.input())?;
    network.record_forward(gpu, pass, batch.clean(), None)?;
    let scalar = Scalar::LogSoftmaxLabel;
    record_saliency_seed(gpu, pass, network, batch.clean(), &batch.labels, scalar)
}

/// Mean of (v̂ − v)² of the weights of a layer.
fn mean_squared_error(float: &[Vec<f32>], quantized: &[Vec<f32>]) -> f64 {
    let pairs = || float.iter().flatten().zip(quantized.iter().flatten());
    let sum: f64 = pairs().map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum();
    sum / pairs().count().max(1) as f64
}

fn squares(values: &[f32]) -> f64 {
    values.iter().map(|&value| f64::from(value).powi(2)).sum()
}
