//! Small graphs as other programs write them.

use std::path::Path;

use prost::Message;

use super::{
    OnnxNetwork, read,
    schema::{
        AttributeProto, DataType, Dimension, GraphProto, ModelProto, NodeProto, OperatorSetIdProto,
        TensorProto, TensorShapeProto, TensorType, TypeProto, ValueInfoProto,
    },
};
use crate::{
    config::{ActivationFunction, LayerKind, Padding, PixelNormalization, Shape},
    reference::network::ReferenceNetwork,
};

/// A graph in the making, of operator set 13.
struct Graph {
    opset: i64,
    producer: &'static str,
    input_type: DataType,
    sizes: Vec<i64>,
    nodes: Vec<NodeProto>,
    constants: Vec<TensorProto>,
    output: String,
}

fn numbers(count: usize, seed: u32) -> Vec<f32> {
    let at = |index: u32| (index.wrapping_mul(2_654_435_761).wrapping_add(seed) >> 8) % 1000;
    (0..count as u32).map(|index| at(index * 7 + seed) as f32 / 500.0 - 1.0).collect()
}

impl Graph {
    /// With images of `sizes` and a free batch.
    fn new(sizes: &[i64]) -> Graph {
        Graph {
            opset: 13,
            producer: "test",
            input_type: DataType::Float,
            sizes: sizes.to_vec(),
            nodes: Vec::new(),
            constants: Vec::new(),
            output: "x".into(),
        }
    }

    fn tensor(&mut self, name: &str, shape: &[usize], data_type: DataType, raw: Vec<u8>) {
        self.constants.push(TensorProto {
            dims: shape.iter().map(|&size| size as i64).collect(),
            data_type: Some(data_type as i32),
            name: Some(name.into()),
            raw_data: Some(raw),
            ..TensorProto::default()
        });
    }

    fn floats(&mut self, name: &str, shape: &[usize], values: &[f32]) {
        let raw = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.tensor(name, shape, DataType::Float, raw);
    }

    fn integers(&mut self, name: &str, values: &[i64]) {
        let raw = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.tensor(name, &[values.len()], DataType::Int64, raw);
    }

    /// Adds `operator` of the value so far and `others`, called `name`.
    fn then(&mut self, operator: &str, name: &str, others: &[&str], own: &[AttributeProto]) {
        let output = self.output.clone();
        let inputs: Vec<&str> =
            std::iter::once(&output[..]).chain(others.iter().copied()).collect();
        self.node(operator, name, &inputs, own);
        self.output = name.into();
    }

    fn node(&mut self, operator: &str, name: &str, inputs: &[&str], own: &[AttributeProto]) {
        self.nodes.push(NodeProto {
            input: inputs.iter().map(|&input| input.into()).collect(),
            output: vec![name.into()],
            name: Some(name.into()),
            op_type: Some(operator.into()),
            attribute: own.to_vec(),
            domain: None,
        });
    }

    /// Adds a convolution with a bias, its weights from a seed.
    fn conv(&mut self, name: &str, shape: [usize; 4], own: &[AttributeProto]) {
        let [weight, bias] = ["weight", "bias"].map(|suffix| format!("{name}.{suffix}"));
        self.floats(&weight, &shape, &numbers(shape.iter().product(), 3));
        self.floats(&bias, &shape[..1], &numbers(shape[0], 5));
        self.then("Conv", name, &[&weight, &bias], own);
    }

    /// Adds a mean of the plane and a fully connected layer.
    fn head(&mut self, channels: usize, classes: usize) {
        self.then("GlobalAveragePool", "gap", &[], &[]);
        self.then("Flatten", "flat", &[], &[]);
        self.fully_connected("fc", channels, classes);
    }

    fn fully_connected(&mut self, name: &str, features: usize, classes: usize) {
        let weight = format!("{name}.weight");
        self.floats(&weight, &[classes, features], &numbers(classes * features, 7));
        self.then("Gemm", name, &[&weight], &[integer("transB", 1)]);
    }

