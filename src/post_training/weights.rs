//! The effective weights of a network's passes: quantized, and with folded batch norms.

use crate::{
    Error, Result,
    config::{NetworkConfig, QuantizationConfig},
    gpu::{Gpu, Recording},
    layout::padded,
    model::{Model, fold_batch_norm},
    nn::{Network, NetworkOptions},
};

/// The effective weights of every convolution and linear layer in order, each as one vector per
/// output channel, for a network with `parameters`, flat in the order of its layout.
///
/// # Errors
/// Errors of the network and the device.
pub(super) async fn effective_weights(
    gpu: &Gpu,
    config: &NetworkConfig,
    quantization: &QuantizationConfig,
    parameters: &[f32],
) -> Result<Vec<Vec<Vec<f32>>>> {
    let network = Network::new(
        gpu,
        config,
        quantization,
        NetworkOptions { slots: 1, training: false, gradients: false, ..NetworkOptions::default() },
    )?;
    gpu.write(
        network.parameters(),
        0,
        &parameters[..network.graph.layout.padded_length() as usize],
    );
    let mut recording = Recording::new();
    network.record_weights(gpu, &mut recording)?;
    recording.submit(gpu)?;
    let mut found = Vec::new();
    let graph = &network.graph;
    for (op, _) in graph.weighted() {
        let own = network.layer_weights().find(|(name, ..)| *name == op.name);
        let (_, shape, buffer) = own.ok_or_else(|| {
            Error::Model(format!("the network has no weights of a layer {}", op.name))
        })?;
        let (in_padded, out_padded) =
            (shape.stored_inputs() as usize, padded(shape.out_channels) as usize);
        let size = u64::from(shape.taps) * (in_padded * out_padded) as u64;
        // [tap, in channel (padded), out channel (padded)]; the padding contains no weights.
        let arranged = gpu.read::<f32>(buffer, 0, size).await?;
        let rows = || {
            let taps = arranged.chunks_exact(in_padded * out_padded);
            taps.flat_map(|tap| tap.chunks_exact(out_padded).take(shape.in_channels as usize))
        };
        let channels = 0..shape.out_channels as usize;
        found.push(channels.map(|channel| rows().map(|row| row[channel]).collect()).collect());
    }
    Ok(found)
}

/// The effective weights of `model` with folded batch norms.
///
/// # Errors
/// Errors of the network and the device.
pub async fn folded_weights(gpu: &Gpu, model: &Model) -> Result<Vec<Vec<Vec<f32>>>> {
    let folded = fold_batch_norm(model)?;
    let own = &folded.config;
    effective_weights(gpu, &own.network, &own.quantization, &folded.parameters).await
}
