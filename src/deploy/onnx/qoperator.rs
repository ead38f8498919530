//! The QOperator form of a graph: layers with quantized weights between quantized activations
//! become QLinearConv and QGemm (of `com.microsoft`, as ONNX Runtime's own quantizer writes fully
//! connected layers), which read and write levels. What is between them stays as it is.
//!
//! A bias is an integer in these, a multiple of the product of the scales. So that it is a small
//! one, levels of few bits are multiplied by a power of two, and their scale divided by it. Bytes
//! reach ±64: ONNX Runtime adds pairs of products of an unsigned and a signed byte in 16 bits on
//! some processors, and larger ones can overflow. Weights that need more are unsigned.

use std::collections::{HashMap, HashSet};

use super::tensor::{Tensor, floats, integers, read};
use crate::import::onnx::schema::{
    DataType, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto,
};

/// The set of ONNX Runtime's own operators.
const RUNTIME: &str = "com.microsoft";

/// Largest signed level that is written.
const LARGEST: i64 = 64;

/// Names of levels, their scale and their zero point.
type Levels = [String; 3];

struct Rewriting {
    constants: HashMap<String, TensorProto>,
    /// The nodes that read a value.
    readers: HashMap<String, Vec<usize>>,
    /// What floats are made of: weights, and values that depend on the images.
    weights: HashMap<String, Levels>,
    values: HashMap<String, Levels>,
    nodes: Vec<NodeProto>,
    /// Nodes that are part of others now.
    gone: HashSet<usize>,
}

/// The QOperator form of `model`, which this program wrote.
pub(super) fn qoperator(mut model: ModelProto) -> ModelProto {
    let Some(graph) = model.graph.take() else { return model };
    let mut readers: HashMap<String, Vec<usize>> = HashMap::new();
    for (index, node) in graph.node.iter().enumerate() {
        for name in &node.input {
            readers.entry(name.clone()).or_default().push(index);
        }
    }
    let named = |tensor: &TensorProto| (tensor.name().to_string(), tensor.clone());
    let mut rewriting = Rewriting {
        constants: graph.initializer.iter().map(named).collect(),
        readers,
        weights: HashMap::new(),
        values: HashMap::new(),
        nodes: Vec::new(),
        gone: HashSet::new(),
    };
    let mut added = Vec::new();
    for (index, node) in graph.node.iter().enumerate() {
        if !rewriting.gone.contains(&index) {
            rewriting.take(&graph, node, &mut added);
        }
    }
    let nodes = needed(rewriting.nodes, graph.output.iter().map(|output| output.name()));
    let read: HashSet<&str> =
        nodes.iter().flat_map(|node| &node.input).map(|name| &name[..]).collect();
    let mut initializer = graph.initializer;
    initializer.extend(added);
    initializer.retain(|tensor| read.contains(tensor.name()));
    if nodes.iter().any(|node| node.domain() == RUNTIME) {
        let domain = Some(RUNTIME.into());
        model.opset_import.push(OperatorSetIdProto { domain, version: Some(1) });
    }
    model.graph = Some(GraphProto { node: nodes, initializer, ..graph });
    model
}

/// Those of `nodes` that `outputs` depend on.
fn needed<'a>(nodes: Vec<NodeProto>, outputs: impl Iterator<Item = &'a str>) -> Vec<NodeProto> {
    let mut read: HashSet<String> = outputs.map(String::from).collect();
    let mut kept: Vec<NodeProto> = Vec::new();
    for node in nodes.into_iter().rev() {
        if node.output.iter().any(|name| read.contains(name)) {
            read.extend(node.input.iter().cloned());
            kept.push(node);
        }
    }
    kept.reverse();
    kept
}

/// Weights as bytes.
struct Bytes {
    data_type: DataType,
    levels: Vec<i32>,
    scales: Vec<f32>,
    zero: i32,
    /// Whether there is a scale an output channel.
    per_channel: bool,
    shape: Vec<usize>,
}

impl Bytes {
    /// Of weights `levels`; none where no bytes have them.
    fn new([levels, scale, zero]: [&Tensor; 3]) -> Option<Bytes> {
        let ((data_type, own), (_, zeros)) = (levels.whole().ok()?, zero.whole().ok()?);
        let scales: Vec<f32> = scale.real().ok()?.iter().map(|&scale| scale as f32).collect();
        let each = own.len() / zeros.len().max(1);
        let centred: Vec<i64> =
            own.iter().enumerate().map(|(at, level)| level - zeros[at / each.max(1)]).collect();
        let (low, high) =
            centred.iter().fold((0, 0), |(low, high), &level| (level.min(low), level.max(high)));
        let most = high.max(-low);
        let of = |factor: i64, zero: i64, data_type| Bytes {
            data_type,
            levels: centred.iter().map(|level| (level * factor + zero) as i32).collect(),
            scales: scales.iter().map(|scale| scale / factor as f32).collect(),
            zero: zero as i32,
            per_channel: !scale.shape.is_empty(),
            shape: levels.shape.clone(),
        };
        let first = *zeros.first()?;
        match () {
            () if most <= LARGEST => {
                let factor = 1 << (LARGEST / most.max(1)).ilog2();
                Some(of(factor, 0, DataType::Int8))
            }
            () if low >= -128 && high <= 127 => Some(of(1, 128, DataType::Uint8)),
            () if data_type == DataType::Uint8 && zeros.iter().all(|&zero| zero == first) => {
                Some(of(1, first, DataType::Uint8))
            }
            () => None,
        }
    }
}

