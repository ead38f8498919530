//! A file as a network.

use std::{
    collections::{HashMap, HashSet},
    path::Path,
    rc::Rc,
};

use prost::Message;

use super::{
    Fallible,
    constant::{self, Beside, Budget},
    layers::{self, Finished, NamedParameter},
    layout::Layout,
    lowering::Lowering,
    node::Node,
    operators, pixels,
    schema::{GraphProto, ModelProto, ValueInfoProto},
    value::{Live, Value},
    wire,
};
use crate::{
    Error, Result,
    config::{ModelConfig, NetworkConfig, PixelNormalization, QuantizationConfig, Shape},
};

/// Operator sets that are read.
const OPSETS: std::ops::RangeInclusive<i64> = 9..=25;

/// A classifier out of an ONNX file.
#[derive(Clone, Debug, PartialEq)]
pub struct OnnxNetwork {
    /// The layers.
    pub network: NetworkConfig,
    /// The parameters by name, in the order of the layers.
    pub parameters: Vec<NamedParameter>,
    /// Bits and quantizers.
    pub quantization: QuantizationConfig,
    /// What a file of this program says about the model that was exported; none in other files.
    pub exported: Option<ModelConfig>,
    /// How pixels are normalised in front of the layers; none where the file does not say it.
    pub normalize: Option<PixelNormalization>,
    /// What was left out or assumed.
    pub remarks: Vec<String>,
}

/// Reads the ONNX model `bytes`. Constants in other files are read from the folder of `model`, if
/// that is given; `path` names the file in errors.
///
/// # Errors
/// [`Error::Format`] for a file that is damaged, not of a classifier of images, or has nodes that
/// are not supported: these are named.
pub fn read(path: &Path, bytes: &[u8], model: Option<&Path>) -> Result<OnnxNetwork> {
    network(bytes, &Beside { model }).map_err(|reason| Error::format(path, reason))
}

fn network(bytes: &[u8], beside: &Beside<'_>) -> Fallible<OnnxNetwork> {
    if bytes.starts_with(b"version https://git-lfs") {
        return Err("is a pointer of Git LFS, not the model: get it with `git lfs pull`".into());
    }
    if !wire::is_model(bytes) {
        return Err("is no ONNX model: it is damaged, cut off or something else".into());
    }
    wire::check(bytes)?;
    let proto = ModelProto::decode(bytes).map_err(|error| format!("is no ONNX model: {error}"))?;
    let opset = opset(&proto)?;
    let graph = proto.graph.as_ref().ok_or("has no graph")?;
    if !graph.sparse_initializer.is_empty() {
        return Err("has sparse constants, which are not supported; dense ones are".into());
    }
    let mut reading = Reading::new(&proto, graph, opset, beside)?;
    reading.nodes()?;
    Ok(OnnxNetwork { exported: exported(&proto), ..reading.finish()? })
}

/// What a file of this program says about the model that was exported.
fn exported(proto: &ModelProto) -> Option<ModelConfig> {
    let own = proto.metadata_props.iter().find(|own| own.key() == "saliq")?;
    ModelConfig::from_metadata(own.value()).ok()
}

/// The version of the standard operator set.
fn opset(proto: &ModelProto) -> Fallible<i64> {
    let is_standard = |domain: &str| matches!(domain, "" | "ai.onnx");
    let own = proto.opset_import.iter().find(|own| is_standard(own.domain()));
    let version = own.map(|own| own.version()).ok_or("names no version of ONNX's operators")?;
    match OPSETS.contains(&version) {
        true => Ok(version),
        false => Err(format!(
            "is of operator set {version}; {} to {} are supported",
            OPSETS.start(),
            OPSETS.end()
        )),
    }
}

/// A graph that is read.
struct Reading<'a> {
    graph: &'a GraphProto,
    lowering: Lowering<'a>,
    output: &'a str,
    shape: Shape,
    /// Whether the images are integers.
    are_bytes: bool,
    /// The nodes that the output depends on.
    needed: Vec<bool>,
    normalize: Option<PixelNormalization>,
    remarks: Vec<String>,
}

