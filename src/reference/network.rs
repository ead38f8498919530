//! A whole sequential CNN in f64: forward with every activation kept, and the gradients of the
//! logits with respect to input and parameters, by the straight-through estimator. Built from the
//! references of the single kernels; dropout is off, and batch norms use the running statistics
//! (inference) unless [`ReferenceNetwork::training`] says otherwise.

use super::{
    activation::{Activation, Function, LsqPlus, activation},
    activation_gradient::activation_gradient,
    add::add,
    average_pool::average_pool,
    average_pool_gradient::average_pool_gradient,
    batch_norm::{Coefficients, batch_norm},
    batch_norm_gradient_sums::batch_norm_gradient_sums,
    batch_norm_inference::{Factor, Norm, batch_norm_inference},
    batch_norm_input_gradient::batch_norm_input_gradient,
    batch_norm_moments::batch_norm_moments,
    batch_norm_parameter_gradient::batch_norm_parameter_gradient,
    batch_norm_scale_gradient::batch_norm_scale_gradient,
    batch_norm_update::batch_norm_update,
    convolution::{Convolution, convolution},
    convolution_input_gradient::convolution_input_gradient,
    convolution_weight_gradient::convolution_weight_gradient,
    copy_channels::copy_channels,
    depthwise_convolution::depthwise_convolution,
    depthwise_input_gradient::depthwise_input_gradient,
    depthwise_weight_gradient::depthwise_weight_gradient,
    fold_batch_norm::fold_batch_norm,
    fold_batch_norm_gradient::fold_batch_norm_gradient,
    fully_connected_weight_gradient::fully_connected_weight_gradient,
    grouped_convolution::grouped_convolution,
    grouped_convolution_input_gradient::grouped_convolution_input_gradient,
    grouped_convolution_weight_gradient::grouped_convolution_weight_gradient,
    learned_step::learned_step,
    learned_step_gradient::{learned_step_gradient, step_gradient_scale},
    matrix_product::{matrix_product, matrix_product_input_gradient},
    max_pool::{max_pool, windows},
    max_pool_gradient::max_pool_gradient,
    max_pool_tangent::max_pool_tangent,
    multiply::multiply,
    prelu::prelu,
    prelu_gradient::prelu_gradient,
    prelu_slope_gradient::prelu_slope_gradient,
    prepare_weights::{clip, level_range, position, quantize},
    product_sum::product_sum,
    reduce_weight_gradient::reduce_weight_gradient,
    storage::{bf16, f16},
    weight_range::weight_range,
    weight_scale::{WeightScale, weight_scale},
};
use crate::{
    Result,
    config::{
        ActivationQuantizer, LayerBits, NetworkConfig, PactKind, Precision, QuantizationConfig,
    },
    graph::{self, BatchNorm, Graph, Op, OpKind, ParameterId, ValueId, Weights},
};

/// The network. Parameters are flat, as [`Graph::layout`] says; activations NCHW.
pub struct ReferenceNetwork {
    /// What it computes, and where each parameter is.
    pub graph: Graph,
    quantization: QuantizationConfig,
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
    /// Of every value of the graph: the input, then the output of every layer; the last are the
    /// logits.
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

/// What a convolution sums.
enum Sums {
    /// All channels.
    Dense(Convolution),
    /// Each channel on its own.
    Depthwise(Convolution),
    /// Groups of channels on their own.
    Grouped(Convolution, usize),
}

impl Sums {
    fn forward(&self, x: &[f64], weight: &[f64], bias: &[f64]) -> Vec<f64> {
        match self {
            Sums::Dense(shape) => convolution(shape, x, weight, bias),
            Sums::Depthwise(shape) => depthwise_convolution(shape, x, weight, bias),
            Sums::Grouped(shape, groups) => grouped_convolution(shape, *groups, x, weight, bias),
        }
    }

    fn input_gradient(&self, gradient: &[f64], weight: &[f64]) -> Vec<f64> {
        match self {
            Sums::Dense(shape) => convolution_input_gradient(shape, gradient, weight),
            Sums::Depthwise(shape) => depthwise_input_gradient(shape, gradient, weight),
            Sums::Grouped(shape, groups) => {
                grouped_convolution_input_gradient(shape, *groups, gradient, weight)
            }
        }
    }

    /// Of weight and bias.
    fn weight_gradient(&self, x: &[f64], gradient: &[f64]) -> (Vec<f64>, Vec<f64>) {
        match self {
            Sums::Dense(shape) => convolution_weight_gradient(shape, x, gradient),
            Sums::Depthwise(shape) => depthwise_weight_gradient(shape, x, gradient),
            Sums::Grouped(shape, groups) => {
                grouped_convolution_weight_gradient(shape, *groups, x, gradient)
            }
        }
    }
}

/// The quantizers of a layer's output channels; empty for layers without weights.
pub type Scales = Vec<Vec<WeightScale>>;

impl ReferenceNetwork {
    /// The network of `config` with `quantization`. `rounding` false leaves every quantizer's
    /// rounding out, so that the straight-through gradients are the true ones.
    ///
    /// # Errors
    /// As [`Graph::new`].
    pub fn new(
        config: &NetworkConfig,
        quantization: &QuantizationConfig,
        rounding: bool,
    ) -> Result<Self> {
        Ok(ReferenceNetwork {
            graph: Graph::new(config, quantization)?,
            quantization: quantization.clone(),
            rounding,
            training: None,
            precision: Precision::F32,
        })
    }

    /// In training mode: batch norms take the statistics of the batch, or with `frozen` the running
    /// ones. The images are `batches` batches side by side, as many images each.
    pub fn training(mut self, batches: usize, frozen: bool) -> Self {
        self.training = Some(Training { batches, frozen });
        self
    }

    /// Parameters and running statistics of a batch norm.
    fn norm(&self, parameters: &[f64], own: &BatchNorm) -> Norm {
        let values = |id| self.values(id, parameters).to_vec();
        Norm {
            scale: values(own.scale),
            shift: values(own.shift),
            mean: values(own.mean),
            variance: values(own.variance),
            batches: values(own.count)[0],
            epsilon: f64::from(own.epsilon),
            momentum: f64::from(own.momentum),
        }
    }

