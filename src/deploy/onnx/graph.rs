//! The graph of a model, node by node.

use super::{
    qoperator::qoperator,
    tensor::{floats, integers, range},
};
use crate::{
    config::{ActivationFunction, Shape},
    deploy::{
        ActivationGrid, DeployableActivation, DeployableLayer, DeployableModel, DeployableWeights,
        Operation, WeightLevels,
    },
    import::onnx::schema::{
        AttributeProto, AttributeType, DataType, Dimension, GraphProto, ModelProto, NodeProto,
        OperatorSetIdProto, StringStringEntryProto, TensorProto, TensorShapeProto, TensorType,
        TypeProto, ValueInfoProto,
    },
};

/// What the graph takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnnxInput {
    /// Pixels from 0 to 1, normalised within the graph: nobody can get it wrong.
    #[default]
    Image,
    /// Pixels normalised outside.
    Normalized,
}

/// How a model is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OnnxOptions {
    /// What the graph takes.
    pub input: OnnxInput,
    /// Weights whose levels fit 4 bits take 4 bits (operator set 21) instead of 8.
    pub four_bits: bool,
    /// Weights whose levels fit 2 bits take 2 bits (operator set 25).
    pub two_bits: bool,
    /// Layers between quantized activations read and write levels (the QOperator form).
    pub on_integers: bool,
    /// Named texts in the file.
    pub metadata: Vec<(String, String)>,
}

/// A graph in the making. Nodes are added in the order in which they are computed.
struct Builder {
    nodes: Vec<NodeProto>,
    constants: Vec<TensorProto>,
    /// Name of the value that the next node takes.
    value: String,
    /// Whether it is [batch, features], not [batch, C, H, W].
    flat: bool,
    /// The same of what every layer makes, and of the image.
    image: (String, bool),
    made: Vec<(String, bool)>,
    /// The shapes of what layers make.
    shapes: Vec<Shape>,
    options: OnnxOptions,
    /// The operator set that the types need.
    opset: i64,
}

/// `model` as an ONNX model.
pub fn onnx_model(model: &DeployableModel, options: &OnnxOptions) -> ModelProto {
    let written = on_floats(model, options);
    if options.on_integers { qoperator(written) } else { written }
}

/// As [`onnx_model`], with QDQ and QCDQ.
fn on_floats(model: &DeployableModel, options: &OnnxOptions) -> ModelProto {
    let name = match options.input {
        OnnxInput::Image => "image",
        OnnxInput::Normalized => "normalized_image",
    };
    let mut builder = Builder {
        nodes: Vec::new(),
        constants: Vec::new(),
        value: name.into(),
        flat: false,
        image: (name.into(), false),
        made: Vec::new(),
        shapes: model.layers.iter().map(|layer| layer.output).collect(),
        options: options.clone(),
        opset: 13,
    };
    let normalization = model.normalization;
    if options.input == OnnxInput::Image {
        let means = ("Sub", "mean", normalization.means());
        let deviations = ("Div", "deviation", normalization.deviations());
        for (op, constant, values) in [means, deviations] {
            let sizes = [values.len(), 1, 1];
            let sizes = if values.len() == 1 { &[][..] } else { &sizes };
            builder.constants.push(floats(constant, sizes, &values));
            builder.node(op, &format!("normalize/{constant}"), &[constant], Vec::new());
        }
    }
    builder.image = (builder.value.clone(), false);
    for layer in &model.layers {
        builder.take(layer.reads[0]);
        builder.layer(layer);
        builder.made.push((builder.value.clone(), builder.flat));
    }
    builder.flatten("logits");
    if let Some(last) = builder.nodes.last_mut() {
        last.output = vec!["logits".into()];
    }
    let [channels, height, width] = <[u32; 3]>::from(model.input).map(i64::from);
    let text = match options.input {
        OnnxInput::Image => "pixels from 0 to 1".into(),
        OnnxInput::Normalized => match normalization.for_all() {
            Some((mean, deviation)) => {
                format!("(p - {mean}) / {deviation} of pixels p from 0 to 1")
            }
            None => format!(
                "pixels from 0 to 1, minus their channel's mean, over its standard deviation: \
                 {normalization}"
            ),
        },
    };
    let opset = builder.opset;
    let ir_version = match opset {
        ..21 => 7,
        21..25 => 10,
        _ => 13,
    };
    ModelProto {
        ir_version: Some(ir_version),
        producer_name: Some("saliq".into()),
        producer_version: Some(env!("CARGO_PKG_VERSION").into()),
        doc_string: None,
        graph: Some(GraphProto {
            node: builder.nodes,
            name: Some("saliq".into()),
            initializer: builder.constants,
            input: vec![value_info(name, &[channels, height, width], &text)],
            output: vec![value_info(
                "logits",
                &[i64::from(model.classes)],
                "a score a class; softmax makes them probabilities",
            )],
            sparse_initializer: Vec::new(),
        }),
        opset_import: vec![OperatorSetIdProto {
            domain: Some(String::new()),
            version: Some(opset),
        }],
        metadata_props: options
            .metadata
            .iter()
            .map(|(key, value)| StringStringEntryProto {
                key: Some(key.clone()),
                value: Some(value.clone()),
            })
            .collect(),
    }
}