    fn bytes(&self) -> Vec<u8> {
        let size = |&size: &i64| Dimension { dim_value: Some(size), dim_param: None };
        let batch = Dimension { dim_value: None, dim_param: Some("batch".into()) };
        let shape = TensorShapeProto {
            dim: std::iter::once(batch).chain(self.sizes.iter().map(size)).collect(),
        };
        let tensor_type =
            TensorType { elem_type: Some(self.input_type as i32), shape: Some(shape) };
        let info = |name: &str| ValueInfoProto {
            name: Some(name.into()),
            r#type: Some(TypeProto { tensor_type: Some(tensor_type.clone()) }),
            doc_string: None,
        };
        let graph = GraphProto {
            node: self.nodes.clone(),
            name: None,
            initializer: self.constants.clone(),
            input: vec![info("x")],
            output: vec![info(&self.output)],
            sparse_initializer: Vec::new(),
        };
        let model = ModelProto {
            ir_version: Some(7),
            producer_name: Some(self.producer.into()),
            graph: Some(graph),
            opset_import: vec![OperatorSetIdProto { domain: None, version: Some(self.opset) }],
            ..ModelProto::default()
        };
        model.encode_to_vec()
    }

    fn read(&self) -> OnnxNetwork {
        read(Path::new("model.onnx"), &self.bytes(), None).unwrap()
    }

    fn refusal(&self) -> String {
        read(Path::new("model.onnx"), &self.bytes(), None).unwrap_err().to_string()
    }
}

fn integer(name: &str, value: i64) -> AttributeProto {
    AttributeProto { name: Some(name.into()), i: Some(value), ..AttributeProto::default() }
}

fn list(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto { name: Some(name.into()), ints: values.to_vec(), ..AttributeProto::default() }
}

fn real(name: &str, value: f32) -> AttributeProto {
    AttributeProto { name: Some(name.into()), f: Some(value), ..AttributeProto::default() }
}

/// Types of the layers.
fn types(own: &OnnxNetwork) -> Vec<&'static str> {
    own.network.layers.iter().map(|layer| layer.kind.type_name()).collect()
}

/// What the values of every layer are for images `x`, with the network's quantizers.
fn values(own: &OnnxNetwork, x: &[f64]) -> Vec<Vec<f64>> {
    let reference = ReferenceNetwork::new(&own.network, &own.quantization, true).unwrap();
    let layout = &reference.graph.layout;
    let mut parameters = vec![0.0; layout.stored as usize];
    for parameter in &own.parameters {
        let place = layout.require(&parameter.name).unwrap();
        assert_eq!(place.shape, parameter.shape, "{}", parameter.name);
        let numbers = parameter.values.iter().map(|&value| f64::from(value));
        parameters[place.range()].iter_mut().zip(numbers).for_each(|(own, value)| *own = value);
    }
    reference.forward(&parameters, &reference.scales(&parameters), x).values
}

fn logits(own: &OnnxNetwork, x: &[f64]) -> Vec<f64> {
    values(own, x).pop().unwrap()
}

fn image(count: usize) -> Vec<f64> {
    numbers(count, 11).into_iter().map(f64::from).collect()
}

fn assert_close(own: &[f64], expected: &[f64]) {
    assert_eq!(own.len(), expected.len());
    for (own, expected) in own.iter().zip(expected) {
        assert!((own - expected).abs() <= 1e-6 * expected.abs().max(1.0), "{own} {expected}");
    }
}

#[test]
fn a_chain_becomes_layers_with_its_names() {
    let mut graph = Graph::new(&[3, 9, 8]);
    let pads = list("pads", &[1, 1, 1, 1]);
    graph.conv("features.0", [4, 3, 3, 3], &[pads]);
    graph.then("Relu", "/features/features.1/Relu", &[], &[]);
    graph.then("MaxPool", "pool", &[], &[list("kernel_shape", &[2, 2]), list("strides", &[2, 2])]);
    graph.head(4, 5);
    graph.then("Softmax", "softmax", &[], &[integer("axis", 1)]);
    let own = graph.read();
    let names: Vec<_> =
        own.network.layers.iter().map(|layer| layer.name.as_deref().unwrap()).collect();
    assert_eq!(names, ["features.0", "features.1", "pool", "gap", "fc"]);
    assert_eq!(own.network.classes, 5);
    assert_eq!(own.network.input, Shape::new(3, 9, 8));
    assert!(own.network.layers.iter().all(|layer| layer.inputs.is_empty()));
    assert_eq!(own.remarks, ["the softmax at its end is left out"]);
    let names: Vec<_> = own.parameters.iter().map(|own| &own.name[..]).collect();
    assert_eq!(names, ["features.0.weight", "features.0.bias", "fc.weight"]);
    assert_eq!(own.normalize, None);
}

