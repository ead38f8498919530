//! The weights that a network's passes compute with: quantized, and with what is folded into them.

use crate::{
    Error, Result,
    config::{LayerConfig, NetworkConfig, QuantizationConfig},
    gpu::{Gpu, Recording},
    layout::padded,
    nn::{Network, NetworkOptions},
};

/// The weights of every convolution and linear layer in order, each as one vector an output channel, as a network with `parameters`, flat in
/// the order of its layout, uses them.
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
    gpu.write(&network.parameters, 0, &parameters[..network.layout.padded_length() as usize]);
    let mut recording = Recording::new();
    network.record_weights(gpu, &mut recording)?;
    recording.submit(gpu)?;
    let shapes = config.shapes()?;
    let mut found = Vec::new();
    for layer in config.weight_layers() {
        let own = network.layer_weights().find(|(name, _)| *name == layer.name);
        let (_, buffer) = own.ok_or_else(|| Error::Model(format!("the network has no weights of a layer {}", layer.name)))?;
        let input = layer.index.checked_sub(1).map_or(config.input, |before| shapes[before]);
        let taps = match config.layers[layer.index] {
            LayerConfig::Conv { kernel, .. } => kernel * kernel,
            _ => input.pixels(),
        };
        let (in_padded, out_padded) = (padded(input.channels) as usize, padded(shapes[layer.index].channels) as usize);
        // [tap, in channel (padded), out channel (padded)]: the padding is no weight.
        let arranged = gpu.read::<f32>(buffer, 0, u64::from(taps) * (in_padded * out_padded) as u64).await?;
        let rows = || {
            let taps = arranged.chunks_exact(in_padded * out_padded);
            taps.flat_map(|tap| tap.chunks_exact(out_padded).take(input.channels as usize))
        };
        let channels = 0..shapes[layer.index].channels as usize;
        found.push(channels.map(|channel| rows().map(|row| row[channel]).collect()).collect());
    }
    Ok(found)
}
