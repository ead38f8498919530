//! From a configuration to a graph: names, shapes, bits, parameters and their places.

use std::collections::HashSet;

use super::{
    Activation, BatchNorm, Op, OpId, OpKind, Parameter, ParameterId, ParameterLayout,
    ParameterRole, Prelu, Value, ValueId, ValueQuantizer, Weights,
    parameters::{PARAMETER_LIMIT, learned_name, offset_name},
};
use crate::{
    Error, Result,
    config::{
        self, ActivationFunction, ActivationQuantizer, AveragePool, Convolution, LayerBits,
        LayerKind, NetworkConfig, QuantizationConfig, Shape, Source, Window,
    },
    quant::{ActivationPlan, WeightQuantizerPlan, highest_level},
};

/// The parts of a graph: all that [`super::Graph`] has and a configuration does not say.
pub(super) struct Lowered {
    pub ops: Vec<Op>,
    pub values: Vec<Value>,
    pub output: ValueId,
    pub layout: ParameterLayout,
}

/// `network` with `quantization`, lowered.
pub(super) fn lower(network: &NetworkConfig, quantization: &QuantizationConfig) -> Result<Lowered> {
    let images = ValueId::IMAGES;
    let mut lowering = Lowering {
        quantization,
        ops: Vec::new(),
        values: vec![Value {
            id: images,
            shape: network.input,
            quantizer: None,
            producer: None,
            consumers: Vec::new(),
        }],
        declared: Vec::new(),
        weighted: 0,
    };
    let (wiring, shapes) = network.fit()?;
    let mut outputs: Vec<ValueId> = Vec::with_capacity(network.layers.len());
    for (place, (layer, shape)) in network.layers.iter().zip(shapes).enumerate() {
        let value = |source: &Source| match *source {
            Source::Images => images,
            Source::Layer(front) => outputs[front],
        };
        let inputs: Vec<ValueId> = wiring.sources[place].iter().map(value).collect();
        let name = &wiring.names[place];
        // Operations and layers have the same numbers.
        let weighted = wiring.weighted[place].map(OpId);
        let kind = lowering.kind(&layer.kind, (name, place), (inputs[0], weighted))?;
        outputs.push(lowering.add((name.clone(), kind), (inputs, weighted), shape));
    }
    lowering.finish(outputs.last().copied().unwrap_or(images))
}

/// The part of the flat array that a parameter is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Section {
    /// Weights, biases, γ and β, in layer order.
    Layers,
    /// Learned steps of weights.
    WeightSteps,
    /// Learned steps of activations.
    ActivationSteps,
    /// α's of activations.
    Alphas,
    /// Offsets of activations.
    Offsets,
    /// Scales and zero points of weights that are on their levels; no optimiser touches them.
    Levels,
    /// Running statistics; no optimiser touches them.
    Statistics,
}

/// A graph in the making. Parameters are numbered in the order of their declaration until
/// [`Lowering::finish`].
struct Lowering<'a> {
    quantization: &'a QuantizationConfig,
    ops: Vec<Op>,
    values: Vec<Value>,
    declared: Vec<(Section, Parameter)>,
    /// Layers with weights so far: bits are listed by these.
    weighted: usize,
}