#[test]
fn channels_at_the_end_come_to_the_front() {
    // The same network twice: with the channels in front and at the end of images and rows.
    let mut first = Graph::new(&[2, 3, 4]);
    first.then("Relu", "act", &[], &[]);
    first.then("Flatten", "flat", &[], &[]);
    let weight = numbers(3 * 24, 7);
    first.floats("fc.weight", &[3, 24], &weight);
    first.then("Gemm", "fc", &["fc.weight"], &[integer("transB", 1)]);
    let mut last = Graph::new(&[3, 4, 2]);
    last.then("Transpose", "front", &[], &[list("perm", &[0, 3, 1, 2])]);
    last.then("Relu", "act", &[], &[]);
    last.then("Transpose", "back", &[], &[list("perm", &[0, 2, 3, 1])]);
    last.integers("shape", &[-1, 24]);
    last.then("Reshape", "flat", &["shape"], &[]);
    let moved = |output: usize, feature: usize| {
        let (row, column, channel) = (feature / 8, feature / 2 % 4, feature % 2);
        weight[output * 24 + channel * 12 + row * 4 + column]
    };
    let moved: Vec<f32> = (0..24)
        .flat_map(|feature| (0..3).map(move |output| (output, feature)))
        .map(|(output, feature)| moved(output, feature))
        .collect();
    last.floats("w", &[24, 3], &moved);
    last.then("MatMul", "fc", &["w"], &[]);
    let (first, last) = (first.read(), last.read());
    assert_eq!(last.network, first.network);
    assert_eq!(last.parameters, first.parameters);
    assert_eq!(last.remarks, ["its images have the channels last"]);
}

#[test]
fn constants_go_into_the_weights_in_front() {
    let mut graph = Graph::new(&[1, 4, 4]);
    graph.floats("w", &[2, 1, 1, 1], &[1.0, -2.0]);
    graph.then("Conv", "conv", &["w"], &[]);
    graph.floats("b", &[2, 1, 1], &[0.5, 1.0]);
    graph.then("Add", "bias", &["b"], &[]);
    graph.floats("s", &[1, 2, 1, 1], &[2.0, 3.0]);
    let value = graph.output.clone();
    graph.node("Mul", "scaled", &["s", &value], &[]);
    graph.output = "scaled".into();
    graph.then("Relu", "act", &[], &[]);
    graph.floats("tenth", &[], &[0.1]);
    graph.then("Sub", "shifted", &["tenth"], &[]);
    graph.head(2, 2);
    let own = graph.read();
    assert_eq!(types(&own), ["conv", "activation", "batch-norm", "global-average-pool", "linear"]);
    assert_eq!(own.parameters[0].values, [2.0, -6.0]);
    assert_eq!(own.parameters[1].values, [1.0, 3.0]);
    let x = image(16);
    let found = values(&own, &x);
    let expected: Vec<f64> = [(2.0, 1.0), (-6.0, 3.0)]
        .into_iter()
        .flat_map(|(scale, shift)| x.iter().map(move |x| (scale * x + shift).max(0.0) - 0.1))
        .collect();
    assert_close(&found[3], &expected);
}

/// A constant must not change what another reader of the layer sees.
#[test]
fn what_has_other_readers_stays_as_it_is() {
    let mut graph = Graph::new(&[1, 4, 4]);
    graph.conv("conv", [2, 1, 1, 1], &[]);
    graph.floats("two", &[], &[2.0]);
    graph.node("Identity", "same", &["conv"], &[]);
    graph.node("Mul", "doubled", &["same", "two"], &[]);
    graph.node("Add", "sum", &["doubled", "conv"], &[]);
    graph.output = "sum".into();
    graph.head(2, 2);
    let own = graph.read();
    assert_eq!(types(&own), ["conv", "batch-norm", "add", "global-average-pool", "linear"]);
    let found = values(&own, &image(16));
    let tripled: Vec<f64> = found[1].iter().map(|value| 3.0 * value).collect();
    assert_close(&found[3], &tripled);
}

