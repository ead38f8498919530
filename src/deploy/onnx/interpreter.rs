//! A second reading of the ONNX files that saliq writes: exactly the operators they use, by the
//! standard's definitions (onnx.ai/onnx/operators), in f64. It knows the file alone, not the model
//! that it was made from, so that `saliq export --verify` and the tests hold what was written,
//! names, axes, types, zero points and bit packing, to what saliq itself computes.

use std::collections::HashMap;

use prost::Message;

use super::{
    expansion::{Expansion, expanded},
    operators::{Window, average_pool, conv, gemm, max_pool},
    schema::{AttributeType, ModelProto, NodeProto},
    tensor::{Elements, Tensor, bad, range, read},
};
use crate::{Result, config::Shape, import::onnx::element_count};

/// A graph that can be run.
pub struct Interpreter {
    nodes: Vec<NodeProto>,
    constants: HashMap<String, Tensor>,
    /// How far rounding moved each number of a bias at most, by the bias's name.
    moved_biases: HashMap<String, Vec<f64>>,
    input: String,
    output: String,
}

/// What a graph made of N images.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// [N, classes].
    pub logits: Vec<f64>,
    /// For every image, how far the quantized activation closest to the border between two levels
    /// is from it, as a share of the layer's range (0 to ½); infinite where nothing is quantized.
    /// Where it is as small as rounding errors, two correct programs may choose different levels.
    pub margins: Vec<f64>,
}

/// Numbers that an operator makes of an image at most: windows far apart reach far beyond it.
const MOST_ELEMENTS: usize = 1 << 28;

/// Attributes of a node, taken one by one; what is left over is not understood.
struct Attributes<'a> {
    node: &'a NodeProto,
    used: Vec<&'static str>,
}

impl Attributes<'_> {
    fn integer(&mut self, name: &'static str, default: i64) -> i64 {
        self.used.push(name);
        let found =
            self.node.attribute.iter().find(|attribute| {
                attribute.name() == name && attribute.r#type() == AttributeType::Int
            });
        found.map_or(default, |attribute| attribute.i())
    }

    fn real(&mut self, name: &'static str, default: f32) -> f64 {
        self.used.push(name);
        let found = self.node.attribute.iter().find(|attribute| {
            attribute.name() == name && attribute.r#type() == AttributeType::Float
        });
        f64::from(found.map_or(default, |attribute| attribute.f()))
    }

    /// A list of `N` numbers.
    fn list<const N: usize>(&mut self, name: &'static str, default: u32) -> Result<[u32; N]> {
        self.used.push(name);
        let Some(found) = self.node.attribute.iter().find(|attribute| attribute.name() == name)
        else {
            return Ok([default; N]);
        };
        let sizes: Option<Vec<u32>> =
            found.ints.iter().map(|&size| u32::try_from(size).ok()).collect();
        let sizes = sizes.and_then(|sizes| sizes.try_into().ok());
        sizes.ok_or_else(|| bad(format!("{name} of {:?}", found.ints)))
    }

    /// The windows over images of `input` and the shape of what has `channels` channels, where each
    /// window meets at least a pixel: padding is less than the window.
    fn window(&mut self, input: Shape, channels: u32) -> Result<(Window, Shape)> {
        let window = Window {
            kernel: self.list("kernel_shape", 0)?,
            stride: self.list("strides", 1)?,
            dilation: self.list("dilations", 1)?,
            padding: self.list("pads", 0)?,
            ceil: self.integer("ceil_mode", 0) != 0,
        };
        let Window { kernel, stride, dilation, padding, .. } = window;
        let fits = (0..2).all(|axis| {
            let extent = u64::from(kernel[axis].saturating_sub(1)) * u64::from(dilation[axis]);
            let padding = padding[axis].max(padding[axis + 2]);
            stride[axis] > 0 && dilation[axis] > 0 && u64::from(padding) <= extent
        });
        let output = window.output(input, channels).filter(|_| fits);
        let is_bounded = |output: &Shape| {
            let sizes = <[u32; 3]>::from(*output).map(|size| size as usize);
            element_count(&sizes).is_some_and(|count| count <= MOST_ELEMENTS)
        };
        let bounded = output.filter(is_bounded);
        let output = bounded.ok_or_else(|| bad(format!("windows of {kernel:?} on {input}")))?;
        Ok((window, output))
    }

    fn finish(self) -> Result<()> {
        match self.node.attribute.iter().find(|attribute| !self.used.contains(&attribute.name())) {
            Some(unknown) => {
                Err(bad(format!("attribute {} of {}", unknown.name(), self.node.op_type())))
            }
            None => Ok(()),
        }
    }
}

