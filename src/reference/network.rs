//! A whole sequential CNN in f64: forward with every activation kept, and the gradients of the logits with respect to input and parameters,
//! by the straight-through estimator. Built from the references of the single kernels; dropout is off, and batch norms use the running
//! statistics (inference) unless [`ReferenceNetwork::training`] says otherwise.

use super::{
    activation::{Activation, activation},
    activation_gradient::activation_gradient,
    batch_norm::{Coefficients, batch_norm},
    batch_norm_gradient_sums::batch_norm_gradient_sums,
    batch_norm_inference::{Factor, Norm, batch_norm_inference},
    batch_norm_input_gradient::batch_norm_input_gradient,
    batch_norm_moments::batch_norm_moments,
    batch_norm_parameter_gradient::batch_norm_parameter_gradient,
    batch_norm_update::batch_norm_update,
    convolution::{Convolution, convolution},
    convolution_input_gradient::convolution_input_gradient,
    convolution_weight_gradient::convolution_weight_gradient,
    fold_batch_norm::fold_batch_norm,
    fold_batch_norm_gradient::fold_batch_norm_gradient,
    fully_connected_weight_gradient::fully_connected_weight_gradient,
    learned_step::learned_step,
    learned_step_gradient::{learned_step_gradient, step_gradient_scale},
    matrix_product::{matrix_product, matrix_product_input_gradient},
    max_pool::{max_pool, windows},
    max_pool_gradient::max_pool_gradient,
    prepare_weights::{clip, level_range, position, quantize},
    reduce_weight_gradient::reduce_weight_gradient,
    storage::{bf16, f16},
    weight_range::weight_range,
    weight_scale::{WeightScale, weight_scale},
};
use crate::{
    Result,
    config::{LayerConfig, NetworkConfig, Precision, QuantizationConfig, Shape},
    layout::ParameterLayout,
};

/// The network. Parameters are flat, as [`ParameterLayout`] says; activations NCHW.
pub struct ReferenceNetwork {
    /// Where each parameter is.
    pub layout: ParameterLayout,
    config: NetworkConfig,
    quantization: QuantizationConfig,
    shapes: Vec<Shape>,
    rounding: bool,
    training: Option<Training>,
    precision: Precision,
}

/// How batch norms work while training.
#[derive(Clone, Copy, Debug)]
struct Training {
    batches: usize,
    frozen: bool,
}

/// Everything a forward pass computed.
pub struct Forward {
    /// Input, then the output of every layer; the last are the logits.
    pub values: Vec<Vec<f64>>,
    weights: Vec<Vec<f64>>,
    choices: Vec<Vec<usize>>,
    /// Of batch norms: the coefficients of every batch, and the statistics as the pass left them.
    norms: Vec<Option<(Vec<Vec<Coefficients>>, Norm)>>,
}

impl Forward {
    /// The last layer's output, [images, classes].
    pub fn logits(&self) -> &[f64] {
        self.values.last().map_or(&[], Vec::as_slice)
    }
}

/// The quantizers of a layer's output channels; empty for layers without weights.
pub type Scales = Vec<Vec<WeightScale>>;

impl ReferenceNetwork {
    /// The network of `config` with `quantization`. `rounding` false leaves every quantizer's rounding out, so that the straight-through
    /// gradients are the true ones.
    ///
    /// # Errors
    /// As [`ParameterLayout::new`].
    pub fn new(config: &NetworkConfig, quantization: &QuantizationConfig, rounding: bool) -> Result<Self> {
        let layout = ParameterLayout::new(config, quantization)?;
        let shapes = std::iter::once(config.input).chain(config.shapes()?).collect();
        Ok(ReferenceNetwork {
            layout,
            config: config.clone(),
            quantization: quantization.clone(),
            shapes,
            rounding,
            training: None,
            precision: Precision::F32,
        })
    }