#[test]
fn products_of_an_activation_are_one_layer() {
    let functions = |add: &dyn Fn(&mut Graph)| {
        let mut graph = Graph::new(&[1, 4, 4]);
        graph.conv("conv", [2, 1, 1, 1], &[]);
        add(&mut graph);
        graph.head(2, 2);
        let own = graph.read();
        assert_eq!(types(&own), ["conv", "activation", "global-average-pool", "linear"]);
        let LayerKind::Activation(function) = own.network.layers[1].kind else { panic!() };
        (function, values(&own, &image(16)))
    };
    let (silu, _) = functions(&|graph| {
        graph.node("Sigmoid", "gate", &["conv"], &[]);
        graph.node("Mul", "act", &["conv", "gate"], &[]);
        graph.output = "act".into();
    });
    assert_eq!(silu, ActivationFunction::Silu);
    let (swish, _) = functions(&|graph| {
        graph.node("HardSigmoid", "gate", &["conv"], &[real("alpha", 1.0 / 6.0)]);
        graph.node("Mul", "act", &["gate", "conv"], &[]);
        graph.output = "act".into();
    });
    assert_eq!(swish, ActivationFunction::HardSwish);
    let (swish, found) = functions(&|graph| {
        for (name, value) in [("three", 3.0), ("six", 6.0), ("zero", 0.0)] {
            graph.floats(name, &[], &[value]);
        }
        graph.node("Add", "shifted", &["conv", "three"], &[]);
        graph.node("Clip", "clipped", &["shifted", "zero", "six"], &[]);
        graph.node("Mul", "product", &["conv", "clipped"], &[]);
        graph.node("Div", "act", &["product", "six"], &[]);
        graph.output = "act".into();
    });
    assert_eq!(swish, ActivationFunction::HardSwish);
    let expected: Vec<f64> = found[1].iter().map(|x| x * (x + 3.0).clamp(0.0, 6.0) / 6.0).collect();
    assert_close(&found[2], &expected);
}

#[test]
fn other_clips_are_scaled_relu6() {
    let mut graph = Graph::new(&[1, 4, 4]);
    graph.conv("conv", [2, 1, 1, 1], &[]);
    graph.opset = 9;
    graph.then("Clip", "act", &[], &[real("min", 0.0), real("max", 0.5)]);
    graph.then("HardSigmoid", "gate", &[], &[]);
    graph.head(2, 2);
    let own = graph.read();
    let x = image(16);
    let found = values(&own, &x);
    let plain = own.parameters[..2].iter().map(|own| own.values[0]).collect::<Vec<f32>>();
    // The weights have the factor 12.
    let expected: Vec<f64> = x
        .iter()
        .map(|x| {
            let scaled = f64::from(plain[0]) * x + f64::from(plain[1]);
            let clipped = (scaled / 12.0).clamp(0.0, 0.5);
            (0.2 * clipped + 0.5).clamp(0.0, 1.0)
        })
        .collect();
    let last = found.len() - 3;
    assert_close(&found[last][..16], &expected);
}

#[test]
fn amounts_of_padding_are_computed() {
    let mut graph = Graph::new(&[1, 5, 5]);
    graph.constants.clear();
    graph.integers("four", &[4]);
    graph.integers("given", &[0, 1, 0, 1]);
    graph.integers("pairs", &[-1, 2]);
    for (name, value) in [("zero", 0), ("last", -1), ("far", i64::MIN + 1)] {
        graph.integers(name, &[value]);
    }
    let zero = TensorProto {
        dims: vec![1],
        data_type: Some(DataType::Int64 as i32),
        raw_data: Some(vec![0; 8]),
        ..TensorProto::default()
    };
    let value =
        AttributeProto { name: Some("value".into()), t: Some(zero), ..AttributeProto::default() };
    graph.node("ConstantOfShape", "zeros", &["four"], &[value]);
    graph.node("Concat", "all", &["given", "zeros"], &[integer("axis", 0)]);
    graph.node("Reshape", "paired", &["all", "pairs"], &[]);
    graph.node("Slice", "reversed", &["paired", "last", "far", "zero", "last"], &[]);
    graph.node("Transpose", "turned", &["reversed"], &[list("perm", &[1, 0])]);
    graph.node("Reshape", "flat_pads", &["turned", "last"], &[]);
    graph.node("Cast", "pads", &["flat_pads"], &[integer("to", 7)]);
    graph.then("Pad", "padded", &["pads"], &[]);
    graph.conv("conv", [2, 1, 3, 3], &[list("strides", &[2, 2])]);
    graph.head(2, 2);
    let own = graph.read();
    let LayerKind::Conv(conv) = own.network.layers[0].kind else { panic!() };
    assert_eq!(conv.padding, Padding::Sides([0, 0, 1, 1]));
}