/// What is called after every node with the node, its inputs and what it made.
pub(super) type Visit<'a> = &'a mut dyn FnMut(&NodeProto, &[&Tensor], &mut Tensor) -> Result<()>;

impl Interpreter {
    /// Reads an ONNX file of one input and one output whose constants are all within it.
    ///
    /// # Errors
    /// [`crate::Error::Model`] for bytes that are none.
    pub fn new(bytes: &[u8]) -> Result<Interpreter> {
        let model = ModelProto::decode(bytes)
            .map_err(|error| bad(format!("cannot be decoded: {error}")))?;
        let graph = model.graph.ok_or_else(|| bad("is missing"))?;
        let ([input], [output]) = (&graph.input[..], &graph.output[..]) else {
            return Err(bad("more than one input or output"));
        };
        let mut constants = graph
            .initializer
            .iter()
            .map(|tensor| Ok((tensor.name().to_string(), read(tensor)?)))
            .collect::<Result<_>>()?;
        let Expansion { nodes, moved_biases } = expanded(graph.node, &mut constants)?;
        Ok(Interpreter {
            input: input.name().into(),
            output: output.name().into(),
            nodes,
            constants,
            moved_biases,
        })
    }

    /// Lowest and highest level, counted from `zero`, of the value called `name`: of a clip behind
    /// it, or of its type.
    pub(super) fn level_range(&self, name: &String, zero: &Tensor) -> Result<(i64, i64)> {
        let (data_type, zero) = zero.whole()?;
        let clip = self
            .nodes
            .iter()
            .find(|node| node.op_type() == "Clip" && node.input.first() == Some(name));
        let end = |name: &String| {
            self.constants.get(name).and_then(|end| end.whole().ok()?.1.first().copied())
        };
        let ends = match clip.map(|node| &node.input[1..]) {
            Some([low, high]) => end(low).zip(end(high)),
            _ => range(data_type),
        };
        match (ends, zero) {
            (Some((low, high)), &[zero]) => {
                Ok((low.saturating_sub(zero), high.saturating_sub(zero)))
            }
            _ => Err(bad("levels without ends")),
        }
    }

    /// The output for `images` [N, C, H, W].
    ///
    /// # Errors
    /// [`crate::Error::Model`] for an operator that saliq does not write, or shapes and types that
    /// do not fit each other.
    pub fn run(&self, images: &[f64], shape: Shape) -> Result<Outcome> {
        let mut margins = vec![f64::INFINITY; images.len() / (shape.elements() as usize).max(1)];
        let logits = self.walk(images, shape, &mut |node, inputs, _| {
            if let ("QuantizeLinear", [x, scale, zero]) = (node.op_type(), inputs) {
                narrow(
                    &mut margins,
                    x.real()?,
                    scale.scalar()?,
                    self.level_range(&node.output[0], zero)?,
                );
            }
            Ok(())
        })?;
        Ok(Outcome { logits, margins })
    }

    /// The output for `images`. After every node `visit` is given it, its inputs and what it made,
    /// to look at or to replace.
    pub(super) fn walk(&self, images: &[f64], shape: Shape, visit: Visit<'_>) -> Result<Vec<f64>> {
        let count = images.len() / (shape.elements() as usize).max(1);
        let input_shape =
            vec![count, shape.channels as usize, shape.height as usize, shape.width as usize];
        let mut made = HashMap::new();
        made.insert(
            self.input.as_str(),
            Tensor { shape: input_shape, elements: Elements::Real(images.to_vec()) },
        );
        for node in &self.nodes {
            let [output] = &node.output[..] else {
                return Err(bad(format!("{} with several outputs", node.op_type())));
            };
            let find = |name: &String| {
                made.get(name.as_str())
                    .or_else(|| self.constants.get(name))
                    .ok_or_else(|| bad(format!("{name} is used before it is made")))
            };
            let inputs = node.input.iter().map(find).collect::<Result<Vec<_>>>()?;
            let mut result = apply(node, &inputs)?;
            visit(node, &inputs, &mut result)?;
            made.insert(output, result);
        }
        let logits =
            made.remove(self.output.as_str()).ok_or_else(|| bad("the output is not made"))?;
        if !matches!(logits.shape[..], [images, _] if images == count) {
            return Err(bad(format!("an output of {:?}, not a row for each image", logits.shape)));
        }
        Ok(logits.real()?.to_vec())
    }