/// A value of floats, [batch, `sizes`…].
fn value_info(name: &str, sizes: &[i64], text: &str) -> ValueInfoProto {
    let batch = Dimension { dim_value: None, dim_param: Some("batch".into()) };
    let sizes = sizes.iter().map(|&size| Dimension { dim_value: Some(size), dim_param: None });
    let shape = TensorShapeProto { dim: std::iter::once(batch).chain(sizes).collect() };
    let tensor_type = TensorType { elem_type: Some(DataType::Float as i32), shape: Some(shape) };
    ValueInfoProto {
        name: Some(name.into()),
        r#type: Some(TypeProto { tensor_type: Some(tensor_type) }),
        doc_string: Some(text.into()),
    }
}

pub(super) fn integer(name: &str, value: i64) -> AttributeProto {
    AttributeProto {
        name: Some(name.into()),
        i: Some(value),
        r#type: Some(AttributeType::Int as i32),
        ..AttributeProto::default()
    }
}

fn integers_of<const N: usize>(name: &str, values: [u32; N]) -> AttributeProto {
    AttributeProto {
        name: Some(name.into()),
        ints: values.map(i64::from).to_vec(),
        r#type: Some(AttributeType::Ints as i32),
        ..AttributeProto::default()
    }
}

fn real(name: &str, value: f32) -> AttributeProto {
    AttributeProto {
        name: Some(name.into()),
        f: Some(value),
        r#type: Some(AttributeType::Float as i32),
        ..AttributeProto::default()
    }
}

impl Builder {
    /// What layer `read` makes, or the image, is what the next node takes.
    fn take(&mut self, read: Option<usize>) {
        (self.value, self.flat) = match read {
            Some(index) => self.made[index].clone(),
            None => self.image.clone(),
        };
    }

    /// Adds `op`(value, `others`) as the new value.
    fn node(&mut self, op: &str, name: &str, others: &[&str], attributes: Vec<AttributeProto>) {
        let input = std::iter::once(self.value.clone())
            .chain(others.iter().map(|&other| other.into()))
            .collect();
        self.value = format!("{name}/output");
        self.push(op, name, input, self.value.clone(), attributes);
    }

    fn push(
        &mut self,
        op: &str,
        name: &str,
        input: Vec<String>,
        output: String,
        attribute: Vec<AttributeProto>,
    ) {
        self.nodes.push(NodeProto {
            input,
            output: vec![output],
            name: Some(name.into()),
            op_type: Some(op.into()),
            attribute,
            domain: None,
        });
    }

    fn layer(&mut self, layer: &DeployableLayer) {
        let name = &layer.name[..];
        match &layer.operation {
            Operation::Convolution { weights, window, groups } => {
                self.unflatten(layer);
                let mut attributes = vec![
                    integers_of("kernel_shape", window.kernel),
                    integers_of("pads", window.padding),
                    integers_of("strides", window.stride),
                ];
                if window.dilation != [1; 2] {
                    attributes.push(integers_of("dilations", window.dilation));
                }
                if *groups != 1 {
                    attributes.push(integer("group", i64::from(*groups)));
                }
                self.weighted("Conv", name, weights, attributes);
            }
            Operation::FullyConnected { weights } => {
                self.flatten(name);
                self.weighted("Gemm", name, weights, vec![integer("transB", 1)]);
            }
            Operation::Activation(DeployableActivation::Function(function)) => {
                self.function(name, *function)
            }
            Operation::Activation(DeployableActivation::Quantized(grid)) => {
                self.quantize(name, grid)
            }
            Operation::Prelu { slopes } => {
                self.unflatten(layer);
                let slope = format!("{name}.weight");
                self.constants.push(floats(&slope, &[slopes.len(), 1, 1], slopes));
                self.node("PRelu", name, &[&slope], Vec::new());
            }
            Operation::Add => self.add(layer),
            Operation::Multiply => {
                let factors = self.values(layer, "factor");
                self.value = factors[0].clone();
                self.node("Mul", name, &[&factors[1]], Vec::new());
            }
            Operation::Concat => {
                let parts = self.values(layer, "part");
                self.value = format!("{name}/output");
                let output = self.value.clone();
                self.push("Concat", name, parts, output, vec![integer("axis", 1)]);
            }
            &Operation::AveragePool(pool) if pool.is_global(layer.input) => {
                self.unflatten(layer);
                self.node("GlobalAveragePool", name, &[], Vec::new());
            }
            Operation::AveragePool(pool) => {
                self.unflatten(layer);
                let attributes = vec![
                    integer("ceil_mode", i64::from(pool.ceil_mode)),
                    integer("count_include_pad", i64::from(pool.count_include_pad)),
                    integers_of("kernel_shape", pool.window.kernel),
                    integers_of("pads", pool.window.padding),
                    integers_of("strides", pool.window.stride),
                ];
                self.node("AveragePool", name, &[], attributes);
            }
            Operation::MaxPool(pool) => {
                self.unflatten(layer);
                let mut attributes = vec![
                    integers_of("kernel_shape", pool.window.kernel),
                    integers_of("strides", pool.window.stride),
                ];
                if !pool.is_inside() {
                    attributes.push(integers_of("pads", pool.window.padding));
                    attributes.push(integer("ceil_mode", i64::from(pool.ceil_mode)));
                }
                self.node("MaxPool", name, &[], attributes);
            }
        }
    }