    /// In training mode: batch norms take the statistics of the batch, or with `frozen` the running ones. The images are `batches` batches side
    /// by side, as many images each.
    pub fn training(mut self, batches: usize, frozen: bool) -> Self {
        self.training = Some(Training { batches, frozen });
        self
    }

    /// Parameters and running statistics of the batch norm called `name`.
    fn norm(&self, parameters: &[f64], name: &str) -> Norm {
        let values = |suffix: &str| self.named(parameters, name, suffix).to_vec();
        Norm {
            scale: values("weight"),
            shift: values("bias"),
            mean: values("running_mean"),
            variance: values("running_var"),
            batches: values("num_batches_tracked").first().copied().unwrap_or(0.0),
        }
    }

    /// The batch norm that scales the weights of layer `index`: the one right behind it, where they are quantized.
    fn folding(&self, parameters: &[f64], index: usize) -> Option<(&str, Vec<Factor>)> {
        match self.config.layers.get(index + 1) {
            Some(LayerConfig::BatchNorm { name }) if self.quantization.layer_bits(self.weighted(index)).quantizes_weights() => {
                Some((name, batch_norm_inference(&self.norm(parameters, name), true).0))
            }
            _ => None,
        }
    }

    /// Weights or bias of layer `index` as they are quantized: scaled by a batch norm behind.
    fn latent(&self, parameters: &[f64], index: usize, name: &str, suffix: &str) -> Vec<f64> {
        let values = self.named(parameters, name, suffix);
        match self.folding(parameters, index) {
            Some((_, factors)) => fold_batch_norm(values, &factors),
            None => values.to_vec(),
        }
    }

    /// Layer `index`, a batch norm, on `z`.
    fn normalize(&self, parameters: &[f64], index: usize, name: &str, z: &[f64]) -> (Vec<f64>, Vec<Vec<Coefficients>>, Norm) {
        let (mut norm, shape) = (self.norm(parameters, name), self.shapes[index]);
        let (factors, coefficients) = batch_norm_inference(&norm, self.folding(parameters, index - 1).is_some());
        let Some(Training { batches, frozen }) = self.training else {
            return (batch_norm(z, shape, &coefficients), vec![coefficients], norm);
        };
        let size = z.len() / batches;
        let mut values = Vec::new();
        let mut all = Vec::new();
        for batch in z.chunks_exact(size) {
            let moments = batch_norm_moments(batch, shape, 0..size / shape.channels as usize);
            let coefficients = batch_norm_update(&moments, &factors, &mut norm, frozen);
            values.extend(batch_norm(batch, shape, &coefficients));
            all.push(coefficients);
        }
        (values, all, norm)
    }