    /// How far rounding moved each number of the bias `name` at most; none where it was not
    /// rounded.
    pub(super) fn moved_bias(&self, name: &str) -> Option<&[f64]> {
        self.moved_biases.get(name).map(|moved| &moved[..])
    }

    /// Name of the graph's input.
    pub(super) fn input(&self) -> &str {
        &self.input
    }
}

/// Lowers the images' margins to those of `x`, whose levels from `lowest` to `highest` are `scale`
/// apart. Beyond the ends there is nothing to decide.
fn narrow(margins: &mut [f64], x: &[f64], scale: f64, (lowest, highest): (i64, i64)) {
    let (lowest, highest) = (lowest as f64, highest as f64);
    let range = lowest.abs().max(highest.abs()).max(1.0);
    let per_image = (x.len() / margins.len().max(1)).max(1);
    for (margin, values) in margins.iter_mut().zip(x.chunks_exact(per_image)) {
        let positions = values
            .iter()
            .map(|value| value / scale)
            .filter(|position| (lowest..=highest).contains(position));
        let distance =
            |position: f64| (0.5 - (position - position.round_ties_even()).abs()) / range;
        *margin = positions.map(distance).fold(*margin, f64::min);
    }
}

/// What `node` makes of `inputs`.
pub(super) fn apply(node: &NodeProto, inputs: &[&Tensor]) -> Result<Tensor> {
    let mut attributes = Attributes { node, used: Vec::new() };
    let result = match (node.op_type(), inputs) {
        ("Sub", [x, y]) => {
            x.with(x.real()?.iter().zip(y.broadcast(x)?).map(|(x, y)| x - y).collect())
        }
        ("Div", [x, y]) => {
            x.with(x.real()?.iter().zip(y.broadcast(x)?).map(|(x, y)| x / y).collect())
        }
        ("Relu", [x]) => x.map(|x| x.max(0.0))?,
        ("LeakyRelu", [x]) => {
            let slope = attributes.real("alpha", 0.01);
            x.map(|x| x.max(0.0) + slope * x.min(0.0))?
        }
        ("PRelu", [x, slope]) => {
            let slopes = slope.broadcast(x)?;
            let of = |(x, slope): (&f64, f64)| x.max(0.0) + slope * x.min(0.0);
            x.with(x.real()?.iter().zip(slopes).map(of).collect())
        }
        ("Tanh", [x]) => x.map(f64::tanh)?,
        ("Sigmoid", [x]) => x.map(|x| 1.0 / (1.0 + (-x).exp()))?,
        ("HardSigmoid", [x]) => {
            let [alpha, beta] = [attributes.real("alpha", 0.2), attributes.real("beta", 0.5)];
            x.map(|x| (alpha * x + beta).clamp(0.0, 1.0))?
        }
        ("Clip", [x, low, high]) if x.real().is_ok() => {
            let (low, high) = (low.scalar()?, high.scalar()?);
            match low <= high {
                true => x.map(|x| x.clamp(low, high))?,
                false => return Err(bad("a clip without a range")),
            }
        }
        ("Mul", [x, y]) => multiply(x, y)?,
        ("Concat", [_, ..]) if attributes.integer("axis", 0) == 1 => concat(inputs)?,
        ("QuantizeLinear", [x, scale, zero]) => quantize(x, scale.scalar()?, zero)?,
        ("Clip", [x, low, high]) => clip(x, low, high)?,
        ("DequantizeLinear", [x, scale, zero]) => {
            dequantize(x, scale, zero, attributes.integer("axis", 1))?
        }
        ("Add", [x, y]) if x.shape == y.shape => {
            let sums = x.real()?.iter().zip(y.real()?).map(|(x, y)| x + y);
            x.with(sums.collect())
        }
        ("Add", [x, bias]) => add_bias(x, bias)?,
        ("Conv", [x, weight, bias @ ..]) => {
            let (images, input) = x.image_shape()?;
            let (out_channels, filter) = weight.image_shape()?;
            let (window, output) = attributes.window(input, out_channels as u32)?;
            let groups = u32::try_from(attributes.integer("group", 1)).unwrap_or(0);
            let fits = groups > 0
                && filter.channels.checked_mul(groups) == Some(input.channels)
                && (out_channels as u32).is_multiple_of(groups)
                && window.kernel == [filter.height, filter.width]
                && bias.len() <= 1
                && bias.iter().all(|bias| bias.shape == [out_channels]);
            if !fits {
                return Err(bad(format!("a convolution of {:?} with {:?}", x.shape, weight.shape)));
            }
            let (values, bias) = (weight.real()?, bias_or_zeros(bias, out_channels)?);
            let grouped = (window, groups as usize);
            let values = conv(images, [input, output], grouped, x.real()?, values, &bias);
            Tensor::of_images(images, output, values)
        }
        ("MaxPool", [x]) => {
            let (images, input) = x.image_shape()?;
            let (window, output) = attributes.window(input, input.channels)?;
            let pooled = |values: &[f64]| max_pool(images, [input, output], window, values);
            match &x.elements {
                Elements::Real(values) => Tensor::of_images(images, output, pooled(values)),
                Elements::Whole(data_type, levels) => {
                    let levels: Vec<f64> = levels.iter().map(|&level| level as f64).collect();
                    let most = pooled(&levels).into_iter().map(|level| level as i64).collect();
                    let made = Tensor::of_images(images, output, Vec::new());
                    Tensor { elements: Elements::Whole(*data_type, most), ..made }
                }
            }
        }
        ("AveragePool", [x]) => {
            let (images, input) = x.image_shape()?;
            let (window, output) = attributes.window(input, input.channels)?;
            let padded = attributes.integer("count_include_pad", 0) != 0;
            let values = average_pool(images, [input, output], (window, padded), x.real()?);
            Tensor::of_images(images, output, values)
        }
        ("GlobalAveragePool", [x]) => {
            let (images, input) = x.image_shape()?;
            let pixels = (input.pixels() as usize).max(1);
            let mean = |plane: &[f64]| plane.iter().sum::<f64>() / pixels as f64;
            let values = x.real()?.chunks_exact(pixels).map(mean).collect();
            Tensor::of_images(images, Shape::new(input.channels, 1, 1), values)
        }
        ("Flatten", [x]) if attributes.integer("axis", 1) == 1 => {
            let images = x.shape.first().copied().unwrap_or(1);
            let features = x.shape.iter().skip(1).product();
            Tensor { shape: vec![images, features], elements: x.elements.clone() }
        }
        ("Reshape", [x, shape]) => match shape.whole()?.1 {
            &[-1, channels, height, width] if x.shape.len() == 2 => {
                let sizes =
                    [channels, height, width].map(|size| usize::try_from(size).unwrap_or(0));
                if element_count(&sizes) != Some(x.shape[1]) {
                    return Err(bad(format!("{:?} as {sizes:?}", x.shape)));
                }
                Tensor { shape: [&x.shape[..1], &sizes[..]].concat(), elements: x.elements.clone() }
            }
            other => return Err(bad(format!("{:?} as {other:?}", x.shape))),
        },
        ("Gemm", [x, weight, bias @ ..]) if attributes.integer("transB", 0) == 1 => {
            let (&[images, features], &[outputs, columns]) = (&x.shape[..], &weight.shape[..])
            else {
                return Err(bad(format!("a product of {:?} and {:?}", x.shape, weight.shape)));
            };
            if features != columns
                || bias.len() > 1
                || bias.iter().any(|bias| bias.shape != [outputs])
                || images == 0
            {
                return Err(bad(format!("a product of {:?} and {:?}", x.shape, weight.shape)));
            }
            let values =
                gemm(images, features, x.real()?, weight.real()?, &bias_or_zeros(bias, outputs)?);
            Tensor { shape: vec![images, outputs], elements: Elements::Real(values) }
        }
        (other, inputs) => return Err(bad(format!("{other} of {} inputs", inputs.len()))),
    };
    attributes.finish()?;
    Ok(result)
}