    /// Adds `function` of the value. SiLU and hard-swish are products, because the operator sets
    /// that other files take do not have them.
    fn function(&mut self, name: &str, function: ActivationFunction) {
        let product = match function {
            ActivationFunction::Identity => return,
            ActivationFunction::Relu => return self.node("Relu", name, &[], Vec::new()),
            ActivationFunction::Relu6 => {
                let ends = ["lowest", "highest"].map(|suffix| format!("{name}/{suffix}"));
                for (end, value) in ends.iter().zip([0.0, 6.0]) {
                    self.constants.push(floats(end, &[], &[value]));
                }
                return self.node("Clip", name, &[&ends[0], &ends[1]], Vec::new());
            }
            ActivationFunction::LeakyRelu { slope } => {
                return self.node("LeakyRelu", name, &[], vec![real("alpha", slope)]);
            }
            ActivationFunction::Tanh => return self.node("Tanh", name, &[], Vec::new()),
            ActivationFunction::Sigmoid => return self.node("Sigmoid", name, &[], Vec::new()),
            ActivationFunction::Silu => ("Sigmoid", Vec::new()),
            ActivationFunction::HardSwish => {
                ("HardSigmoid", vec![real("alpha", 1.0 / 6.0), real("beta", 0.5)])
            }
        };
        let (op, attributes) = product;
        let value = self.value.clone();
        self.node(op, &format!("{name}/gate"), &[], attributes);
        self.node("Mul", name, &[&value], Vec::new());
    }

    /// The names of what `layer` reads, [batch, C, H, W]; as rows where all of them are.
    fn values(&mut self, layer: &DeployableLayer, term: &str) -> Vec<String> {
        let flat = |read: &Option<usize>| read.is_some_and(|index| self.made[index].1);
        let all_flat = layer.reads.iter().all(flat);
        let mut values = Vec::new();
        for (number, &read) in layer.reads.iter().enumerate() {
            self.take(read);
            if !all_flat {
                // What is flat has a pixel, or the shape of the others.
                let shape = read.map_or(layer.input, |index| self.shapes[index]);
                self.unflatten_as(shape, &format!("{}/{term}{}", layer.name, number + 1));
            }
            values.push(self.value.clone());
        }
        values
    }

    /// Adds the sum of what `layer` reads, from left to right.
    fn add(&mut self, layer: &DeployableLayer) {
        let terms = self.values(layer, "term");
        self.value = terms[0].clone();
        for (number, term) in terms.iter().enumerate().skip(1) {
            let name = match number + 1 == terms.len() {
                true => layer.name.clone(),
                false => format!("{}/sum{number}", layer.name),
            };
            self.node("Add", &name, &[term], Vec::new());
        }
    }

    /// Makes the value a row an image, under a name that starts with `name`.
    fn flatten(&mut self, name: &str) {
        if !std::mem::replace(&mut self.flat, true) {
            self.node("Flatten", &format!("{name}/flatten"), &[], vec![integer("axis", 1)]);
        }
    }

    /// Gives the value rows and columns where a fully connected layer took them away.
    fn unflatten(&mut self, layer: &DeployableLayer) {
        self.unflatten_as(layer.input, &layer.name);
    }

    /// As [`Self::unflatten`], in a shape and under a name of its own.
    fn unflatten_as(&mut self, shape: Shape, name: &str) {
        if std::mem::replace(&mut self.flat, false) {
            let sizes = <[u32; 3]>::from(shape).map(|size| size as i32);
            let shape = format!("{name}/shape");
            let sizes = [&[-1], &sizes[..]].concat();
            self.constants.push(integers(&shape, &[4], DataType::Int64, &sizes));
            self.node("Reshape", &format!("{name}/unflatten"), &[&shape], Vec::new());
        }
    }