    /// Backward pass of layer `index`, a batch norm: (∂L/∂z, ∂L/∂γ, ∂L/∂β).
    fn norm_gradient(
        &self,
        parameters: &[f64],
        (index, name): (usize, &str),
        coefficients: &[Vec<Coefficients>],
        z: &[f64],
        gradient: &[f64],
    ) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
        let (norm, shape) = (self.norm(parameters, name), self.shapes[index]);
        let fold = self.folding(parameters, index - 1).is_some();
        let (factors, _) = batch_norm_inference(&norm, fold);
        let frozen = self.training.is_none_or(|training| training.frozen);
        let size = z.len() / coefficients.len();
        let rows = size / shape.channels as usize;
        let mut sums = (Vec::new(), vec![0.0; norm.scale.len()], vec![0.0; norm.scale.len()]);
        for ((batch, g), coefficients) in z.chunks_exact(size).zip(gradient.chunks_exact(size)).zip(coefficients) {
            let parts = batch_norm_gradient_sums(batch, g, shape, coefficients, 0..rows);
            let own = batch_norm_parameter_gradient(&parts, rows, (&factors, coefficients), &norm, [fold, frozen]);
            sums.0.extend(batch_norm_input_gradient(batch, g, shape, coefficients, &own.means));
            for channel in 0..norm.scale.len() {
                sums.1[channel] += own.scale[channel];
                sums.2[channel] += own.shift[channel];
            }
        }
        sums
    }

    /// `parameters` with the running statistics as `pass` left them.
    pub fn moved_on(&self, parameters: &[f64], pass: &Forward) -> Vec<f64> {
        let mut moved = parameters.to_vec();
        for (layer, norm) in self.config.layers.iter().zip(&pass.norms) {
            if let (LayerConfig::BatchNorm { name }, Some((_, norm))) = (layer, norm) {
                let statistics =
                    [("running_mean", &norm.mean), ("running_var", &norm.variance), ("num_batches_tracked", &vec![norm.batches])];
                for (suffix, values) in statistics {
                    if let Some(parameter) = self.layout.find(&format!("{name}.{suffix}")) {
                        moved[parameter.range()].copy_from_slice(values);
                    }
                }
            }
        }
        moved
    }

    /// With activations and gradients rounded where they are stored in 16 bits.
    #[must_use]
    pub fn stored_in(self, precision: Precision) -> Self {
        ReferenceNetwork { precision, ..self }
    }

    /// Whether the values between layer `boundary` − 1 and layer `boundary` take 16 bits: all but images and logits, and what an activation
    /// or dropout makes of these in their place.
    fn halved(&self, boundary: usize) -> bool {
        let in_place = |layer: &LayerConfig| {
            matches!(layer, LayerConfig::BatchNorm { .. } | LayerConfig::Activation { .. } | LayerConfig::Dropout { .. })
        };
        let (before, after) = self.config.layers.split_at(boundary);
        self.precision == Precision::F16 && !before.iter().all(in_place) && !after.iter().all(in_place)
    }

    /// Whether layer `index` and the activation behind it are one kernel, which stores the activation's output.
    fn merged(&self, index: usize) -> bool {
        matches!(self.config.layers[index], LayerConfig::Conv { .. } | LayerConfig::Linear { .. } | LayerConfig::BatchNorm { .. })
            && matches!(self.config.layers.get(index + 1), Some(LayerConfig::Activation { .. }))
    }

    /// Position of layer `index` among the layers with weights, or of the last of those before it.
    fn weighted(&self, index: usize) -> usize {
        let is_weighted = |layer: &&LayerConfig| matches!(layer, LayerConfig::Conv { .. } | LayerConfig::Linear { .. });
        self.config.layers[..=index].iter().filter(is_weighted).count().saturating_sub(1)
    }

    fn levels(&self, index: usize) -> f64 {
        2f64.powi(self.quantization.layer_bits(self.weighted(index)).weight as i32) - 1.0
    }

    fn named<'a>(&self, parameters: &'a [f64], name: &str, suffix: &str) -> &'a [f64] {
        self.layout.find(&format!("{name}.{suffix}")).map_or(&[], |parameter| &parameters[parameter.range()])
    }

    fn activation(&self, parameters: &[f64], index: usize, name: &str) -> Activation {
        let bits = self.quantization.layer_bits(self.weighted(index));
        let (kind, levels) = (self.quantization.pact, Activation::levels(self.quantization.pact, bits));
        match (self.named(parameters, name, "alpha"), self.named(parameters, name, "step")) {
            (_, &[step]) if self.rounding => Activation::Lsq { kind, step, levels },
            (_, &[step]) => Activation::Pact { kind, alpha: step * levels, levels: None },
            (&[alpha], _) => {
                let full = Activation::new(kind, bits, alpha);
                match full {
                    Activation::Pact { kind, alpha, .. } if !self.rounding => Activation::Pact { kind, alpha, levels: None },
                    other => other,
                }
            }
            _ => Activation::Relu,
        }
    }

    /// The weight quantizers' constants for `parameters`.
    pub fn scales(&self, parameters: &[f64]) -> Scales {
        let of_layer = |(index, layer): (usize, &LayerConfig)| {
            let (LayerConfig::Conv { name, .. } | LayerConfig::Linear { name, .. }) = layer else { return Vec::new() };
            let weight = &self.latent(parameters, index, name, "weight")[..];
            let channels = self.named(parameters, name, "bias").len();
            let bits = self.quantization.layer_bits(self.weighted(index));
            let steps = self.named(parameters, name, "weight_step");
            if !steps.is_empty() {
                return learned_step(steps, channels);
            }
            let scale = |weights: &[f64]| weight_scale(self.quantization.weight_quant, bits.weight, &weight_range(weights));
            match (bits.quantizes_weights() && !self.quantization.weights_are_levels, self.quantization.per_channel) {
                (false, _) => vec![WeightScale::Float; channels],
                (true, false) => vec![scale(weight); channels],
                (true, true) => weight.chunks_exact(weight.len() / channels).map(scale).collect(),
            }
        };
        self.config.layers.iter().enumerate().map(of_layer).collect()
    }

    fn convolution(&self, index: usize, images: usize) -> Option<Convolution> {
        let LayerConfig::Conv { out_channels, kernel, stride, padding, .. } = self.config.layers[index] else { return None };
        Some(Convolution { images, input: self.shapes[index], out_channels, kernel, stride, padding })
    }

    /// f(X) of `input` [images, channels, height, width], with the weight quantizers `scales`.
    pub fn forward(&self, parameters: &[f64], scales: &Scales, input: &[f64]) -> Forward {
        let images = input.len() / self.config.input.elements() as usize;
        let mut pass = Forward { values: vec![input.to_vec()], weights: Vec::new(), choices: Vec::new(), norms: Vec::new() };
        for (index, layer) in self.config.layers.iter().enumerate() {
            let (mut weights, mut choice, mut norm) = (Vec::new(), Vec::new(), None);
            let mut bias = Vec::new();
            if let LayerConfig::Conv { name, .. } | LayerConfig::Linear { name, .. } = layer {
                let quantizer = if self.rounding { quantize } else { clip };
                let latent = self.latent(parameters, index, name, "weight");
                bias = self.latent(parameters, index, name, "bias");
                let per_channel = latent.len() / scales[index].len();
                let levels = self.levels(index);
                let of = |(at, &w): (usize, &f64)| quantizer(scales[index][at / per_channel], levels, w);
                weights = latent.iter().enumerate().map(of).collect();
            }
            let x = &pass.values[index];
            let output = match layer {
                LayerConfig::Conv { .. } => {
                    self.convolution(index, images).map(|shape| convolution(&shape, x, &weights, &bias)).unwrap_or_default()
                }
                LayerConfig::Linear { .. } => matrix_product(images, x, &weights, &bias),
                LayerConfig::BatchNorm { name } => {
                    let (output, coefficients, moved) = self.normalize(parameters, index, name, x);
                    norm = Some((coefficients, moved));
                    output
                }
                LayerConfig::Activation { name } => {
                    let kind = self.activation(parameters, index, name);
                    x.iter().map(|&x| activation(kind, x)).collect()
                }
                LayerConfig::MaxPool { kernel, stride } => {
                    let (output, from) = max_pool(images, self.shapes[index], *kernel, *stride, x);
                    choice = from;
                    output
                }
                LayerConfig::Dropout { .. } => x.clone(),
            };
            let stored = self.halved(index + 1) && !self.merged(index);
            pass.values.push(if stored { output.into_iter().map(f16).collect() } else { output });
            pass.weights.push(weights);
            pass.choices.push(choice);
            pass.norms.push(norm);
        }
        pass
    }

    /// (∂L/∂X, ∂L/∂θ flat) from ∂L/∂logits, for a pass of [`Self::forward`].
    pub fn backward(&self, parameters: &[f64], scales: &Scales, pass: &Forward, logit_gradient: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let images = pass.values[0].len() / self.config.input.elements() as usize;
        let mut gradients = vec![0.0; self.layout.length as usize];
        // Added, not set: γ's gradient has two parts where weights are scaled by it.
        let mut store = |name: &str, suffix: &str, values: &[f64]| {
            if let Some(parameter) = self.layout.find(&format!("{name}.{suffix}")) {
                gradients[parameter.range()].iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
            }
        };
        let mut gradient = logit_gradient.to_vec();
        for (index, layer) in self.config.layers.iter().enumerate().rev() {
            let (x, weights) = (&pass.values[index], &pass.weights[index]);
            gradient = match layer {
                LayerConfig::Conv { name, .. } | LayerConfig::Linear { name, .. } => {
                    let ((weight, bias), input) = match self.convolution(index, images) {
                        Some(shape) => (
                            convolution_weight_gradient(&shape, x, &gradient),
                            convolution_input_gradient(&shape, &gradient, weights),
                        ),
                        None => (
                            fully_connected_weight_gradient(images, x, &gradient),
                            matrix_product_input_gradient(images, &gradient, weights),
                        ),
                    };
                    let latent = &self.latent(parameters, index, name, "weight")[..];
                    let steps = self.named(parameters, name, "weight_step");
                    if !steps.is_empty() {
                        let range = level_range(scales[index][0], self.levels(index));
                        store(name, "weight_step", &learned_step_gradient(&weight, latent, steps, range));
                    }
                    let mut weight = reduce_weight_gradient(&[weight], latent, &scales[index], self.levels(index), None);
                    let mut bias = bias;
                    if let Some((norm, factors)) = self.folding(parameters, index) {
                        for (gradient, suffix) in [(&mut weight, "weight"), (&mut bias, "bias")] {
                            let (own, scale) = fold_batch_norm_gradient(gradient, self.named(parameters, name, suffix), &factors);
                            *gradient = own;
                            store(norm, "weight", &scale);
                        }
                    }
                    store(name, "weight", &weight);
                    store(name, "bias", &bias);
                    input
                }
                LayerConfig::Activation { name } => {
                    let kind = self.activation(parameters, index, name);
                    // A quantizer's derivative is taken of the x that was stored, ReLU's at its output, which has the sign of x.
                    let is_stored = !matches!(kind, Activation::Relu) && self.halved(index);
                    let state: Vec<f64> = if is_stored { x.iter().copied().map(f16).collect() } else { x.clone() };
                    let (input, learned) = activation_gradient(kind, &state, &gradient);
                    match kind {
                        Activation::Lsq { levels, .. } => {
                            store(name, "step", &[learned * step_gradient_scale(x.len() / images, levels)]);
                        }
                        _ => store(name, "alpha", &[learned]),
                    }
                    input
                }
                LayerConfig::BatchNorm { name } => {
                    let coefficients = pass.norms[index].as_ref().map_or(&[][..], |(coefficients, _)| coefficients);
                    let (input, scale, shift) = self.norm_gradient(parameters, (index, name), coefficients, x, &gradient);
                    store(name, "weight", &scale);
                    store(name, "bias", &shift);
                    input
                }
                LayerConfig::MaxPool { .. } => max_pool_gradient(x.len(), &pass.choices[index], &gradient),
                LayerConfig::Dropout { .. } => gradient,
            };
            // A pool's kernel takes the derivative of the activation before it, too, and stores what comes of both.
            let goes_on = matches!(layer, LayerConfig::MaxPool { .. })
                && matches!(
                    index.checked_sub(1).map(|previous| &self.config.layers[previous]),
                    Some(LayerConfig::Activation { .. })
                );
            if self.halved(index) && !goes_on {
                gradient.iter_mut().for_each(|value| *value = bf16(*value));
            }
        }
        (gradient, gradients)
    }

    /// How far the pass is from any decision that f32 could take otherwise: the distance of activations from a kink of their function and from
    /// rounding edges (in levels), of weights from rounding edges and from the ends of a clip, and between the two largest different values of
    /// a pooling window. Values that are exactly equal are no danger: equal inputs give equal bits.
    pub fn margin(&self, parameters: &[f64], scales: &Scales, pass: &Forward) -> Margin {
        let images = pass.values[0].len() / self.config.input.elements() as usize;
        let mut margin = Margin { activations: f64::INFINITY, weights: f64::INFINITY };
        let edge = |position: f64| (position - position.floor() - 0.5).abs();
        for (index, layer) in self.config.layers.iter().enumerate() {
            let x = &pass.values[index];
            match layer {
                LayerConfig::Activation { name } => {
                    let kind = self.activation(parameters, index, name);
                    let (low, high) = kind.range();
                    let step = kind.step();
                    let unit = step.unwrap_or(1.0);
                    // An exact 0 is a ReLU's output or all zeros in front: the same in f32.
                    for &x in x.iter().filter(|x| **x != 0.0) {
                        margin.activations = margin.activations.min((x - low).abs() / unit).min((x - high).abs() / unit);
                        if step.is_some() && x > low && x < high {
                            margin.activations = margin.activations.min(edge(x / unit));
                        }
                    }
                }
                LayerConfig::MaxPool { kernel, stride } => {
                    for window in windows(images, self.shapes[index], *kernel, *stride) {
                        let best = window.iter().map(|&at| x[at]).fold(f64::NEG_INFINITY, f64::max);
                        let gaps = window.iter().map(|&at| best - x[at]).filter(|&gap| gap > 0.0);
                        margin.activations = gaps.fold(margin.activations, f64::min);
                    }
                }
                LayerConfig::Conv { name, .. } | LayerConfig::Linear { name, .. } => {
                    let latent = self.latent(parameters, index, name, "weight");
                    let per_channel = latent.len() / scales[index].len();
                    for (at, &w) in latent.iter().enumerate() {
                        let scale = scales[index][at / per_channel];
                        let distance = match scale {
                            WeightScale::Float => continue,
                            WeightScale::Sawb { clip } if w.abs() > clip => (w.abs() - clip) / clip,
                            WeightScale::Sawb { clip } => {
                                edge(position(scale, self.levels(index), w)).min((clip - w.abs()) / clip)
                            }
                            WeightScale::Affine { step, low, .. } => {
                                edge(position(scale, self.levels(index), w)).min(edge(-low / step))
                            }
                            WeightScale::Dorefa { .. } | WeightScale::Symmetric { .. } => {
                                edge(position(scale, self.levels(index), w))
                            }
                            WeightScale::Lsq { .. } => {
                                let (low, high) = level_range(scale, self.levels(index));
                                let at = position(scale, self.levels(index), w);
                                edge(at).min((at - low).abs()).min((at - high).abs())
                            }
                            WeightScale::Binary { .. } => w.abs().min((w.abs() - 1.0).abs()),
                        };
                        margin.weights = margin.weights.min(distance);
                    }
                }
                LayerConfig::BatchNorm { .. } | LayerConfig::Dropout { .. } => {}
            }
        }
        margin
    }
}