#[test]
fn reshapes_to_the_size_of_the_batch_are_rows() {
    let mut graph = Graph::new(&[1, 4, 4]);
    graph.conv("conv", [2, 1, 1, 1], &[]);
    graph.opset = 18;
    graph.integers("open", &[-1]);
    graph.node("Shape", "shape", &["x"], &[integer("start", 0), integer("end", 1)]);
    graph.node("Squeeze", "size", &["shape"], &[]);
    graph.node("Reshape", "row", &["size", "open"], &[]);
    graph.node("Concat", "target", &["row", "open"], &[integer("axis", 0)]);
    graph.then("Reshape", "flat", &["target"], &[integer("allowzero", 1)]);
    graph.fully_connected("fc", 32, 3);
    assert_eq!(types(&graph.read()), ["conv", "linear"]);
    // All images in one row.
    graph.integers("mixed", &[1, -1]);
    graph.nodes[5].input[1] = "mixed".into();
    assert!(graph.refusal().contains("mixes the images of a batch"), "{}", graph.refusal());
}

#[test]
fn means_of_planes_are_pools() {
    for (opset, keeps) in [(13, 0), (18, 1)] {
        let mut graph = Graph::new(&[2, 4, 5]);
        graph.opset = opset;
        graph.conv("conv", [2, 2, 1, 1], &[]);
        if opset == 13 {
            let own = [list("axes", &[2, 3]), integer("keepdims", keeps)];
            graph.then("ReduceMean", "mean", &[], &own);
        } else {
            graph.integers("axes", &[-1, -2]);
            graph.then("ReduceMean", "mean", &["axes"], &[integer("keepdims", keeps)]);
            graph.then("Flatten", "flat", &[], &[]);
        }
        graph.fully_connected("fc", 2, 3);
        assert_eq!(types(&graph.read()), ["conv", "global-average-pool", "linear"]);
    }
    let mut graph = Graph::new(&[2, 4, 5]);
    graph.then("ReduceMean", "mean", &[], &[list("axes", &[1, 2])]);
    graph.fully_connected("fc", 5, 3);
    assert!(graph.refusal().contains("are not rows and columns"), "{}", graph.refusal());
}

#[test]
fn windows_that_are_not_square_are_averaged() {
    let mut graph = Graph::new(&[2, 4, 6]);
    let own = [list("kernel_shape", &[2, 3]), list("strides", &[2, 3])];
    graph.then("AveragePool", "pool", &[], &own);
    graph.head(2, 3);
    let own = graph.read();
    let LayerKind::AveragePool(pool) = own.network.layers[0].kind else { panic!() };
    assert_eq!((pool.window.kernel, pool.window.stride), ([2, 3], [2, 3]));
    let x = image(48);
    let found = values(&own, &x);
    let mean = [0, 1, 2, 6, 7, 8].iter().map(|&at: &usize| x[at]).sum::<f64>() / 6.0;
    assert_close(&found[1][..1], &[mean]);
}

#[test]
fn pixels_that_are_scaled_within_are_recognised() {
    let scaled = |input_type: DataType| {
        let mut graph = Graph::new(&[3, 4, 4]);
        graph.input_type = input_type;
        graph.floats("full", &[], &[255.0]);
        graph.floats("mean", &[1, 3, 1, 1], &[0.4, 0.5, 0.6]);
        graph.floats("deviation", &[1, 3, 1, 1], &[0.2, 0.25, 0.3]);
        graph.then("Cast", "pixels", &[], &[integer("to", 1)]);
        graph.then("Div", "unit", &["full"], &[]);
        graph.then("Sub", "centred", &["mean"], &[]);
        graph.then("Div", "normalized", &["deviation"], &[]);
        graph.conv("conv", [2, 3, 3, 3], &[list("pads", &[1, 1, 1, 1])]);
        graph.head(2, 3);
        graph.read()
    };
    let whole = Some(PixelNormalization::uniform(0.0, 1.0 / 255.0));
    for input_type in [DataType::Float, DataType::Uint8] {
        let own = scaled(input_type);
        assert_eq!(types(&own), ["batch-norm", "conv", "global-average-pool", "linear"]);
        assert_eq!(own.normalize, whole);
        let x = vec![100.0; 48];
        let expected: Vec<f64> = [(0.4, 0.2), (0.5, 0.25), (0.6, 0.3)]
            .into_iter()
            .flat_map(|(mean, deviation)| [(100.0 / 255.0 - mean) / deviation; 16])
            .collect();
        assert_close(&values(&own, &x)[1], &expected);
    }
}