/// x · y of one shape, or with a y of one pixel that meets all of x's, or the other way round.
fn multiply(x: &Tensor, y: &Tensor) -> Result<Tensor> {
    let meets_all = |few: &Tensor, many: &Tensor| match (&few.shape[..], &many.shape[..]) {
        (&[images, channels, 1, 1], &[others, planes, ..]) => {
            [images, channels] == [others, planes]
        }
        _ => false,
    };
    let (x, y) = match (x.shape == y.shape || meets_all(y, x), meets_all(x, y)) {
        (true, _) => (x, y),
        (false, true) => (y, x),
        _ => return Err(bad(format!("a product of {:?} and {:?}", x.shape, y.shape))),
    };
    let (values, factors) = (x.real()?, y.real()?);
    let each = values.len() / factors.len().max(1);
    Ok(x.with(values.iter().enumerate().map(|(at, value)| value * factors[at / each]).collect()))
}

/// The channels of one tensor after another's.
fn concat(parts: &[&Tensor]) -> Result<Tensor> {
    let mut shape = parts[0].shape.clone();
    let alike = |part: &&Tensor| {
        part.shape.len() == shape.len()
            && part.shape.len() >= 2
            && part.shape[0] == shape[0]
            && part.shape[2..] == shape[2..]
    };
    if !parts.iter().all(alike) {
        return Err(bad("parts that do not fit each other"));
    }
    shape[1] = parts.iter().map(|part| part.shape[1]).sum();
    let mut values = Vec::new();
    for image in 0..shape[0] {
        for part in parts {
            let (own, size) = (part.real()?, part.shape[1..].iter().product::<usize>());
            values.extend_from_slice(&own[image * size..][..size]);
        }
    }
    Ok(Tensor { shape, elements: Elements::Real(values) })
}