impl Lowering<'_> {
    fn declare(
        &mut self,
        section: Section,
        name: String,
        shape: Vec<usize>,
        role: ParameterRole,
        fan_in: u32,
    ) -> ParameterId {
        self.declared.push((section, Parameter { name, shape, offset: 0, role, fan_in }));
        ParameterId(self.declared.len() - 1)
    }

    /// What a layer of `kind`, the `place`-th, computes of `input` and of what it reads beside it;
    /// `weighted` as in [`Self::add`].
    fn kind(
        &mut self,
        kind: &LayerKind,
        (name, place): (&str, usize),
        (input, weighted): (ValueId, Option<OpId>),
    ) -> Result<OpKind> {
        let shape = self.values[input.0].shape;
        Ok(match *kind {
            LayerKind::Conv(own) => {
                let Convolution { kernel, stride, dilation, .. } = own;
                let window = Window { kernel, stride, dilation, padding: own.sides(shape) };
                let groups = own.groups.count(shape.channels);
                let [height, width] = kernel;
                let size = [own.out_channels, shape.channels / groups, height, width];
                let size = size.map(|n| n as usize).to_vec();
                let weights = self.weights(name, size, (window.taps(), own.bias))?;
                OpKind::Convolution { window, groups, weights }
            }
            LayerKind::Linear { out_features, bias } => {
                let size = vec![out_features as usize, shape.elements() as usize];
                OpKind::Linear { weights: self.weights(name, size, (shape.pixels(), bias))? }
            }
            LayerKind::BatchNorm(own) => OpKind::BatchNorm(self.batch_norm(name, own, shape)),
            LayerKind::Activation(function) => {
                OpKind::Activation(self.activation(name, function, weighted))
            }
            LayerKind::Prelu(own) => {
                let count = if own.per_channel { shape.channels as usize } else { 1 };
                let (name, role) = (format!("{name}.weight"), ParameterRole::Slope);
                let slope = self.declare(Section::Layers, name, vec![count], role, 1);
                OpKind::Prelu(Prelu { slope })
            }
            LayerKind::MaxPool(pool) => OpKind::MaxPool(pool),
            LayerKind::AveragePool(pool) => OpKind::AveragePool(pool),
            LayerKind::Dropout { rate } => OpKind::Dropout { rate, stream: place as u32 },
            LayerKind::GlobalAveragePool {} => OpKind::AveragePool(AveragePool::global(shape)),
            LayerKind::Add {} => OpKind::Add,
            LayerKind::Multiply {} => OpKind::Multiply,
            LayerKind::Concat {} => OpKind::Concat,
            LayerKind::Flatten {} => OpKind::Flatten,
        })
    }

    /// Weights of `shape` with `taps` and, where it has one, the bias of the layer `name`.
    fn weights(
        &mut self,
        name: &str,
        shape: Vec<usize>,
        (taps, has_bias): (u32, bool),
    ) -> Result<Weights> {
        let quantization = self.quantization;
        let bits = quantization.layer_bits(self.weighted);
        self.weighted += 1;
        let quantizer = WeightQuantizerPlan::new(quantization, bits)?;
        let out = shape[0];
        let fan_in = shape[1..].iter().product::<usize>() as u32;
        let per_channel = |yes: bool| vec![if yes { out } else { 1 }];
        let weight = format!("{name}.weight");
        let weight = self.declare(Section::Layers, weight, shape, ParameterRole::Weight, fan_in);
        let bias = has_bias.then(|| {
            let name = format!("{name}.bias");
            self.declare(Section::Layers, name, vec![out], ParameterRole::Bias, fan_in)
        });
        let step = quantizer.learns_step().then(|| {
            let role = ParameterRole::WeightStep { highest: highest_level(bits.weight) };
            let shape = per_channel(quantizer.is_per_channel());
            self.declare(Section::WeightSteps, format!("{name}.weight_step"), shape, role, 1)
        });
        let on_levels = quantization.weights_are_levels && bits.quantizes_weights();
        let shape = per_channel(quantization.per_channel);
        let level_scale = on_levels.then(|| {
            let name = format!("{name}.weight_scale");
            self.declare(Section::Levels, name, shape.clone(), ParameterRole::LevelScale, 1)
        });
        let has_zero_point =
            on_levels && quantization.weight_quantizer(bits.weight).has_zero_point();
        let level_zero_point = has_zero_point.then(|| {
            let name = format!("{name}.weight_zero_point");
            self.declare(Section::Levels, name, shape, ParameterRole::LevelZeroPoint, 1)
        });
        Ok(Weights {
            bits,
            quantizer,
            taps,
            weight,
            bias,
            step,
            level_scale,
            level_zero_point,
            norm: None,
            activation: None,
        })
    }

    fn batch_norm(&mut self, name: &str, own: config::BatchNorm, shape: Shape) -> BatchNorm {
        let channels = vec![shape.channels as usize];
        let mut declare = |section, suffix: &str, shape: &[usize], role| {
            self.declare(section, format!("{name}.{suffix}"), shape.to_vec(), role, 1)
        };
        use ParameterRole::{BatchCount, RunningMean, RunningVariance, Scale, Shift};
        use Section::{Layers, Statistics};
        BatchNorm {
            scale: declare(Layers, "weight", &channels, Scale),
            shift: declare(Layers, "bias", &channels, Shift),
            mean: declare(Statistics, "running_mean", &channels, RunningMean),
            variance: declare(Statistics, "running_var", &channels, RunningVariance),
            count: declare(Statistics, "num_batches_tracked", &[], BatchCount),
            epsilon: own.epsilon,
            momentum: own.momentum,
        }
    }

    /// An activation has the activation bits of the layer with weights that its input comes from.
    fn activation(
        &mut self,
        name: &str,
        function: ActivationFunction,
        weighted: Option<OpId>,
    ) -> Activation {
        let weights = weighted.and_then(|id| self.ops[id.0].kind.weights());
        let bits = weights.map_or(LayerBits::FLOAT, |weights| weights.bits).activation;
        let quantizer = self.quantization.quantizer_of(function);
        // Of quantized activations.
        let highest = || ActivationPlan::levels(quantizer, self.quantization.pact, bits);
        let learned = (bits < 32).then(|| match quantizer {
            ActivationQuantizer::Pact => (Section::Alphas, ParameterRole::Alpha),
            ActivationQuantizer::Lsq | ActivationQuantizer::LsqPlus => {
                (Section::ActivationSteps, ParameterRole::ActivationStep { highest: highest() })
            }
        });
        let offset = (bits < 32 && quantizer == ActivationQuantizer::LsqPlus)
            .then(|| ParameterRole::ActivationOffset { highest: highest() });
        let learned = learned.map(|(section, role)| {
            self.declare(section, learned_name(name, quantizer), vec![1], role, 1)
        });
        let offset =
            offset.map(|role| self.declare(Section::Offsets, offset_name(name), vec![1], role, 1));
        Activation {
            bits,
            function,
            quantizer,
            plan: ActivationPlan::of(function),
            learned,
            offset,
        }
    }

    /// Adds an operation and returns its value. `weighted` is the nearest operation with weights on
    /// the way back from it, see [`Wiring`](crate::config::Wiring).
    fn add(
        &mut self,
        (name, kind): (String, OpKind),
        (inputs, weighted): (Vec<ValueId>, Option<OpId>),
        shape: Shape,
    ) -> ValueId {
        let (id, output) = (OpId(self.ops.len()), ValueId(self.values.len()));
        if let OpKind::Activation(_) = kind
            && let Some(before) = weighted
            && let Some(weights) = self.ops[before.0].kind.weights_mut()
        {
            weights.activation = weights.activation.or(Some(id));
        }
        for input in &inputs {
            self.values[input.0].consumers.push(id);
        }
        self.ops.push(Op { id, name, kind, inputs, output });
        self.values.push(Value {
            id: output,
            shape,
            quantizer: None,
            producer: Some(id),
            consumers: Vec::new(),
        });
        output
    }

    /// Tells layers with weights of the batch norms right behind them that nothing else reads
    /// beside.
    fn find_norms(&mut self) {
        for index in 0..self.ops.len() {
            let OpKind::BatchNorm(_) = self.ops[index].kind else { continue };
            let (id, read) = (self.ops[index].id, &self.values[self.ops[index].inputs[0].0]);
            if let (Some(before), [_]) = (read.producer, &read.consumers[..])
                && let Some(weights) = self.ops[before.0].kind.weights_mut()
            {
                weights.norm = Some(id);
            }
        }
    }

    /// Gives parameters their places, and then activations and values what depends on those.
    fn finish(mut self, output: ValueId) -> Result<Lowered> {
        self.find_norms();
        let (mut layout, places) = place(self.declared)?;
        for op in &mut self.ops {
            op.kind.parameters_mut().for_each(|id| *id = places[id.0]);
        }
        layout.normalized = self.ops.iter().filter_map(|op| normalized(&self.ops, op)).collect();
        for index in 0..self.ops.len() {
            let op = &mut self.ops[index];
            let quantizer = match &mut op.kind {
                OpKind::Activation(activation) => {
                    let place = |id: ParameterId| layout.parameters[id.0].offset;
                    let places = (activation.learned.map(place), activation.offset.map(place));
                    let bits = LayerBits { weight: 32, activation: activation.bits };
                    activation.plan =
                        ActivationPlan::new(self.quantization, activation.function, bits, places)?;
                    let (bits, plan) = (activation.bits, activation.plan);
                    places.0.map(|_| ValueQuantizer { activation: op.id, bits, plan })
                }
                // A maximum is one of the values; a mean of levels is none.
                OpKind::MaxPool(_) | OpKind::Flatten => self.values[op.inputs[0].0].quantizer,
                _ => None,
            };
            self.values[self.ops[index].output.0].quantizer = quantizer;
        }
        Ok(Lowered { ops: self.ops, values: self.values, output, layout })
    }
}

