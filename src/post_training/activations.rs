//! Computes the activations of a network on the first images of a data set.

use crate::{
    Result,
    batch::{Batch, GatherOptions, ResidentData},
    config::{
        ActivationQuantizer, LayerBits, LayerKind, NetworkConfig, PactKind, PixelNormalization,
        QuantizationConfig,
    },
    gpu::{Gpu, Recording},
    graph::{Graph, OpKind, ParameterLayout},
    layout::{StepRecord, groups, to_nchw},
    nn::{Network, NetworkOptions, TrainingPass},
};

/// A network with its parameters, to run on images.
#[derive(Clone, Copy, Debug)]
pub struct ActivationPass<'a> {
    /// The network.
    pub network: &'a NetworkConfig,
    /// Its quantization.
    pub quantization: &'a QuantizationConfig,
    /// The place of each of `parameters`. Parameters that the network does not have are ignored,
    /// such as α's if it runs in float.
    pub layout: &'a ParameterLayout,
    /// Flat parameters.
    pub parameters: &'a [f32],
    /// Mean and standard deviation of the pixels.
    pub normalization: PixelNormalization,
    /// Images per batch whose statistics batch norms use, as in training; `None` for the running
    /// statistics. Dropout is off in both cases.
    pub live: Option<u32>,
}

/// Images that are read back at once, if no statistics depend on that number.
const OBSERVED_BATCH: u32 = 64;

/// Runs the network on the first `images` images of `data` in file order, one batch at a time, and
/// passes every layer's output to `visit`, under the name of its activation if it has one: values
/// [image, channel, row, column].
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
    let batch_size = pass.live.filter(|_| pass.network.has_batch_norm());
    let live = batch_size.is_some();
    let most = count.clamp(1, batch_size.unwrap_or(OBSERVED_BATCH).max(1));
    let options = NetworkOptions {
        slots: most,
        training: live,
        gradients: false,
        ..NetworkOptions::default()
    };
    let without_dropout = pass.network.without(LayerKind::is_dropout);
    let network = Network::new(gpu, &without_dropout, pass.quantization, options)?;
    gpu.write(network.parameters(), 0, &network.graph.layout.gather(pass.layout, pass.parameters)?);
    let table = StepRecord::in_file_order(count, most, 0);
    let batch = Batch::new(gpu, most, false, table.len() as u64)?;
    batch.write_table(gpu, &table);
    let mut recording = Recording::new();
    batch.record_begin(gpu, &mut recording)?;
    let gather = GatherOptions::in_file_order(pass.normalization);
    batch.record_gather(gpu, &mut recording, data, &gather, network.input())?;
    network.record_weights(gpu, &mut recording)?;
    let training = TrainingPass { step: &batch.step, batches: 1, freeze_after: None };
    network.record_forward(gpu, &mut recording, batch.clean(), live.then_some(training))?;
    for record in &table {
        recording.submit(gpu)?;
        for (name, shape, buffer) in network.activations() {
            let count =
                u64::from(record.count) * u64::from(shape.pixels() * groups(shape.channels)) * 4;
            visit(name, &to_nchw(&gpu.read::<f32>(buffer, 0, count).await?, shape));
        }
    }
    Ok(())
}

/// As [`observe_activations`] with all activations in float: the input of each quantizer, under its
/// name. A ReLU also replaces signed PACT, but not LSQ+ without a ReLU, whose inputs have values
/// below 0.
///
/// # Errors
/// As [`observe_activations`].
pub async fn observe_unquantized(
    gpu: &Gpu,
    pass: &ActivationPass<'_>,
    data: &ResidentData,
    images: u32,
    visit: &mut dyn FnMut(&str, &[f32]),
) -> Result<()> {
    let bits =
        pass.quantization.bits.iter().map(|bits| LayerBits { activation: 32, ..*bits }).collect();
    let float = QuantizationConfig { bits, ..pass.quantization.clone() };
    let float_pass = ActivationPass { quantization: &float, ..*pass };
    // A function behind which LSQ+ stands is computed in float all the same.
    if (pass.quantization.act_quant, pass.quantization.pact)
        != (ActivationQuantizer::LsqPlus, PactKind::Signed)
    {
        return observe_activations(gpu, &float_pass, data, images, visit).await;
    }
    let (network, quantized) = without_quantized(pass.network, pass.quantization)?;
    let float_pass = ActivationPass { network: &network, ..float_pass };
    observe_activations(gpu, &float_pass, data, images, &mut |layer, values| {
        for (_, activation) in quantized.iter().filter(|(front, _)| front == layer) {
            visit(activation, values);
        }
        visit(layer, values);
    })
    .await
}

/// `network` without its quantized activations in whose place a quantizer stands, and of each the
/// name of the layer whose output it would have read.
fn without_quantized(
    network: &NetworkConfig,
    quantization: &QuantizationConfig,
) -> Result<(NetworkConfig, Vec<(String, String)>)> {
    let graph = Graph::new(network, quantization)?;
    // Operations and layers have the same numbers.
    let is_quantized = |index: usize| match &graph.ops[index].kind {
        OpKind::Activation(own) => own.learned.is_some() && own.function.is_rectifier(),
        _ => false,
    };
    let is_gone = |index: usize| is_quantized(index) || network.layers[index].kind.is_dropout();
    let without = network.without_layers(is_gone);
    let kept: Vec<usize> = (0..network.layers.len()).filter(|&index| !is_gone(index)).collect();
    let mut quantized = Vec::new();
    for (index, op) in graph.ops.iter().enumerate().filter(|(index, _)| is_quantized(*index)) {
        let mut front = graph.before(op);
        while let Some(before) = front.filter(|before| is_gone(before.id.index())) {
            front = graph.before(before);
        }
        let place = front.and_then(|front| kept.iter().position(|&own| own == front.id.index()));
        if let Some(place) = place {
            quantized.push((without.names()[place].clone(), graph.ops[index].name.clone()));
        }
    }
    Ok((without, quantized))
}