impl Rewriting {
    /// Adds `node`, or what it is part of.
    fn take(&mut self, graph: &GraphProto, node: &NodeProto, added: &mut Vec<TensorProto>) {
        let is_constant = |name: &String| self.constants.contains_key(name);
        match (node.op_type(), &node.input[..], &node.output[..]) {
            ("DequantizeLinear", [levels, scale, zero], [output]) => {
                let own = [levels, scale, zero].map(String::clone);
                let all = if is_constant(levels) { &mut self.weights } else { &mut self.values };
                all.insert(output.clone(), own);
                self.nodes.push(node.clone());
            }
            ("MaxPool" | "Flatten" | "Reshape", [value, ..], [output])
                if self.values.contains_key(value) =>
            {
                let [levels, scale, zero] = self.values[value].clone();
                let mut moved = node.clone();
                moved.input[0] = levels;
                moved.output = vec![format!("{output}/levels")];
                let own = [moved.output[0].clone(), scale, zero];
                self.nodes.push(moved);
                self.nodes.push(NodeProto {
                    input: own.to_vec(),
                    output: vec![output.clone()],
                    name: Some(format!("{}/dequantize", node.name())),
                    op_type: Some("DequantizeLinear".into()),
                    ..NodeProto::default()
                });
                self.values.insert(output.clone(), own);
            }
            ("Conv" | "Gemm", ..) => {
                if self.integer_layer(graph, node, added).is_none() {
                    self.nodes.push(node.clone());
                }
            }
            _ => self.nodes.push(node.clone()),
        }
    }

    /// The only node that reads `name`, and its number.
    fn reader<'a>(&self, graph: &'a GraphProto, name: &str) -> Option<(usize, &'a NodeProto)> {
        match self.readers.get(name).map(|all| &all[..]) {
            Some(&[only]) => Some((only, &graph.node[only])),
            _ => None,
        }
    }

    fn constant(&self, name: &str) -> Option<Tensor> {
        read(self.constants.get(name)?).ok()
    }

    /// Adds `node`, a convolution or fully connected layer, on integers, if it can be.
    fn integer_layer(
        &mut self,
        graph: &GraphProto,
        node: &NodeProto,
        added: &mut Vec<TensorProto>,
    ) -> Option<()> {
        let [value, weight] = &node.input[..] else { return None };
        let is_conv = node.op_type() == "Conv";
        let from = self.values.get(value)?.clone();
        let own = self.weights.get(weight)?;
        let [levels, scale, zero] = [0, 1, 2].map(|at: usize| self.constant(&own[at]));
        let bytes = Bytes::new([&levels?, &scale?, &zero?])?;
        let (add_at, add) = self.reader(graph, &node.output[0])?;
        let bias = self.constant(add.input.get(1).filter(|_| add.op_type() == "Add")?)?;
        let behind = self.reader(graph, &add.output[0]);
        let quantize = behind.filter(|(_, node)| node.op_type() == "QuantizeLinear");
        if is_conv && quantize.is_none() {
            return None;
        }
        let name = node.name();
        let [w, s, z, b] =
            ["levels", "scale", "zero_point", "bias"].map(|part| format!("{name}/integer_{part}"));
        let mut input = from.to_vec();
        input.extend([w.clone(), s.clone(), z.clone()]);
        let mut output = node.output.clone();
        let mut constants = Vec::new();
        if let Some((quantize_at, quantize)) = quantize {
            let step = self.constant(&from[1])?.scalar().ok()?;
            let biases = bias.real().ok()?.iter().enumerate().map(|(channel, bias)| {
                let scale = bytes.scales[channel % bytes.scales.len()];
                let level = (bias / (step * f64::from(scale))).round_ties_even();
                (level.abs() < f64::from(i32::MAX)).then_some(level as i32)
            });
            let biases = biases.collect::<Option<Vec<i32>>>()?;
            constants.push(integers(&b, &[biases.len()], DataType::Int32, &biases));
            let [y_scale, y_zero] = [1, 2].map(|at: usize| quantize.input[at].clone());
            input.extend(if is_conv { [y_scale, y_zero, b] } else { [b, y_scale, y_zero] });
            output = quantize.output.clone();
            self.gone.extend([add_at, quantize_at]);
        }
        let sizes = if bytes.per_channel { vec![bytes.scales.len()] } else { Vec::new() };
        constants.extend([
            integers(&w, &bytes.shape, bytes.data_type, &bytes.levels),
            floats(&s, &sizes, &bytes.scales),
            integers(&z, &sizes, bytes.data_type, &vec![bytes.zero; bytes.scales.len()]),
        ]);
        added.extend(constants);
        self.nodes.push(NodeProto {
            input,
            output,
            op_type: Some(if is_conv { "QLinearConv" } else { "QGemm" }.into()),
            domain: (!is_conv).then(|| RUNTIME.into()),
            ..node.clone()
        });
        Some(())
    }
}