#[test]
fn levels_come_in_as_quantized_layers() {
    let mut graph = Graph::new(&[1, 4, 4]);
    graph.tensor("w8", &[2, 1, 1, 1], DataType::Int8, vec![5, 250]);
    graph.tensor("low", &[], DataType::Int8, vec![249]);
    graph.tensor("high", &[], DataType::Int8, vec![7]);
    graph.tensor("zero", &[], DataType::Int8, vec![0]);
    graph.floats("ws", &[], &[0.25]);
    graph.node("Clip", "wc", &["w8", "low", "high"], &[]);
    graph.node("DequantizeLinear", "w", &["wc", "ws", "zero"], &[]);
    graph.then("Conv", "conv", &["w"], &[]);
    graph.then("Relu", "act", &[], &[]);
    for (name, byte) in [("z", 0), ("last", 15), ("middle", 8)] {
        graph.tensor(name, &[], DataType::Uint8, vec![byte]);
    }
    graph.floats("s", &[], &[0.125]);
    graph.then("QuantizeLinear", "q", &["s", "z"], &[]);
    graph.then("Clip", "qc", &["z", "last"], &[]);
    graph.then("DequantizeLinear", "dq", &["s", "z"], &[]);
    graph.floats("w2", &[2, 2, 1, 1], &[1.0, -1.0, -1.0, 1.0]);
    graph.then("Conv", "conv2", &["w2"], &[]);
    graph.then("QuantizeLinear", "q2", &["s", "middle"], &[]);
    graph.then("Clip", "qc2", &["z", "last"], &[]);
    graph.then("DequantizeLinear", "dq2", &["s", "middle"], &[]);
    graph.head(2, 2);
    let own = graph.read();
    let kinds = ["conv", "activation", "conv", "activation", "global-average-pool", "linear"];
    assert_eq!(types(&own), kinds);
    let bits: Vec<String> = own.quantization.bits.iter().map(ToString::to_string).collect();
    assert_eq!(bits, ["4", "w32a4", "32"]);
    assert!(own.quantization.weights_are_levels && !own.quantization.per_channel);
    let names: Vec<_> = own.parameters.iter().map(|own| &own.name[..]).collect();
    assert_eq!(
        names,
        [
            "conv.weight_scale",
            "conv.weight",
            "act.alpha",
            "conv2.weight",
            "dq2.step",
            "dq2.offset",
            "fc.weight"
        ]
    );
    let x = image(16);
    let found = values(&own, &x);
    let level = |value: f64, low: f64, high: f64| {
        (value / 0.125).round_ties_even().clamp(low, high) * 0.125
    };
    let first: Vec<f64> = [1.25, -1.5]
        .into_iter()
        .flat_map(|weight| x.iter().map(move |x| level(weight * x, 0.0, 15.0)))
        .collect();
    assert_close(&found[2], &first);
    let second: Vec<f64> = (0..16).map(|at| level(first[at] - first[16 + at], -8.0, 7.0)).collect();
    assert_close(&found[4][..16], &second);
}

/// The quantizer of a convolution that no activation follows, and a float function behind it.
#[test]
fn activations_of_other_bits_are_behind_layers_of_their_own() {
    let mut graph = Graph::new(&[2, 4, 4]);
    graph.conv("conv", [4, 2, 3, 3], &[]);
    graph.floats("scale", &[], &[0.05]);
    graph.tensor("zero", &[], DataType::Uint8, vec![128]);
    graph.then("QuantizeLinear", "quantize", &["scale", "zero"], &[]);
    graph.then("DequantizeLinear", "dequantize", &["scale", "zero"], &[]);
    graph.then("Tanh", "tanh", &[], &[]);
    graph.head(4, 3);
    let own = graph.read();
    let kinds = types(&own);
    assert_eq!(kinds[..4], ["conv", "activation", "conv", "activation"]);
    let bits: Vec<u32> = own.quantization.bits.iter().map(|bits| bits.activation).collect();
    assert_eq!(bits[..2], [8, 32]);
    // The images come first.
    let made = values(&own, &image(32));
    let of = |layer: usize| made[layer].clone();
    let tanh: Vec<f64> = of(2).iter().map(|value| value.tanh()).collect();
    assert_close(&of(4), &tanh);
    assert!(of(2).iter().all(|value| (value / 0.05 - (value / 0.05).round()).abs() < 1e-5));
}