    /// The batch norm that scales `weights`: the one right behind, where they are quantized.
    fn folding(&self, parameters: &[f64], weights: &Weights) -> Option<(&BatchNorm, Vec<Factor>)> {
        let norm = weights.norm.filter(|_| weights.bits.quantizes_weights())?;
        let OpKind::BatchNorm(norm) = &self.graph.op(norm).kind else { return None };
        Some((norm, batch_norm_inference(&self.norm(parameters, norm), true).0))
    }

    /// Whether the batch norm `op` scales the weights in front of it.
    fn folds(&self, op: &Op) -> bool {
        let weights = self.graph.before(op).and_then(|before| before.kind.weights());
        weights
            .is_some_and(|weights| weights.norm == Some(op.id) && weights.bits.quantizes_weights())
    }

    /// The weights or bias `id` of `own` as they are quantized: scaled by a batch norm behind.
    fn latent(&self, parameters: &[f64], own: &Weights, id: ParameterId) -> Vec<f64> {
        let values = self.values(id, parameters);
        match self.folding(parameters, own) {
            Some((_, factors)) => fold_batch_norm(values, &factors),
            None => values.to_vec(),
        }
    }

    /// The batch norm `own` of `op` on `z`.
    fn normalize(
        &self,
        parameters: &[f64],
        op: &Op,
        own: &BatchNorm,
        z: &[f64],
    ) -> (Vec<f64>, Vec<Vec<Coefficients>>, Norm) {
        let (mut norm, shape) = (self.norm(parameters, own), self.graph.input_of(op));
        let (factors, coefficients) = batch_norm_inference(&norm, self.folds(op));
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

    /// Backward pass of the batch norm `own` of `op`: (∂L/∂z, ∂L/∂γ, ∂L/∂β).
    fn norm_gradient(
        &self,
        parameters: &[f64],
        (op, own): (&Op, &BatchNorm),
        coefficients: &[Vec<Coefficients>],
        z: &[f64],
        gradient: &[f64],
    ) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
        let (norm, shape) = (self.norm(parameters, own), self.graph.input_of(op));
        let fold = self.folds(op);
        let (factors, _) = batch_norm_inference(&norm, fold);
        let frozen = self.training.is_none_or(|training| training.frozen);
        let size = z.len() / coefficients.len();
        let rows = size / shape.channels as usize;
        let mut sums = (Vec::new(), vec![0.0; norm.scale.len()], vec![0.0; norm.scale.len()]);
        for ((batch, g), coefficients) in
            z.chunks_exact(size).zip(gradient.chunks_exact(size)).zip(coefficients)
        {
            let parts = batch_norm_gradient_sums(batch, g, shape, coefficients, 0..rows);
            let own = batch_norm_parameter_gradient(
                &parts,
                rows,
                (&factors, coefficients),
                &norm,
                [fold, frozen],
            );
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
        for (op, norm) in self.graph.ops.iter().zip(&pass.norms) {
            if let (OpKind::BatchNorm(own), Some((_, norm))) = (&op.kind, norm) {
                let batches = vec![norm.batches];
                let statistics =
                    [(own.mean, &norm.mean), (own.variance, &norm.variance), (own.count, &batches)];
                for (id, values) in statistics {
                    moved[self.graph.parameter(id).range()].copy_from_slice(values);
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

    /// Whether the value `id` takes 16 bits: all but images and logits, and what an activation or
    /// dropout makes of these in their place.
    fn halved(&self, id: ValueId) -> bool {
        let (mut images, mut logits) = (id, id);
        while let Some(op) = self.graph.value(images).producer.map(|id| self.graph.op(id))
            && op.kind.is_in_place()
        {
            images = op.inputs[0];
        }
        while let [only] = self.graph.value(logits).consumers[..]
            && self.graph.op(only).kind.is_in_place()
        {
            logits = self.graph.op(only).output;
        }
        self.precision == Precision::F16 && images != Graph::INPUT && logits != self.graph.output
    }

    /// Whether `op` and the activation behind it are one kernel, which stores the activation's
    /// output.
    fn merged(&self, op: &Op) -> bool {
        let behind = self.graph.behind(op).map(|behind| &behind.kind);
        (op.kind.weights().is_some() || matches!(op.kind, OpKind::BatchNorm(_)))
            && matches!(behind, Some(OpKind::Activation(own)) if own.plan.is_epilogue())
    }

    fn values<'a>(&self, id: ParameterId, parameters: &'a [f64]) -> &'a [f64] {
        &parameters[self.graph.parameter(id).range()]
    }

    fn levels(weights: &Weights) -> f64 {
        2f64.powi(weights.bits.weight as i32) - 1.0
    }

    fn activation(&self, parameters: &[f64], own: &graph::Activation) -> Activation {
        let Some(id) = own.learned else {
            return match Function::of(own.function) {
                Function::Relu => Activation::Relu,
                other => Activation::Float(other),
            };
        };
        let learned = self.values(id, parameters)[0];
        let bits = LayerBits { weight: 32, activation: own.bits };
        let (kind, levels) =
            (self.quantization.pact, Activation::levels(self.quantization.pact, bits));
        if let Some(offset) = own.offset {
            let function = match (own.function.is_rectifier(), kind) {
                (true, PactKind::Signed) => Function::Identity,
                _ => Function::of(own.function),
            };
            let offset = self.values(offset, parameters)[0];
            // Of all 2^b levels.
            let levels = Activation::levels(PactKind::Unsigned, bits);
            let rounding = self.rounding;
            return Activation::LsqPlus(
                function,
                LsqPlus { step: learned, offset, levels, rounding },
            );
        }
        if self.quantization.act_quant == ActivationQuantizer::Lsq {
            return match self.rounding {
                true => Activation::Lsq { kind, step: learned, levels },
                false => Activation::Pact { kind, alpha: learned * levels, levels: None },
            };
        }
        match Activation::new(kind, bits, learned) {
            Activation::Pact { kind, alpha, .. } if !self.rounding => {
                Activation::Pact { kind, alpha, levels: None }
            }
            other => other,
        }
    }

    /// The weight quantizers' constants for `parameters`.
    pub fn scales(&self, parameters: &[f64]) -> Scales {
        let of_op = |op: &Op| {
            let Some(own) = op.kind.weights() else { return Vec::new() };
            let weight = &self.latent(parameters, own, own.weight)[..];
            let (channels, bits) = (self.graph.output_of(op).channels as usize, own.bits);
            if let Some(steps) = own.step {
                return learned_step(self.values(steps, parameters), channels);
            }
            let scale = |weights: &[f64]| {
                let quantizer = self.quantization.weight_quantizer(bits.weight);
                weight_scale(quantizer, bits.weight, &weight_range(weights))
            };
            match (
                bits.quantizes_weights() && !self.quantization.weights_are_levels,
                self.quantization.per_channel,
            ) {
                (false, _) => vec![WeightScale::Float; channels],
                (true, false) => vec![scale(weight); channels],
                (true, true) => weight.chunks_exact(weight.len() / channels).map(scale).collect(),
            }
        };
        self.graph.ops.iter().map(of_op).collect()
    }

    fn convolution(&self, op: &Op, images: usize) -> Option<Sums> {
        let OpKind::Convolution { window, groups, .. } = op.kind else { return None };
        let (input, out_channels) = (self.graph.input_of(op), self.graph.output_of(op).channels);
        let shape = Convolution { images, input, out_channels, window };
        Some(match groups {
            1 => Sums::Dense(shape),
            _ if [input.channels, out_channels] == [groups; 2] => Sums::Depthwise(shape),
            _ => Sums::Grouped(shape, groups as usize),
        })
    }

    /// f(X) of `input` [images, channels, height, width], with the weight quantizers `scales`.
    pub fn forward(&self, parameters: &[f64], scales: &Scales, input: &[f64]) -> Forward {
        let images = input.len() / self.graph.input().elements() as usize;
        let mut pass = Forward {
            values: vec![input.to_vec()],
            weights: Vec::new(),
            choices: Vec::new(),
            norms: Vec::new(),
        };
        for (index, op) in self.graph.ops.iter().enumerate() {
            let (mut weights, mut choice, mut norm) = (Vec::new(), Vec::new(), None);
            let mut bias = Vec::new();
            if let Some(own) = op.kind.weights() {
                let quantizer = if self.rounding { quantize } else { clip };
                let latent = self.latent(parameters, own, own.weight);
                bias = match own.bias {
                    Some(id) => self.latent(parameters, own, id),
                    None => vec![0.0; self.graph.output_of(op).channels as usize],
                };
                let per_channel = latent.len() / scales[index].len();
                let levels = Self::levels(own);
                let of =
                    |(at, &w): (usize, &f64)| quantizer(scales[index][at / per_channel], levels, w);
                weights = latent.iter().enumerate().map(of).collect();
            }
            let x = &pass.values[op.inputs[0].index()];
            let output = match &op.kind {
                OpKind::Convolution { .. } => self
                    .convolution(op, images)
                    .map(|sums| sums.forward(x, &weights, &bias))
                    .unwrap_or_default(),
                OpKind::Linear { .. } => matrix_product(images, x, &weights, &bias),
                OpKind::BatchNorm(own) => {
                    let (output, coefficients, moved) = self.normalize(parameters, op, own, x);
                    norm = Some((coefficients, moved));
                    output
                }
                OpKind::Activation(own) => {
                    let kind = self.activation(parameters, own);
                    x.iter().map(|&x| activation(kind, x)).collect()
                }
                OpKind::Prelu(own) => {
                    let pixels = self.graph.output_of(op).pixels() as usize;
                    prelu(x, self.values(own.slope, parameters), pixels)
                }
                &OpKind::MaxPool(pool) => {
                    let (output, from) = max_pool(images, self.graph.input_of(op), pool, x);
                    choice = from;
                    output
                }
                OpKind::AveragePool(pool) => {
                    average_pool(images, self.graph.input_of(op), *pool, x)
                }
                OpKind::Dropout { .. } | OpKind::Flatten => x.clone(),
                OpKind::Add => {
                    let others = op.inputs[1..].iter().map(|id| &pass.values[id.index()]);
                    others.fold(x.clone(), |sum, other| add(&sum, other))
                }
                OpKind::Multiply => {
                    let other = &pass.values[op.inputs[1].index()];
                    if x.len() < other.len() { multiply(other, x) } else { multiply(x, other) }
                }
                OpKind::Concat => self.side_by_side(op, images, &pass.values),
            };
            let stored = self.halved(op.output) && !self.merged(op);
            pass.values.push(if stored { output.into_iter().map(f16).collect() } else { output });
            pass.weights.push(weights);
            pass.choices.push(choice);
            pass.norms.push(norm);
        }
        pass
    }

    /// (∂L/∂X, ∂L/∂θ flat) from ∂L/∂logits, for a pass of [`Self::forward`].
    pub fn backward(
        &self,
        parameters: &[f64],
        scales: &Scales,
        pass: &Forward,
        logit_gradient: &[f64],
    ) -> (Vec<f64>, Vec<f64>) {
        self.backward_of(parameters, scales, (pass, None), logit_gradient)
    }

    /// ∂/∂θ flat of ⟨∂L/∂X, `direction`⟩, ∂L/∂X as [`Self::backward`] computes it, with the
    /// decisions of `pass` (which side of a kink, which pixel of a window) as constants: the map is
    /// the derivative along the direction of a function that is linear then, so that the gradient
    /// of every weight is that of its layer with the derivatives of values in the place of values.
    /// Biases and what activations learn have none. For networks of
    /// [`Graph::is_piecewise_linear`](graph::Graph::is_piecewise_linear), in inference.
    pub fn map_gradient(
        &self,
        parameters: &[f64],
        scales: &Scales,
        pass: &Forward,
        logit_gradient: &[f64],
        direction: &[f64],
    ) -> Vec<f64> {
        let tangents = self.tangents(parameters, pass, direction);
        self.backward_of(parameters, scales, (pass, Some(&tangents)), logit_gradient).1
    }

    /// Of every value of the graph: its derivative along `direction` of the images.
    fn tangents(&self, parameters: &[f64], pass: &Forward, direction: &[f64]) -> Vec<Vec<f64>> {
        let images = pass.values[0].len() / self.graph.input().elements() as usize;
        let mut tangents = vec![direction.to_vec()];
        for (index, op) in self.graph.ops.iter().enumerate() {
            let (x, along) = (op.inputs[0].index(), &tangents[op.inputs[0].index()]);
            let weights = &pass.weights[index];
            let no_bias = vec![0.0; self.graph.output_of(op).channels as usize];
            let output = match &op.kind {
                OpKind::Convolution { .. } => self
                    .convolution(op, images)
                    .map(|sums| sums.forward(along, weights, &no_bias))
                    .unwrap_or_default(),
                OpKind::Linear { .. } => matrix_product(images, along, weights, &no_bias),
                OpKind::BatchNorm(own) => {
                    let norm = self.norm(parameters, own);
                    let (_, coefficients) = batch_norm_inference(&norm, self.folds(op));
                    let pixels = self.graph.output_of(op).pixels() as usize;
                    let scale = |at: usize| coefficients[at / pixels % coefficients.len()].scale;
                    along.iter().enumerate().map(|(at, z)| scale(at) * z).collect()
                }
                OpKind::Activation(own) => {
                    let kind = self.activation(parameters, own);
                    activation_gradient(kind, &pass.values[x], along).0
                }
                OpKind::Prelu(own) => {
                    let pixels = self.graph.output_of(op).pixels() as usize;
                    let slopes = self.values(own.slope, parameters);
                    prelu_gradient(&pass.values[x], slopes, pixels, along)
                }
                OpKind::MaxPool(_) => max_pool_tangent(&pass.choices[index], along),
                &OpKind::AveragePool(pool) => {
                    average_pool(images, self.graph.input_of(op), pool, along)
                }
                OpKind::Dropout { .. } | OpKind::Flatten => along.clone(),
                OpKind::Add => {
                    let others = op.inputs[1..].iter().map(|id| &tangents[id.index()]);
                    others.fold(along.clone(), |sum, other| add(&sum, other))
                }
                OpKind::Multiply => Vec::new(),
                OpKind::Concat => self.side_by_side(op, images, &tangents),
            };
            tangents.push(output);
        }
        tangents
    }

    /// The inputs of the concatenation `op`, of `values`, one after another.
    fn side_by_side(&self, op: &Op, images: usize, values: &[Vec<f64>]) -> Vec<f64> {
        let shape = self.graph.output_of(op);
        let mut all = vec![0.0; images * shape.elements() as usize];
        let mut first = 0;
        for id in &op.inputs {
            let own = self.graph.value(*id).shape;
            let part = &values[id.index()];
            copy_channels((part, own), (&mut all, shape), [0, first], own.channels);
            first += own.channels;
        }
        all
    }

    /// [`Self::backward`], or with `tangents` [`Self::map_gradient`].
    fn backward_of(
        &self,
        parameters: &[f64],
        scales: &Scales,
        (pass, tangents): (&Forward, Option<&[Vec<f64>]>),
        logit_gradient: &[f64],
    ) -> (Vec<f64>, Vec<f64>) {
        let images = pass.values[0].len() / self.graph.input().elements() as usize;
        let mut gradients = vec![0.0; self.graph.layout.length as usize];
        // Added, not set: γ's gradient has two parts where weights are scaled by it.
        let mut store = |id: ParameterId, values: &[f64]| {
            let own = &mut gradients[self.graph.parameter(id).range()];
            own.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
        };
        // Of every value: the sum of its readers' shares.
        let mut of_values: Vec<Vec<f64>> = vec![Vec::new(); self.graph.values.len()];
        of_values[self.graph.output.index()] = logit_gradient.to_vec();
        for (index, op) in self.graph.ops.iter().enumerate().rev() {
            let (x, weights) = (&pass.values[op.inputs[0].index()], &pass.weights[index]);
            // What weights are multiplied by.
            let factor = tangents.map_or(x, |tangents| &tangents[op.inputs[0].index()]);
            let gradient = std::mem::take(&mut of_values[op.output.index()]);
            let gradient = match &op.kind {
                OpKind::Convolution { weights: own, .. } | OpKind::Linear { weights: own } => {
                    let ((weight, bias), input) = match self.convolution(op, images) {
                        Some(sums) => (
                            sums.weight_gradient(factor, &gradient),
                            sums.input_gradient(&gradient, weights),
                        ),
                        None => (
                            fully_connected_weight_gradient(images, factor, &gradient),
                            matrix_product_input_gradient(images, &gradient, weights),
                        ),
                    };
                    let latent = &self.latent(parameters, own, own.weight)[..];
                    let levels = Self::levels(own);
                    if let Some(id) = own.step {
                        let steps = self.values(id, parameters);
                        let range = level_range(scales[index][0], levels);
                        store(id, &learned_step_gradient(&weight, latent, steps, range));
                    }
                    let mut weight =
                        reduce_weight_gradient(&[weight], latent, &scales[index], levels, None);
                    let mut bias = bias;
                    if tangents.is_some() {
                        bias.fill(0.0);
                    }
                    if let Some((norm, factors)) = self.folding(parameters, own) {
                        let both = [(&mut weight, Some(own.weight)), (&mut bias, own.bias)];
                        for (gradient, id) in both {
                            let Some(id) = id else { continue };
                            let values = self.values(id, parameters);
                            let (folded, scale) =
                                fold_batch_norm_gradient(gradient, values, &factors);
                            *gradient = folded;
                            store(norm.scale, &scale);
                        }
                    }
                    store(own.weight, &weight);
                    if let Some(id) = own.bias {
                        store(id, &bias);
                    }
                    input
                }
                OpKind::Activation(own) => {
                    let kind = self.activation(parameters, own);
                    // A derivative is taken of the x that was stored, or at the output, as ReLU's,
                    // which has the sign of x.
                    let is_stored = !own.plan.is_derived_from_output() && self.halved(op.inputs[0]);
                    let state: Vec<f64> =
                        if is_stored { x.iter().copied().map(f16).collect() } else { x.clone() };
                    let (input, learned) = activation_gradient(kind, &state, &gradient);
                    if let Some(id) = own.learned.filter(|_| tangents.is_none()) {
                        let scale = match kind {
                            Activation::Lsq { levels, .. }
                            | Activation::LsqPlus(_, LsqPlus { levels, .. }) => {
                                step_gradient_scale(x.len() / images, levels)
                            }
                            _ => 1.0,
                        };
                        let [learned, offset] = learned.map(|sum| sum * scale);
                        store(id, &[learned]);
                        if let Some(id) = own.offset {
                            store(id, &[offset]);
                        }
                    }
                    input
                }
                OpKind::BatchNorm(own) => {
                    let coefficients = pass.norms[index]
                        .as_ref()
                        .map_or(&[][..], |(coefficients, _)| coefficients);
                    let (input, scale, shift) =
                        self.norm_gradient(parameters, (op, own), coefficients, x, &gradient);
                    if tangents.is_none() {
                        store(own.scale, &scale);
                        store(own.shift, &shift);
                    } else if !self.folds(op) {
                        let factors = batch_norm_inference(&self.norm(parameters, own), false).0;
                        let shape = self.graph.input_of(op);
                        store(
                            own.scale,
                            &batch_norm_scale_gradient(shape, factor, &gradient, &factors),
                        );
                    }
                    input
                }
                OpKind::Prelu(own) => {
                    let pixels = self.graph.output_of(op).pixels() as usize;
                    let slopes = self.values(own.slope, parameters);
                    // As of other activations, the x that was stored.
                    let stored: Vec<f64> = match self.halved(op.inputs[0]) {
                        true => x.iter().copied().map(f16).collect(),
                        false => x.clone(),
                    };
                    if tangents.is_none() {
                        let count = slopes.len();
                        store(own.slope, &prelu_slope_gradient(&stored, count, pixels, &gradient));
                    }
                    prelu_gradient(&stored, slopes, pixels, &gradient)
                }
                OpKind::MaxPool(_) => max_pool_gradient(x.len(), &pass.choices[index], &gradient),
                OpKind::AveragePool(pool) => {
                    average_pool_gradient(images, self.graph.input_of(op), *pool, &gradient)
                }
                // Each of the values of a sum.
                OpKind::Dropout { .. }
                | OpKind::Flatten
                | OpKind::Add
                | OpKind::Multiply
                | OpKind::Concat => gradient,
            };
            // A pool's kernel takes the derivative of the activation before it, too, and stores
            // what comes of both.
            let before = self.graph.before(op).map(|before| &before.kind);
            let goes_on =
                matches!((&op.kind, before), (OpKind::MaxPool(_), Some(OpKind::Activation(_))));
            for (number, id) in op.inputs.iter().enumerate() {
                let mut gradient = self.share(pass, op, number, &gradient);
                if self.halved(op.inputs[0]) && !goes_on {
                    gradient.iter_mut().for_each(|value| *value = bf16(*value));
                }
                let own = &mut of_values[id.index()];
                *own = if own.is_empty() { gradient } else { add(own, &gradient) };
                if self.halved(*id) && !goes_on {
                    own.iter_mut().for_each(|value| *value = bf16(*value));
                }
            }
        }
        (std::mem::take(&mut of_values[Graph::INPUT.index()]), gradients)
    }

    /// What input `number` of `op` gets of what goes back to all of them.
    fn share(&self, pass: &Forward, op: &Op, number: usize, gradient: &[f64]) -> Vec<f64> {
        let own = self.graph.value(op.inputs[number]).shape;
        match op.kind {
            OpKind::Multiply => {
                let other = &pass.values[op.inputs[1 - number].index()];
                let pixels = self.graph.output_of(op).pixels() as usize;
                match own == self.graph.output_of(op) {
                    true => multiply(gradient, other),
                    false => product_sum(gradient, other, pixels),
                }
            }
            OpKind::Concat => {
                let shapes = op.inputs[..number].iter().map(|id| self.graph.value(*id).shape);
                let first = shapes.map(|shape| shape.channels).sum();
                let shape = self.graph.output_of(op);
                let images = gradient.len() / shape.elements() as usize;
                let mut part = vec![0.0; images * own.elements() as usize];
                copy_channels((gradient, shape), (&mut part, own), [first, 0], own.channels);
                part
            }
            _ => gradient.to_vec(),
        }
    }

    /// How far the pass is from any decision that f32 could take otherwise: the distance of
    /// activations from a kink of their function and from rounding edges (in levels), of weights
    /// from rounding edges and from the ends of a clip, and between the two largest different
    /// values of a pooling window. Values that are exactly equal are no danger: equal inputs give
    /// equal bits.
    pub fn margin(&self, parameters: &[f64], scales: &Scales, pass: &Forward) -> Margin {
        let images = pass.values[0].len() / self.graph.input().elements() as usize;
        let mut margin = Margin { activations: f64::INFINITY, weights: f64::INFINITY };
        let edge = |position: f64| (position - position.floor() - 0.5).abs();
        for (index, op) in self.graph.ops.iter().enumerate() {
            let x = &pass.values[op.inputs[0].index()];
            match &op.kind {
                OpKind::Activation(own) => {
                    let kind = self.activation(parameters, own);
                    let function = match kind {
                        Activation::Float(function) | Activation::LsqPlus(function, _) => function,
                        _ => Function::Identity,
                    };
                    let (low, high) = kind.range();
                    let step = kind.step();
                    let unit = step.unwrap_or(1.0);
                    // An exact 0 is a ReLU's output or all zeros in front: the same in f32.
                    for &x in x.iter().filter(|x| **x != 0.0) {
                        for kink in function.kinks() {
                            margin.activations = margin.activations.min((x - kink).abs() / unit);
                        }
                        let value = function.value(x);
                        // The ends of a function's values are its kinks.
                        if value == 0.0 || function == Function::Relu6 && value == 6.0 {
                            continue;
                        }
                        margin.activations = margin
                            .activations
                            .min((value - low).abs() / unit)
                            .min((value - high).abs() / unit);
                        if step.is_some() && value > low && value < high {
                            margin.activations = margin.activations.min(edge(value / unit));
                        }
                    }
                }
                OpKind::Prelu(_) => {
                    for &x in x.iter().filter(|x| **x != 0.0) {
                        margin.activations = margin.activations.min(x.abs());
                    }
                }
                &OpKind::MaxPool(pool) => {
                    for window in windows(images, self.graph.input_of(op), pool) {
                        let best = window.iter().map(|&at| x[at]).fold(f64::NEG_INFINITY, f64::max);
                        let gaps = window.iter().map(|&at| best - x[at]).filter(|&gap| gap > 0.0);
                        margin.activations = gaps.fold(margin.activations, f64::min);
                    }
                }
                OpKind::Convolution { weights: own, .. } | OpKind::Linear { weights: own } => {
                    let latent = self.latent(parameters, own, own.weight);
                    let levels = Self::levels(own);
                    let per_channel = latent.len() / scales[index].len();
                    for (at, &w) in latent.iter().enumerate() {
                        let scale = scales[index][at / per_channel];
                        let distance = match scale {
                            WeightScale::Float => continue,
                            WeightScale::Sawb { clip } if w.abs() > clip => (w.abs() - clip) / clip,
                            WeightScale::Sawb { clip } => {
                                edge(position(scale, levels, w)).min((clip - w.abs()) / clip)
                            }
                            WeightScale::Affine { step, low, .. } => {
                                edge(position(scale, levels, w)).min(edge(-low / step))
                            }
                            WeightScale::Dorefa { .. } | WeightScale::Symmetric { .. } => {
                                edge(position(scale, levels, w))
                            }
                            WeightScale::Lsq { .. } => {
                                let (low, high) = level_range(scale, levels);
                                let at = position(scale, levels, w);
                                edge(at).min((at - low).abs()).min((at - high).abs())
                            }
                            WeightScale::Binary { .. } => w.abs().min((w.abs() - 1.0).abs()),
                        };
                        margin.weights = margin.weights.min(distance);
                    }
                }
                OpKind::BatchNorm(_)
                | OpKind::AveragePool(_)
                | OpKind::Dropout { .. }
                | OpKind::Flatten
                | OpKind::Add
                | OpKind::Multiply
                | OpKind::Concat => {}
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
    use super::super::align_maps::align_maps;
    use super::*;
    use crate::{
        config::{
            ActivationFunction, AveragePool, ChannelGroups, Convolution, LayerConfig, LayerKind,
            MaxPool, PactKind, Padding, Shape, WeightQuantizer, Window,
        },
        graph::ParameterRole,
    };

    fn wave(count: usize, phase: f64, scale: f64) -> Vec<f64> {
        (0..count)
            .map(|i| ((i as f64 + phase) * 12.9898).sin() * 43758.5453)
            .map(|v| (v - v.floor() - 0.5) * 2.0 * scale)
            .collect()
    }

    fn small() -> NetworkConfig {
        let activation = |name: &str| LayerConfig::activation(name);
        NetworkConfig {
            input: Shape::new(2, 6, 5),
            classes: 3,
            layers: vec![
                LayerConfig::conv("conv1", 3, [3, 1, 1]),
                activation("act1"),
                LayerConfig::conv("conv2", 2, [2, 1, 0]),
                LayerConfig::max_pool(2, 1),
                activation("act2"),
                LayerConfig::average_pool(AveragePool {
                    window: [3, 2, 1].into(),
                    ceil_mode: true,
                    count_include_pad: false,
                }),
                LayerConfig::linear("fc1", 5),
                activation("act3"),
                LayerConfig::dropout(0.5),
                LayerConfig::linear("fc2", 3),
            ],
        }
    }

    /// Convolutions of rectangles, of groups, depthwise, dilated, padded to be the same; with and
    /// without a bias.
    fn convolutions() -> NetworkConfig {
        let plain = |channels| Convolution::square(channels, [2, 1, 0]);
        let convolution = LayerConfig::convolution;
        let padding = Padding::Same;
        let depthwise = ChannelGroups::Depthwise;
        NetworkConfig {
            input: Shape::new(2, 6, 5),
            classes: 3,
            layers: vec![
                convolution("conv1", Convolution { kernel: [1, 3], padding, ..plain(4) }),
                LayerConfig::activation("act1"),
                convolution(
                    "conv2",
                    Convolution { bias: false, groups: ChannelGroups::Count(2), ..plain(4) },
                ),
                LayerConfig::activation("act2"),
                convolution(
                    "conv3",
                    Convolution { groups: depthwise, dilation: [2, 1], padding, ..plain(4) },
                ),
                convolution(
                    "conv4",
                    Convolution { bias: false, stride: [2, 1], padding, ..plain(3) },
                ),
                LayerConfig::activation("act3"),
                LayerConfig::linear("fc1", 3),
            ],
        }
    }

    fn check(quantization: &QuantizationConfig) {
        check_network(&small(), quantization, 1.25);
    }

    /// Without rounding the straight-through gradients are the true ones: checked against
    /// differences to both sides wherever these agree; where they do not there is a kink, which
    /// only the ends of `affine`'s range (two weights a tensor) are known to be. Learned steps are
    /// left out: inside the levels their gradient is that of the rounding, see
    /// [`learned_step_gradient`].
    fn check_network(config: &NetworkConfig, quantization: &QuantizationConfig, threshold: f64) {
        const STEP: f64 = 1e-6;
        let network = ReferenceNetwork::new(config, quantization, false).unwrap();
        let logit_gradient = wave(2 * config.classes as usize, 300.2, 1.0);
        // Some numbers saturate every clip: the first that give the input and an α (where there is
        // one) a gradient will do.
        let (parameters, scales, input, input_gradient, gradients) = (0..50)
            .map(|attempt| {
                let mut parameters =
                    wave(network.graph.layout.length as usize, f64::from(attempt), 0.4);
                for alpha in network.graph.layout.alphas() {
                    parameters[alpha.offset as usize] = threshold;
                }
                for step in network.graph.layout.steps() {
                    parameters[step.range()].fill(0.11);
                }
                for step in network.graph.layout.activation_steps() {
                    parameters[step.range()].fill(0.2);
                }
                let count = 2 * config.input.elements() as usize;
                let (scales, input) = (network.scales(&parameters), wave(count, 100.7, 1.5));
                let pass = network.forward(&parameters, &scales, &input);
                let (input_gradient, gradients) =
                    network.backward(&parameters, &scales, &pass, &logit_gradient);
                (parameters, scales, input, input_gradient, gradients)
            })
            .find(|(.., input_gradient, gradients)| {
                let mut alphas = network.graph.layout.alphas().peekable();
                let has_alpha = alphas.peek().is_none()
                    || alphas.any(|alpha| gradients[alpha.offset as usize] != 0.0);
                has_alpha && input_gradient.iter().filter(|&&g| g != 0.0).count() > 10
            })
            .unwrap();
        let loss = |parameters: &[f64], input: &[f64]| -> f64 {
            network
                .forward(parameters, &scales, input)
                .logits()
                .iter()
                .zip(&logit_gradient)
                .map(|(y, g)| y * g)
                .sum()
        };
        let mut kinks = 0;
        let layout = &network.graph.layout;
        let rounded = |index: usize| {
            (layout.step_first as usize..layout.alpha_first as usize).contains(&index)
                || index >= layout.offset_first as usize
        };
        let mut compare =
            |values: &[f64], analytic: &[f64], what: &str, loss: &dyn Fn(&[f64]) -> f64| {
                let middle = loss(values);
                for (index, gradient) in analytic.iter().enumerate() {
                    if what == "parameter" && rounded(index) {
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
                        assert!(
                            (gradient - expected).abs() < 1e-6,
                            "{what} {index}: {gradient} {expected} {quantization:?}"
                        );
                    }
                }
            };
        compare(&parameters, &gradients, "parameter", &|values| loss(values, &input));
        compare(&input, &input_gradient, "input", &|values| loss(&parameters, values));
        assert!(kinks <= 8, "{kinks} kinks: {quantization:?}");
    }

    /// Batch norms in every mode, with float weights and with weights that are scaled by running
    /// statistics: gradients of all parameters and of the input against central differences.
    #[test]
    fn batch_norm_gradients_are_central_differences() {
        const STEP: f64 = 1e-6;
        let mut config = small().with_batch_norm();
        config.layers.insert(9, LayerConfig::batch_norm("bn3"));
        assert!(matches!(config.layers[8].kind, LayerKind::Linear { .. }));
        for (bits, quantizer) in [
            ("32", WeightQuantizer::Sawb),
            ("4,2,3", WeightQuantizer::Sawb),
            ("3,2,4", WeightQuantizer::Dorefa),
        ] {
            for mode in [None, Some((1, false)), Some((2, false)), Some((2, true))] {
                let bits = crate::config::LayerBits::parse_list(bits).unwrap();
                let quantization =
                    QuantizationConfig { bits, weight_quant: quantizer, ..Default::default() };
                let mut network = ReferenceNetwork::new(&config, &quantization, false).unwrap();
                if let Some((batches, frozen)) = mode {
                    network = network.training(batches, frozen);
                }
                let mut parameters = wave(network.graph.layout.stored as usize, 3.0, 0.4);
                for parameter in &network.graph.layout.parameters {
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
                let (input_gradient, gradients) =
                    network.backward(&parameters, &scales, &pass, &logit_gradient);
                let loss = |parameters: &[f64], input: &[f64]| -> f64 {
                    network
                        .forward(parameters, &scales, input)
                        .logits()
                        .iter()
                        .zip(&logit_gradient)
                        .map(|(y, g)| y * g)
                        .sum()
                };
                let difference =
                    |values: &[f64], index: usize, step: f64, loss: &dyn Fn(&[f64]) -> f64| {
                        let [below, above] = [-step, step].map(|step| {
                            let mut moved = values.to_vec();
                            moved[index] += step;
                            loss(&moved)
                        });
                        (above - below) / (2.0 * step)
                    };
                let (mut kinks, mut compared) = (0, 0);
                let mut compare =
                    |values: &[f64], analytic: &[f64], what: &str, loss: &dyn Fn(&[f64]) -> f64| {
                        for (index, gradient) in analytic.iter().enumerate() {
                            // Two steps that do not agree straddle a kink.
                            let [near, far] = [STEP, 2.0 * STEP]
                                .map(|step| difference(values, index, step, loss));
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
                assert!(
                    kinks <= 20 && compared > 50,
                    "{kinks} kinks, {compared} compared: {mode:?} {quantization:?}"
                );
            }
        }
    }

    /// Every function, padded pools, a head without a linear layer, products from either side and
    /// concatenations of values that others read too.
    #[test]
    fn gradients_of_all_operations_are_central_differences() {
        let act = LayerConfig::activation_of;
        let pool = MaxPool {
            window: Window {
                kernel: [3, 2],
                stride: [2, 1],
                dilation: [1; 2],
                padding: [1, 1, 2, 0],
            },
            ceil_mode: true,
        };
        let config = NetworkConfig {
            input: Shape::new(2, 6, 5),
            classes: 3,
            layers: vec![
                LayerConfig::conv("conv1", 3, [3, 1, 1]),
                act("act1", ActivationFunction::Silu),
                LayerConfig::global_average_pool("gap"),
                LayerConfig::named("flat", LayerKind::Flatten {}),
                LayerConfig::linear("fc1", 3),
                act("act2", ActivationFunction::Sigmoid),
                LayerConfig::multiply("mul1", ["act1", "act2"]),
                LayerConfig::conv("conv2", 3, [1, 1, 0]),
                act("act3", ActivationFunction::Relu6),
                LayerConfig::multiply("mul2", ["act2", "act3"]),
                LayerConfig::multiply("mul3", ["mul2", "act1"]),
                LayerConfig::concat("cat1", &["mul3", "input", "mul1", "mul3"]),
                LayerConfig::conv("conv3", 4, [2, 1, 1]),
                act("act4", ActivationFunction::LeakyRelu { slope: 0.2 }),
                LayerKind::MaxPool(pool).into(),
                LayerConfig::conv("conv4", 4, [2, 1, 0]),
                act("act5", ActivationFunction::HardSwish),
                LayerConfig::conv("conv5", 3, [1, 1, 0]),
                act("act6", ActivationFunction::Tanh),
                LayerConfig::global_average_pool("head"),
            ],
        };
        check_network(&config, &QuantizationConfig::default(), 0.25);
        let bits = LayerBits::parse_list("4,2,3,4,4,4").unwrap();
        check_network(&config, &QuantizationConfig { bits, ..Default::default() }, 0.25);
    }

    #[test]
    fn gradients_of_convolutions_are_central_differences() {
        check_network(&convolutions(), &QuantizationConfig::default(), 1.25);
        for per_channel in [false, true] {
            let bits = LayerBits::parse_list("4,4,4,4").unwrap();
            let weight_quant = WeightQuantizer::Sawb;
            let quantization =
                QuantizationConfig { bits, weight_quant, per_channel, ..Default::default() };
            check_network(&convolutions(), &quantization, 1.25);
        }
    }

    /// The distance of maps from a teacher's, differentiated by the parameters: against differences
    /// to both sides wherever these agree. Rounding is left out, so that the straight-through
    /// derivative is the true one, and learned steps are; see [`check_network`].
    fn check_alignment(config: &NetworkConfig, quantization: &QuantizationConfig) {
        const STEP: f64 = 1e-6;
        let network = ReferenceNetwork::new(config, quantization, false).unwrap();
        assert!(network.graph.is_piecewise_linear());
        let layout = &network.graph.layout;
        let (images, classes) = (3, config.classes as usize);
        let elements = config.input.elements() as usize;
        let input = wave(images * elements, 100.7, 1.5);
        let teacher = wave(images * elements, 40.1, 1.0);
        let mut seed = vec![0.0; images * classes];
        (0..images).for_each(|image| seed[image * classes + image % classes] = 1.0);
        let maps = |parameters: &[f64], scales: &Scales| {
            let pass = network.forward(parameters, scales, &input);
            let (maps, _) = network.backward(parameters, scales, &pass, &seed);
            (pass, maps)
        };
        let aligned = |maps: &[f64]| -> (f64, Vec<f64>) {
            let of = |(own, other): (&[f64], &[f64])| align_maps(own, other, 1.0 / images as f64);
            let all: Vec<(f64, Vec<f64>)> =
                maps.chunks(elements).zip(teacher.chunks(elements)).map(of).collect();
            let distance: f64 = all.iter().map(|(distance, _)| distance).sum();
            (distance / images as f64, all.into_iter().flat_map(|(_, gradient)| gradient).collect())
        };
        let (parameters, scales, gradient) = (0..100)
            .map(|attempt| {
                let mut parameters = wave(layout.stored as usize, f64::from(attempt), 0.4);
                for parameter in &layout.parameters {
                    for value in &mut parameters[parameter.range()] {
                        match parameter.role {
                            ParameterRole::Alpha => *value = 1.25,
                            ParameterRole::WeightStep { .. } => *value = 0.11,
                            ParameterRole::Scale => *value += 0.9,
                            ParameterRole::RunningVariance => *value = value.abs() + 0.3,
                            _ => {}
                        }
                    }
                }
                let scales = network.scales(&parameters);
                let (pass, maps) = maps(&parameters, &scales);
                let (_, direction) = aligned(&maps);
                let gradient = network.map_gradient(&parameters, &scales, &pass, &seed, &direction);
                (parameters, scales, gradient)
            })
            .find(|(.., gradient)| gradient.iter().filter(|value| value.abs() > 1e-3).count() > 30)
            .unwrap();
        let loss = |parameters: &[f64]| aligned(&maps(parameters, &scales).1).0;
        let middle = loss(&parameters);
        let (mut kinks, mut compared) = (0, 0);
        for parameter in &layout.parameters {
            let is_step = matches!(parameter.role, ParameterRole::WeightStep { .. });
            if is_step || parameter.offset >= layout.length {
                continue;
            }
            for index in parameter.range() {
                let moved = |by: f64| {
                    let mut moved = parameters.clone();
                    moved[index] += by;
                    loss(&moved)
                };
                let [below, above] = [-STEP, STEP].map(|by| (moved(by) - middle) / by);
                // Only the ends of `affine`'s range and of a clip are known to be kinks.
                if (below - above).abs() > 2e-5 {
                    kinks += 1;
                    continue;
                }
                let near = (below + above) / 2.0;
                compared += usize::from(near.abs() > 1e-3);
                let (name, own) = (&parameter.name, gradient[index]);
                assert!((own - near).abs() < 1e-6, "{name} {index}: {own} {near} {quantization:?}");
            }
        }
        assert!(kinks <= 10 && compared > 20, "{kinks} kinks, {compared}: {quantization:?}");
    }

    /// A value that is read twice, sums, concatenations and every piecewise linear function.
    fn joins() -> NetworkConfig {
        let act = LayerConfig::activation_of;
        NetworkConfig {
            input: Shape::new(2, 6, 5),
            classes: 3,
            layers: vec![
                LayerConfig::conv("conv1", 3, [3, 1, 1]),
                act("act1", ActivationFunction::Relu6),
                LayerConfig::conv("conv2", 3, [3, 1, 1]),
                LayerConfig::add("add1", &["conv2", "act1"]),
                act("act2", ActivationFunction::LeakyRelu { slope: 0.2 }),
                LayerConfig::concat("cat1", &["act2", "input", "act1"]),
                LayerConfig::conv("conv3", 4, [2, 1, 0]),
                LayerConfig::batch_norm("bn1"),
                LayerConfig::activation("act3"),
                LayerConfig::batch_norm("bn2"),
                LayerConfig::global_average_pool("gap"),
                LayerConfig::linear("fc1", 3),
            ],
        }
    }

    #[test]
    fn gradients_of_aligned_maps_are_central_differences() {
        use WeightQuantizer::{Affine, Dorefa, Lsq, Sawb};
        let with_norms = small().with_batch_norm();
        for config in [small(), with_norms, convolutions(), joins()] {
            check_alignment(&config, &QuantizationConfig::default());
            for (weight_quant, pact) in [
                (Sawb, PactKind::Unsigned),
                (Affine, PactKind::Signed),
                (Dorefa, PactKind::SignedAfterRelu),
                (Lsq, PactKind::Unsigned),
            ] {
                let bits = LayerBits::parse_list("4,2,4").unwrap();
                check_alignment(
                    &config,
                    &QuantizationConfig { bits, weight_quant, pact, ..Default::default() },
                );
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
        check(&QuantizationConfig {
            bits,
            weight_quant: WeightQuantizer::Binary,
            ..Default::default()
        });
    }
}