/// Distances from the nearest decision, see [`ReferenceNetwork::margin`].
#[derive(Clone, Copy, Debug)]
pub struct Margin {
    /// Of activations and pooling windows, in levels (or absolute, without quantization).
    pub activations: f64,
    /// Of weights, in levels.
    pub weights: f64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{LayerBits, PactKind, WeightQuantizer},
        layout::ParameterRole,
    };

    fn wave(count: usize, phase: f64, scale: f64) -> Vec<f64> {
        (0..count)
            .map(|i| ((i as f64 + phase) * 12.9898).sin() * 43758.5453)
            .map(|v| (v - v.floor() - 0.5) * 2.0 * scale)
            .collect()
    }

    fn small() -> NetworkConfig {
        let activation = |name: &str| LayerConfig::Activation { name: name.into() };
        NetworkConfig {
            input: Shape::new(2, 6, 5),
            classes: 3,
            layers: vec![
                LayerConfig::Conv { name: "conv1".into(), out_channels: 3, kernel: 3, stride: 1, padding: 1 },
                activation("act1"),
                LayerConfig::Conv { name: "conv2".into(), out_channels: 2, kernel: 2, stride: 1, padding: 0 },
                LayerConfig::MaxPool { kernel: 2, stride: 1 },
                activation("act2"),
                LayerConfig::Linear { name: "fc1".into(), out_features: 5 },
                activation("act3"),
                LayerConfig::Dropout { rate: 0.5 },
                LayerConfig::Linear { name: "fc2".into(), out_features: 3 },
            ],
        }
    }

    /// Without rounding the straight-through gradients are the true ones: checked against differences to both sides wherever these agree; where
    /// they do not there is a kink, which only the ends of `affine`'s range (two weights a tensor) are known to be. Learned steps are left
    /// out: inside the levels their gradient is that of the rounding, see [`learned_step_gradient`].
    fn check(quantization: &QuantizationConfig) {
        const STEP: f64 = 1e-6;
        let network = ReferenceNetwork::new(&small(), quantization, false).unwrap();
        let logit_gradient = wave(6, 300.2, 1.0);
        // Some numbers saturate every clip: the first that give the input and an α (where there is one) a gradient will do.
        let (parameters, scales, input, input_gradient, gradients) = (0..50)
            .map(|attempt| {
                let mut parameters = wave(network.layout.length as usize, f64::from(attempt), 0.4);
                for alpha in network.layout.alphas() {
                    parameters[alpha.offset as usize] = 1.25;
                }
                for step in network.layout.steps() {
                    parameters[step.range()].fill(0.11);
                }
                let (scales, input) = (network.scales(&parameters), wave(2 * 60, 100.7, 1.5));
                let pass = network.forward(&parameters, &scales, &input);
                let (input_gradient, gradients) = network.backward(&parameters, &scales, &pass, &logit_gradient);
                (parameters, scales, input, input_gradient, gradients)
            })
            .find(|(.., input_gradient, gradients)| {
                let mut alphas = network.layout.alphas().peekable();
                let has_alpha = alphas.peek().is_none() || alphas.any(|alpha| gradients[alpha.offset as usize] != 0.0);
                has_alpha && input_gradient.iter().filter(|&&g| g != 0.0).count() > 10
            })
            .unwrap();
        let loss = |parameters: &[f64], input: &[f64]| -> f64 {
            network.forward(parameters, &scales, input).logits().iter().zip(&logit_gradient).map(|(y, g)| y * g).sum()
        };
        let mut kinks = 0;
        let steps = network.layout.step_first as usize..network.layout.alpha_first as usize;
        let mut compare = |values: &[f64], analytic: &[f64], what: &str, loss: &dyn Fn(&[f64]) -> f64| {
            let middle = loss(values);
            for (index, gradient) in analytic.iter().enumerate() {
                if what == "parameter" && steps.contains(&index) {
                    continue;
                }
                let [below, above] = [-STEP, STEP].map(|step| {
                    let mut moved = values.to_vec();
                    moved[index] += step;
                    (loss(&moved) - middle) / step
                });
                if (below - above).abs() > 1e-4 {
                    kinks += 1;
                } else {
                    let expected = (below + above) / 2.0;
                    assert!((gradient - expected).abs() < 1e-6, "{what} {index}: {gradient} {expected} {quantization:?}");
                }
            }
        };
        compare(&parameters, &gradients, "parameter", &|values| loss(values, &input));
        compare(&input, &input_gradient, "input", &|values| loss(&parameters, values));
        assert!(kinks <= 8, "{kinks} kinks: {quantization:?}");
    }

    /// Batch norms in every mode, with float weights and with weights that are scaled by running statistics: gradients of all parameters and of the
    /// input against central differences.
    #[test]
    fn batch_norm_gradients_are_central_differences() {
        const STEP: f64 = 1e-6;
        let mut config = small().with_batch_norm();
        config.layers.insert(8, LayerConfig::BatchNorm { name: "bn3".into() });
        assert!(matches!(config.layers[7], LayerConfig::Linear { .. }));
        for (bits, quantizer) in
            [("32", WeightQuantizer::Sawb), ("4,2,3", WeightQuantizer::Sawb), ("3,2,4", WeightQuantizer::Dorefa)]
        {
            for mode in [None, Some((1, false)), Some((2, false)), Some((2, true))] {
                let bits = crate::config::LayerBits::parse_list(bits).unwrap();
                let quantization = QuantizationConfig { bits, weight_quant: quantizer, ..Default::default() };
                let mut network = ReferenceNetwork::new(&config, &quantization, false).unwrap();
                if let Some((batches, frozen)) = mode {
                    network = network.training(batches, frozen);
                }
                let mut parameters = wave(network.layout.stored as usize, 3.0, 0.4);
                for parameter in &network.layout.parameters {
                    for value in &mut parameters[parameter.range()] {
                        match parameter.role {
                            ParameterRole::Alpha => *value = 1.25,
                            ParameterRole::Scale => *value += 0.9,
                            ParameterRole::RunningVariance => *value = value.abs() + 0.3,
                            _ => {}
                        }
                    }
                }
                let (images, logit_gradient) = (4, wave(12, 300.2, 1.0));
                let input = wave(images * 60, 100.7, 1.5);
                let scales = network.scales(&parameters);
                let pass = network.forward(&parameters, &scales, &input);
                let (input_gradient, gradients) = network.backward(&parameters, &scales, &pass, &logit_gradient);
                let loss = |parameters: &[f64], input: &[f64]| -> f64 {
                    network.forward(parameters, &scales, input).logits().iter().zip(&logit_gradient).map(|(y, g)| y * g).sum()
                };
                let difference = |values: &[f64], index: usize, step: f64, loss: &dyn Fn(&[f64]) -> f64| {
                    let [below, above] = [-step, step].map(|step| {
                        let mut moved = values.to_vec();
                        moved[index] += step;
                        loss(&moved)
                    });
                    (above - below) / (2.0 * step)
                };
                let (mut kinks, mut compared) = (0, 0);
                let mut compare = |values: &[f64], analytic: &[f64], what: &str, loss: &dyn Fn(&[f64]) -> f64| {
                    for (index, gradient) in analytic.iter().enumerate() {
                        // Two steps that do not agree straddle a kink.
                        let [near, far] = [STEP, 2.0 * STEP].map(|step| difference(values, index, step, loss));
                        if (near - far).abs() > 1e-6 {
                            kinks += 1;
                        } else {
                            compared += usize::from(gradient.abs() > 1e-3);
                            assert!(
                                (gradient - near).abs() < 1e-5,
                                "{what} {index}: {gradient} {near} {mode:?} {quantization:?}"
                            );
                        }
                    }
                };
                compare(&parameters, &gradients, "parameter", &|values| loss(values, &input));
                compare(&input, &input_gradient, "input", &|values| loss(&parameters, values));
                assert!(kinks <= 20 && compared > 50, "{kinks} kinks, {compared} compared: {mode:?} {quantization:?}");
            }
        }
    }

    #[test]
    fn gradients_are_central_differences() {
        check(&QuantizationConfig::default());
        use WeightQuantizer::{Affine, Dorefa, Lsq, Sawb, Symmetric};
        for weight_quant in [Affine, Dorefa, Sawb, Symmetric, Lsq] {
            for pact in [PactKind::Unsigned, PactKind::Signed, PactKind::SignedAfterRelu] {
                let bits = LayerBits::parse_list("4,2,3").unwrap();
                check(&QuantizationConfig { bits, weight_quant, pact, ..Default::default() });
            }
        }
        let bits = LayerBits::parse_list("w1a4,w1a2").unwrap();
        check(&QuantizationConfig { bits, weight_quant: WeightQuantizer::Binary, ..Default::default() });
    }
}