/// As many levels, scales and zero points as no rows have: none.
#[test]
fn weights_of_no_levels_are_refused() {
    let mut graph = Graph::new(&[2, 4, 4]);
    graph.tensor("levels", &[0, 2, 1, 1], DataType::Int8, Vec::new());
    graph.floats("scales", &[0], &[]);
    graph.tensor("zeros", &[0], DataType::Int8, Vec::new());
    let inputs = ["levels", "scales", "zeros"];
    graph.node("DequantizeLinear", "weight", &inputs, &[integer("axis", 0)]);
    graph.then("Conv", "conv", &["weight"], &[]);
    assert!(graph.refusal().contains("levels: its shape is [0, 2, 1, 1]"), "{}", graph.refusal());
}

#[test]
fn large_and_recurring_sums_are_short() {
    let mut graph = Graph::new(&[1, 4, 4]);
    graph.conv("conv", [2, 1, 1, 1], &[]);
    graph.node("Relu", "a", &["conv"], &[]);
    graph.node("Tanh", "b", &["conv"], &[]);
    graph.node("Add", "sum1", &["a", "b"], &[]);
    graph.node("Add", "sum", &["sum1", "conv"], &[]);
    graph.output = "sum".into();
    graph.head(2, 2);
    let own = graph.read();
    assert_eq!(own.network.layers[3].inputs, ["a", "b", "conv"]);
    assert_eq!(own.network.layers.len(), 6);
}

#[test]
fn what_is_not_supported_is_named() {
    let refused = |add: &dyn Fn(&mut Graph)| {
        let mut graph = Graph::new(&[3, 8, 8]);
        graph.conv("conv", [4, 3, 3, 3], &[]);
        add(&mut graph);
        graph.head(4, 2);
        let said = graph.refusal();
        assert!(!said.contains('\n') && said.starts_with("model.onnx: "), "{said}");
        said
    };
    let said = refused(&|graph| graph.then("LSTM", "lstm1", &[], &[]));
    assert!(said.contains("node lstm1 (LSTM)") && said.contains("supported: Add"), "{said}");
    let said = refused(&|graph| {
        graph.then("Relu", "act", &[], &[]);
        graph.nodes.last_mut().unwrap().domain = Some("com.example".into());
    });
    assert!(said.contains("com.example::Relu is not supported"), "{said}");
    let said = refused(&|graph| graph.then("Relu", "conv", &[], &[]));
    assert!(said.contains("two of its nodes make conv"), "{said}");
    let said = refused(&|graph| graph.then("Add", "sum", &["nowhere"], &[]));
    assert!(said.contains("reads nowhere"), "{said}");
    let said = refused(&|graph| graph.then("Softmax", "inner", &[], &[integer("axis", 1)]));
    assert!(said.contains("at the end only"), "{said}");
    let said = refused(&|graph| graph.opset = 999);
    assert!(said.contains("operator set 999; 9 to 25"), "{said}");
    let said = refused(&|graph| graph.sizes = vec![3, 8, -1]);
    assert!(said.contains("leaves the size of the images open"), "{said}");
    let said = refused(&|graph| graph.input_type = DataType::Int64);
    assert!(said.contains("Int64"), "{said}");
    for own in [
        [list("strides", &[0, 0])],
        [list("strides", &[-1, 2])],
        [list("pads", &[1, 1, 1])],
        [list("kernel_shape", &[5, 5])],
        [integer("group", 0)],
        [integer("group", 2)],
    ] {
        refused(&|graph| graph.nodes[0].attribute = own.to_vec());
    }
    let said = refused(&|graph| {
        graph.integers("huge", &[1_000_000_000]);
        graph.node("ConstantOfShape", "zeros", &["huge"], &[]);
        graph.then("Add", "sum", &["zeros"], &[]);
    });
    assert!(said.contains("too large"), "{said}");
    let said = refused(&|graph| {
        for number in 0..40 {
            let value = graph.output.clone();
            graph.then("Concat", &format!("cat{number}"), &[&value], &[integer("axis", 1)]);
        }
    });
    assert!(said.contains("more than 2^28"), "{said}");
}