/// Weights of `op`, and γ, the running variance and ε of the batch norm that scales them.
fn normalized(ops: &[Op], op: &Op) -> Option<([ParameterId; 3], f32)> {
    let weights = op.kind.weights()?;
    match &ops[weights.norm?.0].kind {
        OpKind::BatchNorm(norm) => {
            Some(([weights.weight, norm.scale, norm.variance], norm.epsilon))
        }
        _ => None,
    }
}

/// The flat array of what was `declared`, section by section, and the place there of every
/// declaration.
fn place(declared: Vec<(Section, Parameter)>) -> Result<(ParameterLayout, Vec<ParameterId>)> {
    let mut order: Vec<usize> = (0..declared.len()).collect();
    order.sort_by_key(|&index| declared[index].0);
    let mut places = vec![ParameterId(0); declared.len()];
    let mut names = HashSet::new();
    let mut parameters: Vec<Parameter> = Vec::with_capacity(declared.len());
    // Where each section ends.
    let mut ends = [0u32; 7];
    let mut offset = 0u64;
    for (place, &index) in order.iter().enumerate() {
        let (section, parameter) = &declared[index];
        let (name, start) = (&parameter.name, offset as u32);
        offset += parameter.shape.iter().map(|&n| n as u64).product::<u64>();
        if offset > PARAMETER_LIMIT {
            return Err(Error::Model(format!(
                "{name}: the network has more than {PARAMETER_LIMIT} parameters"
            )));
        }
        if !names.insert(name.as_str()) {
            return Err(Error::Model(format!("two layers share the name of {name}")));
        }
        places[index] = ParameterId(place);
        parameters.push(Parameter { offset: start, ..parameter.clone() });
        ends[*section as usize..].fill(offset as u32);
    }
    // Learned steps of activations belong to the steps.
    let [step_first, _, alpha_first, offset_first, length, _, stored] = ends;
    let layout = ParameterLayout {
        parameters,
        step_first,
        alpha_first,
        offset_first,
        length,
        stored,
        normalized: Vec::new(),
    };
    Ok((layout, places))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{LayerConfig, PactKind, WeightQuantizer, expand_bits},
        graph::Graph,
    };

    fn graph(bits: &str, change: impl Fn(&mut QuantizationConfig), norm: bool) -> Graph {
        let network = NetworkConfig::table_one(Shape::new(1, 28, 28), 10, [0.25, 0.0]);
        let network = if norm { network.with_batch_norm() } else { network };
        let bits = expand_bits(&LayerBits::parse_list(bits).unwrap(), &network).unwrap();
        let mut quantization = QuantizationConfig { bits, ..QuantizationConfig::default() };
        change(&mut quantization);
        Graph::new(&network, &quantization).unwrap()
    }

    /// (name, offset) of all parameters.
    fn places(graph: &Graph) -> Vec<(&str, u32)> {
        graph.layout.parameters.iter().map(|own| (own.name.as_str(), own.offset)).collect()
    }

    #[test]
    fn table_one_is_a_chain_of_values_with_their_quantizers() {
        let graph = graph("4,2", |_| {}, false);
        let names: Vec<_> = graph.ops.iter().map(|op| op.name.as_str()).collect();
        assert_eq!(
            names,
            ["conv1", "act1", "conv2", "act2", "pool5", "dropout6", "fc1", "act3", "fc2"]
        );
        for pair in graph.ops.windows(2) {
            assert_eq!(pair[1].inputs, [pair[0].output]);
            assert_eq!(graph.value(pair[0].output).consumers, [pair[1].id]);
            assert_eq!(graph.before(&pair[1]), Some(&pair[0]));
            assert_eq!(graph.behind(&pair[0]), Some(&pair[1]));
        }
        assert_eq!((graph.before(&graph.ops[0]), graph.behind(&graph.ops[8])), (None, None));
        assert_eq!(
            (graph.output, graph.value(graph.output).shape),
            (ValueId(9), Shape::new(10, 1, 1))
        );
        let bits: Vec<_> = graph
            .values
            .iter()
            .map(|value| value.quantizer.map(|quantizer| (quantizer.activation.0, quantizer.bits)))
            .collect();
        // The pool hands the levels on, dropout does not.
        let (first, second) = (Some((1, 4)), Some((3, 2)));
        assert_eq!(bits, [None, None, first, None, second, second, None, None, None, None]);
        let weighted: Vec<_> = graph
            .weighted()
            .map(|(op, own)| (op.name.as_str(), own.bits.weight, own.activation.map(|id| id.0)))
            .collect();
        assert_eq!(
            weighted,
            [("conv1", 4, Some(1)), ("conv2", 2, Some(3)), ("fc1", 32, Some(7)), ("fc2", 32, None)]
        );
        let alpha = |name: &str| match &graph.find(name).unwrap().kind {
            OpKind::Activation(own) => own.plan.alpha_index(),
            _ => None,
        };
        assert_eq!(["act1", "act2", "act3"].map(alpha), [Some(1_199_882), Some(1_199_883), None]);
    }

    #[test]
    fn parameters_lie_section_by_section() {
        let lsq = |config: &mut QuantizationConfig| {
            config.weight_quant = WeightQuantizer::Lsq;
            config.act_quant = ActivationQuantizer::Lsq;
            config.per_channel = true;
        };
        let graph = graph("4,2", lsq, true);
        assert_eq!(
            places(&graph),
            [
                ("conv1.weight", 0),
                ("conv1.bias", 288),
                ("bn1.weight", 320),
                ("bn1.bias", 352),
                ("conv2.weight", 384),
                ("conv2.bias", 18_816),
                ("bn2.weight", 18_880),
                ("bn2.bias", 18_944),
                ("fc1.weight", 19_008),
                ("fc1.bias", 1_198_656),
                ("fc2.weight", 1_198_784),
                ("fc2.bias", 1_200_064),
                ("conv1.weight_step", 1_200_074),
                ("conv2.weight_step", 1_200_106),
                ("act1.step", 1_200_170),
                ("act2.step", 1_200_171),
                ("bn1.running_mean", 1_200_172),
                ("bn1.running_var", 1_200_204),
                ("bn1.num_batches_tracked", 1_200_236),
                ("bn2.running_mean", 1_200_237),
                ("bn2.running_var", 1_200_301),
                ("bn2.num_batches_tracked", 1_200_365),
            ]
        );
        let ParameterLayout { step_first, alpha_first, length, stored, .. } = graph.layout;
        assert_eq!(
            (step_first, alpha_first, length, stored),
            (1_200_074, 1_200_172, 1_200_172, 1_200_366)
        );
        let (conv, weights) = graph.weighted().next().unwrap();
        assert_eq!(weights.norm, graph.behind(conv).map(|op| op.id));
        assert_eq!(graph.parameter(weights.step.unwrap()).name, "conv1.weight_step");
    }

    #[test]
    fn offsets_stand_behind_the_steps_of_all_activations() {
        let lsq_plus =
            |config: &mut QuantizationConfig| config.act_quant = ActivationQuantizer::LsqPlus;
        let graph = graph("4,2", lsq_plus, false);
        let first = 1_199_882;
        assert_eq!(
            places(&graph)[8..],
            [
                ("act1.step", first),
                ("act2.step", first + 1),
                ("act1.offset", first + 2),
                ("act2.offset", first + 3),
            ]
        );
        let ParameterLayout { step_first, alpha_first, offset_first, length, .. } = graph.layout;
        assert_eq!(
            (step_first, alpha_first, offset_first, length),
            (first, first + 2, first + 2, first + 4)
        );
        let plans: Vec<_> = graph.activations().map(|(_, own)| own.plan).collect();
        let indices = plans.iter().map(|plan| (plan.alpha_index(), plan.offset_index()));
        assert_eq!(
            indices.collect::<Vec<_>>(),
            [(Some(first), Some(first + 2)), (Some(first + 1), Some(first + 3)), (None, None)]
        );
    }

    #[test]
    fn alphas_stand_behind_steps_and_levels_behind_alphas() {
        let signed = |config: &mut QuantizationConfig| {
            config.weight_quant = WeightQuantizer::Affine;
            config.pact = PactKind::Signed;
            config.weights_are_levels = true;
        };
        let graph = graph("8,3", signed, false);
        let behind = &places(&graph)[8..];
        let first = 1_199_882;
        assert_eq!(
            behind,
            [
                ("act1.alpha", first),
                ("act2.alpha", first + 1),
                ("conv1.weight_scale", first + 2),
                ("conv1.weight_zero_point", first + 3),
                ("conv2.weight_scale", first + 4),
                ("conv2.weight_zero_point", first + 5),
            ]
        );
        let layout = &graph.layout;
        assert_eq!((layout.step_first, layout.alpha_first), (first, first));
        assert_eq!((layout.length, layout.stored), (first + 2, first + 6));
    }

    #[test]
    fn names_are_not_shared() {
        let linear = |name: &str| LayerConfig::linear(name, 4);
        let layers = vec![linear("fc"), linear("fc")];
        let network = NetworkConfig { input: Shape::new(1, 2, 2), classes: 4, layers };
        let error = Graph::new(&network, &QuantizationConfig::default()).unwrap_err();
        assert!(
            matches!(error, Error::Model(reason) if reason.contains("(`fc`): the name is taken"))
        );
    }
}