    /// Adds `op` of the layer called `name`. The bias of quantized weights is an addition of its
    /// own: behind a bias within, ONNX Runtime's optimiser rounds it to a multiple of the scales'
    /// product, which at few bits is coarse.
    fn weighted(
        &mut self,
        op: &str,
        name: &str,
        weights: &DeployableWeights,
        attributes: Vec<AttributeProto>,
    ) {
        let [weight, bias] = [format!("{name}.weight"), format!("{name}.bias")];
        let channels = weights.bias.len();
        match &weights.levels {
            None => {
                self.constants.push(floats(&weight, &weights.shape, &weights.latent));
                self.constants.push(floats(&bias, &[channels], &weights.bias));
                self.node(op, name, &[&weight, &bias], attributes);
            }
            Some(levels) => {
                self.levels(&weight, &weights.shape, levels);
                let pixels = [channels, 1, 1];
                let shape = if op == "Conv" { &pixels[..] } else { &pixels[..1] };
                self.constants.push(floats(&bias, shape, &weights.bias));
                self.node(op, name, &[&weight], attributes);
                self.node("Add", &format!("{name}/add_bias"), &[&bias], Vec::new());
            }
        }
    }

    /// Adds `levels` as integers, and their way back to floats called `weight`.
    fn levels(&mut self, weight: &str, shape: &[usize], levels: &WeightLevels) {
        let data_type = self.weight_type(levels);
        // A scalar for a tensor's scale, a vector for those of its channels.
        let sizes = if levels.scales.len() == 1 { vec![] } else { vec![levels.scales.len()] };
        let constants =
            ["levels", "scale", "zero_point"].map(|suffix| format!("{weight}/{suffix}"));
        let values: Vec<i32> = levels.levels.iter().map(|&level| i32::from(level)).collect();
        self.constants.extend([
            integers(&constants[0], shape, data_type, &values),
            floats(&constants[1], &sizes, &levels.scales),
            integers(&constants[2], &sizes, data_type, &levels.zero_points),
        ]);
        let attributes = if sizes.is_empty() { Vec::new() } else { vec![integer("axis", 0)] };
        self.push(
            "DequantizeLinear",
            &format!("{weight}/dequantize"),
            constants.to_vec(),
            weight.into(),
            attributes,
        );
    }

    /// The narrowest type that the options allow and whose range has all levels.
    fn weight_type(&mut self, levels: &WeightLevels) -> DataType {
        let (lowest, highest) = (i64::from(levels.grid.lowest), i64::from(levels.grid.highest));
        let fits = |data_type: &DataType| {
            range(*data_type).is_some_and(|(low, high)| low <= lowest && highest <= high)
        };
        let (two, four, eight) = if lowest < 0 {
            (DataType::Int2, DataType::Int4, DataType::Int8)
        } else {
            (DataType::Uint2, DataType::Uint4, DataType::Uint8)
        };
        let (found, opset) = match () {
            () if self.options.two_bits && fits(&two) => (two, 25),
            () if self.options.four_bits && fits(&four) => (four, 21),
            () if fits(&eight) => return eight,
            () => (DataType::Int16, 21),
        };
        self.opset = self.opset.max(opset);
        found
    }

    /// Adds round(x / scale), clipped to the grid, times scale. Levels are unsigned bytes: signed
    /// ones with 128 as zero point (those of LSQ+ have their own), since ONNX Runtime's optimiser
    /// makes unsigned ones of signed bytes anyway, and fails at it in operator set 21.
    fn quantize(&mut self, name: &str, grid: &ActivationGrid) {
        let origin = if grid.is_signed() { 128 } else { grid.zero_point };
        let [scale, zero, low, high] =
            ["scale", "zero_point", "lowest", "highest"].map(|suffix| format!("{name}/{suffix}"));
        let byte = |name: &str, value: i32| integers(name, &[], DataType::Uint8, &[value]);
        self.constants.extend([floats(&scale, &[], &[grid.scale]), byte(&zero, origin)]);
        self.node("QuantizeLinear", &format!("{name}/quantize"), &[&scale, &zero], Vec::new());
        let [lowest, highest] = [grid.lowest, grid.highest].map(|level| origin + level);
        if [lowest, highest] != [0, 255] {
            self.constants.extend([byte(&low, lowest), byte(&high, highest)]);
            self.node("Clip", &format!("{name}/clip"), &[&low, &high], Vec::new());
        }
        self.node("DequantizeLinear", &format!("{name}/dequantize"), &[&scale, &zero], Vec::new());
    }
}