impl<'a> Reading<'a> {
    fn new(
        proto: &'a ModelProto,
        graph: &'a GraphProto,
        opset: i64,
        beside: &'a Beside<'a>,
    ) -> Fallible<Reading<'a>> {
        let constants: HashSet<&str> = graph.initializer.iter().map(|own| own.name()).collect();
        let inputs: Vec<&ValueInfoProto> =
            graph.input.iter().filter(|input| !constants.contains(input.name())).collect();
        let [input] = inputs[..] else {
            return Err(format!("has {} inputs; one, the images, is supported", inputs.len()));
        };
        let [output] = &graph.output[..] else {
            let names: Vec<&str> = graph.output.iter().map(|output| output.name()).collect();
            let said = names.join(", ");
            return Err(format!(
                "has {} outputs ({said}); one, a number a class, is supported",
                names.len()
            ));
        };
        let (images, output) = (input.name(), output.name());
        let needed = needed(graph, output)?;
        let mut uses: HashMap<&str, usize> = HashMap::from([(output, 1)]);
        for (node, _) in graph.node.iter().zip(&needed).filter(|(_, needed)| **needed) {
            for name in &node.input {
                *uses.entry(name).or_default() += 1;
            }
        }
        let (batch, sizes, are_bytes) = pixels::input(input)?;
        let (shape, layout) = pixels::axes(graph, images, &sizes)?;
        let mut remarks = Vec::new();
        if sizes.len() == 3 && layout != Layout::images(shape) {
            remarks.push("its images have the channels last".into());
        }
        let mut reading = Reading {
            graph,
            lowering: Lowering {
                opset,
                batch,
                beside,
                budget: Budget::default(),
                values: HashMap::new(),
                uses,
                layers: Vec::new(),
            },
            output,
            shape,
            are_bytes,
            needed,
            normalize: None,
            remarks,
        };
        let own = Live::images(None, shape).laid_out(layout);
        reading.lowering.values.insert(images, Value::Live(own.clone()));
        for tensor in &graph.initializer {
            let name = tensor.name();
            if reading.lowering.uses.contains_key(name) {
                let budget = &mut reading.lowering.budget;
                let constant = constant::read(tensor, beside, budget)
                    .map_err(|reason| format!("constant {name}: {reason}"))?;
                reading.lowering.values.insert(name, Value::Constant(Rc::new(constant)));
            }
        }
        if let Some((normalize, normalized)) = pixels::own_normalization(proto, graph, images) {
            reading.normalize = Some(normalize);
            reading.lowering.values.insert(normalized, Value::Live(own));
        }
        Ok(reading)
    }

    /// Takes in the nodes that the output depends on.
    fn nodes(&mut self) -> Fallible<()> {
        for (proto, needed) in self.graph.node.iter().zip(&self.needed) {
            let node = Node(proto);
            let is_known = node.output().is_ok_and(|name| self.lowering.values.contains_key(name));
            if !needed || is_known && self.normalize.is_some() {
                continue;
            }
            operators::node(&mut self.lowering, node).map_err(|reason| {
                // A message that names the operator does not need it twice.
                format!("node {} ({}): {reason}", node.label(), node.operator())
            })?;
        }
        Ok(())
    }

    fn finish(mut self) -> Fallible<OnnxNetwork> {
        let output = self.output;
        let value = self.lowering.values.remove(output);
        let live = match value {
            Some(Value::Live(live)) => live,
            Some(Value::Gate(gate)) => self.lowering.materialize(gate)?,
            Some(Value::Constant(_)) => {
                return Err(format!("its output {output} does not depend on the images"));
            }
            Some(Value::Quantized(_)) => return Err(format!("its output {output} are levels")),
            None => return Err(format!("no node makes its output {output}")),
        };
        let last = live.unpadded_source().ok_or("its output is the images: it has no layers")?;
        if live.is_probability {
            self.remarks.push("the softmax at its end is left out".into());
        }
        let layers = self.lowering.layers;
        if self.normalize.is_none() {
            let range = pixels::range(&layers, self.are_bytes);
            if let Some(range) = range {
                self.remarks.push(range.said.into());
                self.normalize = Some(range.normalize);
            }
        }
        let Finished { network, parameters, quantization } =
            layers::network(layers, last, self.shape)?;
        Ok(OnnxNetwork {
            network,
            parameters,
            quantization,
            exported: None,
            normalize: self.normalize,
            remarks: self.remarks,
        })
    }
}

/// Which nodes of `graph` the value `output` depends on.
fn needed(graph: &GraphProto, output: &str) -> Fallible<Vec<bool>> {
    let mut makers: HashMap<&str, usize> = HashMap::new();
    for (index, node) in graph.node.iter().enumerate() {
        for name in node.output.iter().filter(|name| !name.is_empty()) {
            if makers.insert(name, index).is_some() {
                return Err(format!("two of its nodes make {name}"));
            }
        }
    }
    let mut needed = vec![false; graph.node.len()];
    let mut open: Vec<usize> = makers.get(output).copied().into_iter().collect();
    while let Some(index) = open.pop() {
        if !std::mem::replace(&mut needed[index], true) {
            let inputs = graph.node[index].input.iter();
            open.extend(inputs.filter_map(|name| makers.get(&name[..])));
        }
    }
    Ok(needed)
}
