//! The cost of an attribution compared with the passes that it needs at least: a forward pass, and
//! a backward pass to the image.

use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::timing::median;
use crate::{
    Result,
    batch::Batch,
    config::{RunConfig, WeightInit},
    gpu::{Gpu, Recording},
    graph::Graph,
    kernels::Scalar,
    layout::StepRecord,
    nn::{Gradients, Layers, Network},
    saliency::{ExplainedNetwork, Explainer, ImageSet, Method, MethodOptions},
    sgt::record_saliency_seed,
};

/// Number of interleaved timings of each kind, whose median is used.
const ROUNDS: usize = 3;
/// Number of steps of Integrated Gradients.
const STEPS: u32 = 50;

/// Times per image in milliseconds, and their ratios to the plain pass.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AttributionResult {
    /// Images of the plain pass, and samples per chunk of an attribution.
    pub batch_size: u32,
    /// Forward pass and input gradient of a batch, as in a training step.
    pub pass_ms_per_image: f64,
    /// Time of `gradient`.
    pub gradient_ms_per_image: f64,
    /// Time of `gradient` divided by that of the plain pass.
    pub gradient_ratio: f64,
    /// Time of `integrated-gradients` with 50 steps.
    pub integrated_gradients_ms_per_image: f64,
    /// Time of `integrated-gradients` divided by that of 50 plain passes.
    pub integrated_gradients_ratio: f64,
}

/// Measures the network of `config`, float or quantized, with random parameters and black images,
/// because times do not depend on either.
///
/// # Errors
/// Those of the device.
pub fn measure(gpu: &Gpu, config: &RunConfig) -> Result<AttributionResult> {
    let batch_size = config.batch_size;
    let layout = Graph::new(&config.network, &config.quantization)?.layout;
    let parameters =
        gpu.upload("parameters", &layout.initialize(config.seed, WeightInit::KaimingUniform))?;
    let explained = ExplainedNetwork {
        config: &config.network,
        quantization: &config.quantization,
        parameters: &parameters,
    };

    let network = Network::for_attribution(
        gpu,
        &config.network,
        &config.quantization,
        (batch_size, Layers::Joined),
        true,
        &parameters,
    )?;
    let batch = Batch::new(gpu, batch_size, false, 1)?;
    let mut pass = Recording::new();
    network.record_forward(gpu, &mut pass, batch.clean(), None)?;
    record_saliency_seed(
        gpu,
        &mut pass,
        &network,
        batch.clean(),
        &batch.labels,
        Scalar::LogitLabel,
    )?;
    network.record_backward(gpu, &mut pass, batch.clean(), None, Gradients::Input)?;
    let mut prepare = Recording::new();
    network.record_weights(gpu, &mut prepare)?;
    batch.record_begin(gpu, &mut prepare)?;
    batch.write_table(gpu, &StepRecord::in_file_order(batch_size, batch_size, 0));
    prepare.submit(gpu)?;

    let (gradient_images, path_images) = (2 * batch_size, (2 * batch_size).div_ceil(STEPS));
    let images = ImageSet::new(gpu, config.network.input, gradient_images, 0)?;
    let maps = images.maps(gpu)?;
    let options = MethodOptions { batch_size, steps: STEPS, ..MethodOptions::default() };
    let gradient = Explainer::new(gpu, explained, Method::Gradient, &options, gradient_images)?;
    let path = Explainer::new(gpu, explained, Method::IntegratedGradients, &options, path_images)?;
    let gradient = gradient.record(gpu, &images, &maps)?;
    let path = path.record(gpu, &images, &maps)?;

    let timed = |work: &dyn Fn() -> Result<()>| -> Result<f64> {
        let start = Instant::now();
        work()?;
        gpu.wait()?;
        Ok(start.elapsed().as_secs_f64() * 1e3)
    };
    let plain = || pass.submit(gpu).and_then(|()| pass.submit(gpu));
    let by_gradient = || gradient.run(gpu, gradient_images, &mut |_| {});
    let by_path = || path.run(gpu, path_images, &mut |_| {});
    let mut times = [Vec::new(), Vec::new(), Vec::new()];
    // The first round includes compilation.
    for round in 0..=ROUNDS {
        let measured = [timed(&plain)?, timed(&by_gradient)?, timed(&by_path)?];
        if round > 0 {
            times.iter_mut().zip(measured).for_each(|(list, time)| list.push(time));
        }
    }
    let [pass_ms, gradient_ms, path_ms] = times.map(|mut list| median(&mut list));
    let pass_ms_per_image = pass_ms / f64::from(2 * batch_size);
    let gradient_ms_per_image = gradient_ms / f64::from(gradient_images);
    let integrated_gradients_ms_per_image = path_ms / f64::from(path_images);
    Ok(AttributionResult {
        batch_size,
        pass_ms_per_image,
        gradient_ms_per_image,
        gradient_ratio: gradient_ms_per_image / pass_ms_per_image,
        integrated_gradients_ms_per_image,
        integrated_gradients_ratio: integrated_gradients_ms_per_image
            / (f64::from(STEPS) * pass_ms_per_image),
    })
}