#[test]
fn damaged_files_are_refused() {
    let mut graph = Graph::new(&[3, 8, 8]);
    graph.conv("conv", [4, 3, 3, 3], &[]);
    graph.head(4, 2);
    let bytes = graph.bytes();
    let refusal = |bytes: &[u8]| read(Path::new("m"), bytes, None).unwrap_err().to_string();
    for length in (0..bytes.len()).step_by(7) {
        refusal(&bytes[..length]);
    }
    assert!(refusal(b"version https://git-lfs.github.com/spec/v1\n").contains("git lfs pull"));
    assert!(refusal(b"<html></html>").contains("no ONNX model"));
    let own = graph.read();
    assert!(logits(&own, &image(192)).iter().all(|logit| logit.is_finite()));
}

/// Halves of the channels, and of one the rows; the halves come back in another order.
#[test]
fn parts_are_taken_by_convolutions_of_zeros_and_ones() {
    let mut graph = Graph::new(&[4, 5, 3]);
    graph.then("Relu", "act", &[], &[]);
    graph.integers("sizes", &[1, 3]);
    graph.then("Split", "one", &["sizes"], &[integer("axis", 1)]);
    let split = graph.nodes.last_mut().unwrap();
    split.output.push("three".into());
    for (name, values) in
        [("starts", [1, 1]), ("ends", [i64::MAX, -1]), ("axes", [2, 1]), ("steps", [2, 1])]
    {
        graph.integers(name, &values);
    }
    graph.node("Slice", "rows", &["three", "starts", "ends", "axes", "steps"], &[]);
    graph.integers("channels", &[2, 0, 1]);
    graph.node("Gather", "turned", &["three", "channels"], &[integer("axis", 1)]);
    graph.node("Concat", "joined", &["turned", "one"], &[integer("axis", 1)]);
    graph.integers("groups", &[0, 2, 2, 5, 3]);
    graph.node("Reshape", "grouped", &["joined", "groups"], &[]);
    graph.node("Transpose", "moved", &["grouped"], &[list("perm", &[0, 2, 1, 3, 4])]);
    graph.integers("whole", &[0, -1, 5, 3]);
    graph.node("Reshape", "shuffled", &["moved", "whole"], &[]);
    graph.integers("behind", &[0, 0, 0, 0, 0, 2, 0, 0]);
    graph.node("Pad", "wide", &["shuffled", "behind"], &[]);
    graph.node("Flatten", "flat_wide", &["wide"], &[]);
    graph.floats(
        "eye",
        &[90, 90],
        &(0..8100).map(|at| f32::from(u8::from(at % 91 == 0))).collect::<Vec<_>>(),
    );
    graph.node("MatMul", "end", &["flat_wide", "eye"], &[]);
    graph.output = "end".into();
    let own = graph.read();
    let x: Vec<f64> = image(60).into_iter().map(f64::abs).collect();
    let channel = |channel: usize| x[channel * 15..][..15].to_vec();
    // [3, 1, 2, 0] in two groups, one of each in turn.
    let expected = [channel(3), channel(2), channel(1), channel(0), vec![0.0; 30]].concat();
    assert_close(&logits(&own, &x), &expected);

    graph.floats("small_eye", &[2, 2], &[1.0, 0.0, 0.0, 1.0]);
    graph.node("Slice", "pixels", &["rows", "pixel", "far", "last"], &[]);
    graph.integers("pixel", &[2]);
    graph.integers("far", &[3]);
    graph.integers("last", &[3]);
    graph.node("Flatten", "flat", &["pixels"], &[]);
    graph.node("MatMul", "end_of_rows", &["flat", "small_eye"], &[]);
    graph.output = "end_of_rows".into();
    // Of channel 2, the second of the three in front of the last.
    assert_close(&logits(&graph.read(), &x), &[1, 3].map(|row| x[2 * 15 + row * 3 + 2]));

    let mut graph = Graph::new(&[4, 5, 3]);
    graph.integers("sizes", &[1, 2]);
    graph.then("Split", "one", &["sizes"], &[integer("axis", 1)]);
    graph.nodes.last_mut().unwrap().output.push("two".into());
    graph.head(1, 2);
    assert!(graph.refusal().contains("node one (Split): 2 parts of sizes [1, 2] of 4"));
}