fn bias_or_zeros(bias: &[&Tensor], channels: usize) -> Result<Vec<f64>> {
    bias.first().map_or_else(|| Ok(vec![0.0; channels]), |bias| Ok(bias.real()?.to_vec()))
}

/// x [N, C, …] + a constant [C], or [C, 1, 1] where there are rows and columns.
fn add_bias(x: &Tensor, bias: &Tensor) -> Result<Tensor> {
    let (values, channels) = (bias.real()?, bias.real()?.len());
    let rest = x.shape.len().saturating_sub(2);
    if x.shape.get(1) != Some(&channels)
        || bias.shape.first() != Some(&channels)
        || bias.shape[1..] != vec![1; rest]
    {
        return Err(bad(format!("a bias of {:?} for {:?}", bias.shape, x.shape)));
    }
    let pixels: usize = x.shape[2..].iter().product();
    Ok(x.with(
        x.real()?.iter().enumerate().map(|(at, x)| x + values[at / pixels % channels]).collect(),
    ))
}

/// saturate(round(x / scale) + zero) of the type of `zero`, rounding half to even.
fn quantize(x: &Tensor, scale: f64, zero: &Tensor) -> Result<Tensor> {
    let (data_type, zero) = zero.whole()?;
    let (&[zero], Some((low, high))) = (zero, range(data_type)) else {
        return Err(bad("a zero point that is none"));
    };
    let level = |x: &f64| (((x / scale).round_ties_even() + zero as f64) as i64).clamp(low, high);
    Ok(Tensor {
        shape: x.shape.clone(),
        elements: Elements::Whole(data_type, x.real()?.iter().map(level).collect()),
    })
}

fn clip(x: &Tensor, low: &Tensor, high: &Tensor) -> Result<Tensor> {
    let ((data_type, values), (low_type, low), (high_type, high)) =
        (x.whole()?, low.whole()?, high.whole()?);
    match (low, high) {
        (&[low], &[high]) if low <= high && low_type == data_type && high_type == data_type => {
            let values = values.iter().map(|&value| value.clamp(low, high)).collect();
            Ok(Tensor { shape: x.shape.clone(), elements: Elements::Whole(data_type, values) })
        }
        _ => Err(bad("a clip whose ends are not of its type")),
    }
}

/// (x − zero)·scale, with one scale and zero point, or one for every index along `axis`.
fn dequantize(x: &Tensor, scale: &Tensor, zero: &Tensor, axis: i64) -> Result<Tensor> {
    let ((data_type, values), (zero_type, zeros), scales) =
        (x.whole()?, zero.whole()?, scale.real()?);
    if data_type != zero_type || zero.shape != scale.shape {
        return Err(bad("scales and zero points that do not fit"));
    }
    if scale.shape.is_empty() {
        let real = |&value: &i64| value.saturating_sub(zeros[0]) as f64 * scales[0];
        return Ok(x.with(values.iter().map(real).collect()));
    }
    let axis = usize::try_from(axis).map_err(|_| bad("a negative axis"))?;
    if scale.shape.len() != 1 || x.shape.get(axis) != Some(&scales.len()) {
        return Err(bad(format!("{:?} scales along axis {axis} of {:?}", scale.shape, x.shape)));
    }
    let inner: usize = x.shape[axis + 1..].iter().product();
    let real = |(at, &value): (usize, &i64)| {
        let channel = at / inner % scales.len();
        value.saturating_sub(zeros[channel]) as f64 * scales[channel]
    };
    Ok(x.with(values.iter().enumerate().map(real).collect()))
}
