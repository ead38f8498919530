//! Nodes of a graph become layers, one after another.

use std::{collections::HashMap, rc::Rc};

use super::{
    Fallible,
    constant::{BATCH, Beside, Budget, Constant, Levels},
    fold::{self, Folding},
    layers::{Grid, Made, Step, window_means},
    layout::Layout,
    node::Node,
    value::{Gate, GateKind, Live, Quantized, Value},
    window::Window,
};
use crate::config::{
    ActivationFunction, BatchNorm, ChannelGroups, Convolution, LayerKind, MaxPool, Padding, Shape,
};

/// Operators on values that depend on the images.
pub(super) const OPERATORS: &str = "Add, AveragePool, BatchNormalization, Cast, Clip, Concat, \
    Conv, Div, Dropout, Flatten, Gemm, GlobalAveragePool, GlobalMaxPool, HardSigmoid, HardSwish, \
    Identity, LeakyRelu, MatMul, MaxPool, Mul, PRelu, Pad, ReduceMax, ReduceMean, Relu, Reshape, \
    Sigmoid, Squeeze, Sub, Sum, Tanh, Transpose, Unsqueeze, and at the end Softmax and LogSoftmax";

/// Operators on levels, see `integers`.
const LEVEL_OPERATORS: &str = "QLinearConv, QLinearMatMul, and of com.microsoft QGemm, \
    QLinearAdd, QLinearAveragePool, QLinearConcat, QLinearGlobalAveragePool, QLinearLeakyRelu, \
    QLinearMul and QLinearSigmoid";

/// Most numbers an image that a layer may make.
const MOST_ELEMENTS: u128 = 1 << 28;
/// The axis of the channels, and all axes for images of a shape.
type Order = (usize, fn(Shape) -> Layout);

/// Most values of a sum.
const MOST_TERMS: usize = 64;

/// A graph on its way to a network.
pub(super) struct Lowering<'a> {
    pub(super) opset: i64,
    /// The size of the batch, where the graph fixes it.
    pub(super) batch: Option<i64>,
    pub(super) beside: &'a Beside<'a>,
    pub(super) budget: Budget,
    pub(super) values: HashMap<&'a str, Value>,
    /// How often each name is read.
    pub(super) uses: HashMap<&'a str, usize>,
    pub(super) layers: Vec<Made>,
}

/// The name that a layer asks for: its module's, where parameters are called by it.
pub(super) fn layer_name(node: Node<'_>, weight: Option<&str>) -> String {
    let module = weight.and_then(|name| name.strip_suffix(".weight"));
    if let Some(module) = module.filter(|module| !module.is_empty()) {
        return module.into();
    }
    let label = node.label();
    // PyTorch's path of a node ends with the operator.
    let operator = node.0.op_type();
    match label.rsplit_once('/') {
        Some((module, last)) if !module.is_empty() => {
            let rest = last.strip_prefix(operator);
            let counts = |rest: &str| {
                rest.is_empty()
                    || rest.strip_prefix('_').is_some_and(|rest| rest.parse::<u32>().is_ok())
            };
            if rest.is_some_and(counts) { module.into() } else { label.into() }
        }
        _ => label.into(),
    }
}

impl<'a> Lowering<'a> {
    /// Takes `node` in.
    pub(super) fn node(&mut self, node: Node<'a>) -> Fallible<()> {
        let operator = node.operator();
        let inputs: Vec<Option<Value>> = (0..node.0.input.len())
            .map(|index| node.input(index).map(|name| self.raw(name)).transpose())
            .collect::<Fallible<_>>()?;
        let constants: Option<Vec<Option<&Constant>>> = inputs
            .iter()
            .map(|input| match input {
                None => Some(None),
                Some(Value::Constant(constant)) => Some(Some(&**constant)),
                Some(_) => None,
            })
            .collect();
        let is_standard = !operator.contains("::");
        let value = match constants {
            Some(constants) if is_standard && (!constants.is_empty() || operator == "Constant") => {
                let mut folding = Folding { beside: self.beside, budget: &mut self.budget };
                Value::Constant(Rc::new(folding.compute(node, &constants)?))
            }
            _ => self.live_node(node, &operator)?,
        };
        self.values.insert(node.output()?, value);
        Ok(())
    }

    /// What `name` stands for.
    pub(super) fn raw(&self, name: &str) -> Fallible<Value> {
        let value = self.values.get(name);
        let mut value = value.cloned().ok_or_else(|| {
            format!("it reads {name}, which no node in front makes and the file does not hold")
        })?;
        let is_shared = self.uses.get(name).is_some_and(|&uses| uses > 1);
        if let Value::Live(live) = &mut value {
            live.is_shared |= is_shared;
        }
        Ok(value)
    }

    /// Input `index` of `node`, which depends on the images and is no probability.
    fn live(&mut self, node: Node<'a>, index: usize) -> Fallible<Live> {
        let name = node.needed(index)?;
        let live = match self.raw(name)? {
            Value::Live(live) => live,
            Value::Gate(gate) => {
                let live = self.materialize(gate)?;
                self.values.insert(name, Value::Live(live.clone()));
                live
            }
            Value::Constant(_) => {
                return Err(format!("its input {} does not depend on the images", index + 1));
            }
            Value::Quantized(_) => {
                return Err("levels are supported in front of DequantizeLinear only".into());
            }
        };
        match live.is_probability {
            true => Err("Softmax is supported at the end only".into()),
            false => Ok(live),
        }
    }

    /// Input `index` of `node`, a constant that is there.
    pub(super) fn constant(&self, node: Node<'a>, index: usize) -> Fallible<Rc<Constant>> {
        match self.raw(node.needed(index)?)? {
            Value::Constant(constant) => Ok(constant),
            _ => Err(format!("its input {} must be a constant", index + 1)),
        }
    }

    /// As [`Self::constant`], for one that may be left out.
    pub(super) fn optional(&self, node: Node<'a>, index: usize) -> Fallible<Option<Rc<Constant>>> {
        node.input(index).map(|_| self.constant(node, index)).transpose()
    }

    fn live_node(&mut self, node: Node<'a>, operator: &str) -> Fallible<Value> {
        let moves = ["MaxPool", "Flatten", "Reshape", "Squeeze", "Unsqueeze", "Transpose"];
        if moves.contains(&operator)
            && let Value::Quantized(own) = self.raw(node.needed(0)?)?
        {
            return self.moved_levels(node, operator, own);
        }
        let live = match operator {
            "Shape" => {
                let live = self.live(node, 0)?.unpadded()?;
                let size = |index: usize| match live.layout.is_batch(index) {
                    true => self.batch.unwrap_or(BATCH),
                    false => live.layout.size(index, live.shape) as i64,
                };
                let sizes: Vec<i64> = (0..live.layout.rank()).map(size).collect();
                return Ok(Value::Constant(Rc::new(fold::shape_of(node, &sizes)?)));
            }
            "Identity" => return self.raw(node.needed(0)?),
            "Cast" => {
                if !fold::is_float(node.integer("to", 0)?)? {
                    return Err("it makes integers of what depends on the images".into());
                }
                return self.raw(node.needed(0)?);
            }
            "Dropout" => {
                let training = self.optional(node, 2)?;
                if training.is_some_and(|own| own.scalar() != Ok(0.0)) {
                    return Err("it drops out in inference too (training_mode)".into());
                }
                return self.raw(node.needed(0)?);
            }
            "Softmax" | "LogSoftmax" => self.softmax(node)?,
            "Flatten" | "Reshape" | "Squeeze" | "Unsqueeze" | "Transpose" => {
                return self.relaid(node, operator);
            }
            "Relu" => self.activation(node, ActivationFunction::Relu)?,
            "Tanh" => self.activation(node, ActivationFunction::Tanh)?,
            "LeakyRelu" => {
                let slope = node.real("alpha", 0.01)?;
                self.activation(node, ActivationFunction::LeakyRelu { slope })?
            }
            "PRelu" => self.prelu(node)?,
            "HardSwish" => self.activation(node, ActivationFunction::HardSwish)?,
            "Sigmoid" => return self.gate(node, GateKind::Sigmoid),
            "HardSigmoid" => {
                let alpha = f64::from(node.real("alpha", 0.2)?);
                let beta = f64::from(node.real("beta", 0.5)?);
                return self.gate(node, GateKind::Hard { alpha, beta });
            }
            "QuantizeLinear" => return self.quantize(node),
            "DequantizeLinear" => self.dequantize(node)?,
            "Clip" => {
                if let Value::Quantized(own) = self.raw(node.needed(0)?)? {
                    return self.clip_levels(node, own);
                }
                self.clip(node)?
            }
            "Add" | "Sub" | "Mul" | "Div" => self.arithmetic(node, operator)?,
            "Sum" => self.sum(node)?,
            "Concat" => self.concat(node)?,
            "Pad" => self.pad(node)?,
            "Conv" => self.conv(node)?,
            "Gemm" => self.gemm(node)?,
            "MatMul" => self.mat_mul(node)?,
            "BatchNormalization" => self.batch_norm(node)?,
            "MaxPool" => self.max_pool(node)?,
            "AveragePool" => self.average_pool(node)?,
            "GlobalAveragePool" | "GlobalMaxPool" => {
                let own = self.live(node, 0)?.unpadded()?.in_order()?;
                self.pool_plane(node, &own, operator == "GlobalMaxPool")?
            }
            "ReduceMean" | "ReduceMax" => self.reduce(node, operator == "ReduceMax")?,
            _ => {
                return Err(format!(
                    "operator {operator} is not supported; supported: {OPERATORS}; of levels \
                     {LEVEL_OPERATORS}; of constants also {}",
                    fold::OPERATORS
                ));
            }
        };
        Ok(Value::Live(live))
    }

    /// Adds a layer.
    pub(super) fn push(
        &mut self,
        name: String,
        step: Step,
        inputs: &[&Live],
        kind: Option<&LayerKind>,
    ) -> Fallible<(usize, Shape)> {
        let shapes: Vec<Shape> = inputs.iter().map(|input| input.shape).collect();
        let kind = match (&step, kind) {
            (_, Some(kind)) | (Step::Plain(kind) | Step::Weighted { kind, .. }, None) => Some(kind),
            _ => None,
        };
        let output = kind.map_or(Ok(shapes[0]), |kind| kind.output(&shapes))?;
        let sizes = <[u32; 3]>::from(output).map(u128::from);
        if sizes.iter().product::<u128>() > MOST_ELEMENTS {
            return Err(format!("it makes {output} numbers an image, more than 2^28"));
        }
        let inputs = inputs.iter().map(|input| input.source).collect();
        self.layers.push(Made { name, step, inputs, output, grid: None });
        Ok((self.layers.len() - 1, output))
    }

    /// Adds a layer without parameters.
    fn plain(
        &mut self,
        name: String,
        kind: LayerKind,
        inputs: &[&Live],
    ) -> Fallible<(usize, Shape)> {
        self.push(name, Step::Plain(kind), inputs, None)
    }

    fn activation(&mut self, node: Node<'a>, function: ActivationFunction) -> Fallible<Live> {
        let own = self.live(node, 0)?.unpadded()?;
        self.activate(layer_name(node, None), function, &own)
    }

    fn prelu(&mut self, node: Node<'a>) -> Fallible<Live> {
        let own = self.live(node, 0)?.unpadded()?;
        let slopes = own.per_channel(&*self.constant(node, 1)?)?;
        if !slopes.iter().all(|slope| slope.is_finite()) {
            return Err("its slope is not finite".into());
        }
        let slopes = slopes.into_iter().map(|slope| slope as f32).collect();
        let name = layer_name(node, node.input(1));
        let (source, _) = self.push(name, Step::Prelu { slopes }, &[&own], None)?;
        Ok(own.made_by(source))
    }

    pub(super) fn activate(
        &mut self,
        name: String,
        function: ActivationFunction,
        own: &Live,
    ) -> Fallible<Live> {
        let (source, _) = self.plain(name, LayerKind::Activation(function), &[own])?;
        Ok(own.made_by(source))
    }

    fn gate(&mut self, node: Node<'a>, kind: GateKind) -> Fallible<Value> {
        let of = self.live(node, 0)?.unpadded()?;
        Ok(Value::Gate(Gate { of, kind, name: layer_name(node, None) }))
    }

    /// `gate` as layers of its own.
    pub(super) fn materialize(&mut self, gate: Gate) -> Fallible<Live> {
        let Gate { of, kind, name } = gate;
        match kind {
            GateKind::Sigmoid => self.activate(name, ActivationFunction::Sigmoid, &of),
            // A sixth of a ReLU6.
            GateKind::Hard { alpha, beta } => {
                let scaled = self.affine(&name, of, &[6.0 * alpha], &[6.0 * beta])?;
                let clipped = self.activate(name.clone(), ActivationFunction::Relu6, &scaled)?;
                self.affine(&name, clipped, &[1.0 / 6.0], &[0.0])
            }
        }
    }

    /// scale·x + shift, in the layer that made x where that is possible.
    fn affine(&mut self, name: &str, own: Live, scale: &[f64], shift: &[f64]) -> Fallible<Live> {
        if !scale.iter().chain(shift).all(|value| value.is_finite()) {
            return Err("its constant is not finite".into());
        }
        let own = own.unpadded()?;
        if !own.is_shared
            && let Some(source) = own.source
            && self.layers[source].scale(scale, shift)
        {
            return Ok(own);
        }
        let channels = own.shape.channels as usize;
        let each = |values: &[f64]| (0..channels).map(|at| values[at % values.len()]).collect();
        let step = Step::Affine { scale: each(scale), shift: each(shift) };
        let (source, _) = self.push(name.into(), step, &[&own], None)?;
        Ok(own.made_by(source))
    }

    fn softmax(&mut self, node: Node<'a>) -> Fallible<Live> {
        let own = self.live(node, 0)?.unpadded()?;
        let default = if self.opset < 13 { 1 } else { -1 };
        let axis = own.layout.place(node.integer("axis", default)?)?;
        let is_over = |place: usize| own.layout.channel_axis() == Some(place);
        let is_over_classes = match self.opset < 13 {
            true => (axis..own.layout.rank()).any(is_over),
            false => is_over(axis),
        };
        if own.shape.pixels() != 1 || !is_over_classes {
            return Err("a softmax is supported over the classes, at the end only".into());
        }
        Ok(Live { is_probability: true, ..own })
    }

    /// Scale and zero point of `node`, and the range of its levels.
    fn scale(&self, node: Node<'a>) -> Fallible<(f32, i64, [i64; 2])> {
        self.scale_at(node, 1)
    }

    /// As [`Self::scale`], where the scale is input `place` and the zero point is the next.
    pub(super) fn scale_at(&self, node: Node<'a>, place: usize) -> Fallible<(f32, i64, [i64; 2])> {
        let scale = self.constant(node, place)?.scalar()?;
        if !scale.is_normal() || scale <= 0.0 {
            return Err(format!("its scale is {scale}"));
        }
        let Some(zero) = self.optional(node, place + 1)? else {
            return Ok((scale, 0, [0, 255]));
        };
        match (zero.integers()?, zero.range) {
            (&[value], Some(range)) => Ok((scale, value, range)),
            _ => Err("its zero point is no integer of up to 16 bits".into()),
        }
    }

    fn quantize(&mut self, node: Node<'a>) -> Fallible<Value> {
        let (scale, zero, range) = self.scale(node)?;
        let of = self.live(node, 0)?.unpadded()?;
        Ok(Value::Quantized(Quantized { of, scale, zero, range, is_on_grid: false }))
    }

    fn clip_levels(&mut self, node: Node<'a>, own: Quantized) -> Fallible<Value> {
        let end = |index: usize, other: i64| match self.optional(node, index)? {
            Some(end) => match end.integers()? {
                &[end] => Ok(end),
                _ => Err(String::from("its bound is no number")),
            },
            None => Ok(other),
        };
        let [lowest, highest] = own.range;
        let range = [end(1, lowest)?.max(lowest), end(2, highest)?.min(highest)];
        Ok(Value::Quantized(Quantized { range, is_on_grid: false, ..own }))
    }

    fn dequantize(&mut self, node: Node<'a>) -> Fallible<Live> {
        let Value::Quantized(own) = self.raw(node.needed(0)?)? else {
            return Err("it reads no levels".into());
        };
        let (scale, zero, _) = self.scale(node)?;
        if (scale, zero) != (own.scale, own.zero) {
            return Err("its scale or zero point is not that of its QuantizeLinear".into());
        }
        self.dequantized(own, layer_name(node, None))
    }

    /// `of` rounded to `grid`, by a layer called `name` where that takes one.
    fn on_grid(&mut self, of: Live, grid: Grid, name: String) -> Fallible<Live> {
        // What is on these levels already is rounded once more: those at the ends have no gradient.
        if let Some(source) = of.source
            && !of.is_shared
            && self.layers[source].quantize(grid)
        {
            return Ok(of);
        }
        let mut of = of;
        if !self.has_weights(of.source) {
            // The bits of an activation are those of a layer with weights in front of it.
            let channels = of.shape.channels;
            let groups = ChannelGroups::Count(channels);
            let kind = LayerKind::Conv(Convolution {
                groups,
                bias: false,
                ..Convolution::square(channels, [1, 1, 0])
            });
            let weights = (vec![channels as usize, 1, 1, 1], vec![1.0; channels as usize]);
            let (source, _) =
                self.weighted(format!("{name}/same"), kind, weights, (None, None), &of)?;
            of = of.made_by(source);
        }
        // Quantizers whose lowest level is 0 stand in the place of a ReLU.
        let function = match grid.lowest {
            0 => ActivationFunction::Relu,
            _ => ActivationFunction::Identity,
        };
        let live = self.activate(name, function, &of)?;
        if let Some(source) = live.source {
            self.layers[source].grid = Some(grid);
        }
        Ok(live)
    }

    /// Whether there is a layer with weights on the way back from layer `source`.
    fn has_weights(&self, source: Option<usize>) -> bool {
        let mut open: Vec<usize> = source.into_iter().collect();
        let mut seen = vec![false; self.layers.len()];
        while let Some(index) = open.pop() {
            if matches!(self.layers[index].step, Step::Weighted { .. }) {
                return true;
            }
            if !std::mem::replace(&mut seen[index], true) {
                open.extend(self.layers[index].inputs.iter().flatten());
            }
        }
        false
    }

    /// The floats that the levels `own`, called `name`, stand for; others that read these levels
    /// get the same.
    pub(super) fn floats_of(&mut self, name: &'a str, own: Quantized) -> Fallible<Live> {
        let is_shared = self.uses.get(name).is_some_and(|&uses| uses > 1);
        let live = self.dequantized(own.clone(), name.to_string())?;
        let live = Live { is_shared: live.is_shared || is_shared, ..live };
        let on_grid = Quantized { of: live.clone(), is_on_grid: true, ..own };
        self.values.insert(name, Value::Quantized(on_grid));
        Ok(live)
    }

    /// What `node`, an operator that takes maxima or moves values, makes of levels: some of them.
    fn moved_levels(&mut self, node: Node<'a>, operator: &str, own: Quantized) -> Fallible<Value> {
        if operator == "MaxPool" {
            let live = self.floats_of(node.needed(0)?, own.clone())?.in_order()?;
            let of = self.max_pool_of(node, live)?;
            return Ok(Value::Quantized(Quantized { of, is_on_grid: true, ..own }));
        }
        Ok(match self.relaid_of(node, operator, own.of.clone())? {
            Value::Live(of) => Value::Quantized(Quantized { of, ..own }),
            other => other,
        })
    }

    /// `own` as floats on its levels.
    fn dequantized(&mut self, own: Quantized, name: String) -> Fallible<Live> {
        let Quantized { of, scale, zero, range: [lowest, highest], is_on_grid } = own;
        if is_on_grid {
            return Ok(of);
        }
        let grid = Grid { scale, lowest: lowest - zero, highest: highest - zero };
        self.on_grid(of, grid, name)
    }

    /// The product of two values, of which one may have one pixel.
    pub(super) fn product(&mut self, name: String, first: &Live, second: &Live) -> Fallible<Live> {
        let is_larger = first.shape.pixels() >= second.shape.pixels();
        let (large, small) = if is_larger { (first, second) } else { (second, first) };
        let aligned = aligns(large, small);
        let (source, shape) = self.plain(name, LayerKind::Multiply {}, &[first, second])?;
        if !aligned || shape != large.shape {
            return Err("values of these axes cannot be multiplied".into());
        }
        Ok(large.made_by(source))
    }

    /// Other axes for the same numbers.
    fn relaid(&mut self, node: Node<'a>, operator: &str) -> Fallible<Value> {
        let name = node.needed(0)?;
        let own = match self.raw(name)? {
            Value::Live(live) => live,
            _ => self.live(node, 0)?,
        };
        self.relaid_of(node, operator, own)
    }

    /// `own` with the axes that `node` gives it.
    fn relaid_of(&mut self, node: Node<'a>, operator: &str, own: Live) -> Fallible<Value> {
        if operator == "Transpose" {
            let order = node.integers("perm").ok_or("it has no perm")?;
            let layout = own.layout.transposed(order)?;
            return Ok(Value::Live(own.laid_out(layout)));
        }
        let own = own.unpadded()?;
        let axes = match (node.integers("axes"), operator) {
            (Some(axes), _) => Some(axes.to_vec()),
            (None, "Squeeze" | "Unsqueeze") => match self.optional(node, 1)? {
                Some(axes) => Some(axes.integers()?.to_vec()),
                None => None,
            },
            _ => None,
        };
        let layout = match operator {
            "Flatten" => own.layout.flattened(node.integer("axis", 1)?)?,
            "Squeeze" if axes.is_none() && self.batch == Some(1) => {
                return Err("it may take the batch away: it names no axes".into());
            }
            "Squeeze" => own.layout.squeezed(axes.as_deref(), own.shape)?,
            "Unsqueeze" => own.layout.unsqueezed(&axes.ok_or("it has no axes")?)?,
            _ => {
                let target = match node.integers("shape") {
                    Some(own) => own.to_vec(),
                    None => self.constant(node, 1)?.integers()?.to_vec(),
                };
                let zero_is_size = node.integer("allowzero", 0)? != 0;
                own.layout.reshaped(&target, zero_is_size, self.batch, own.shape)?
            }
        };
        Ok(Value::Live(own.laid_out(layout)))
    }

    fn clip(&mut self, node: Node<'a>) -> Fallible<Live> {
        let bound = |index: usize, name: &str| match self.optional(node, index)? {
            Some(own) => own.scalar().map(Some),
            None if node.has(name) => node.real(name, 0.0).map(Some),
            None => Ok(None),
        };
        let low = bound(1, "min")?.filter(|&low| low > f32::MIN);
        let high = bound(2, "max")?.filter(|&high| high < f32::MAX);
        let own = self.live(node, 0)?.unpadded()?;
        let name = layer_name(node, None);
        match (low, high) {
            (None, None) => Ok(own),
            (Some(0.0), None) => self.activate(name, ActivationFunction::Relu, &own),
            (Some(0.0), Some(6.0)) => self.activate(name, ActivationFunction::Relu6, &own),
            (Some(0.0), Some(high)) if high > 0.0 => {
                let factor = 6.0 / f64::from(high);
                let scaled = self.affine(&name, own, &[factor], &[0.0])?;
                let clipped = self.activate(name.clone(), ActivationFunction::Relu6, &scaled)?;
                self.affine(&name, clipped, &[1.0 / factor], &[0.0])
            }
            (low, high) => {
                let said = |end: Option<f32>| end.map_or("no bound".into(), |end| end.to_string());
                Err(format!(
                    "a Clip from {} to {} is not supported; one from 0 to a number above is",
                    said(low),
                    said(high)
                ))
            }
        }
    }

    fn arithmetic(&mut self, node: Node<'a>, operator: &str) -> Fallible<Live> {
        let name = layer_name(node, None);
        let [first, second] = [self.raw(node.needed(0)?)?, self.raw(node.needed(1)?)?];
        let (place, constant) = match (&first, &second) {
            (Value::Constant(constant), _) => (1, constant.clone()),
            (_, Value::Constant(constant)) => (0, constant.clone()),
            _ => return self.of_two(node, operator, [first, second]),
        };
        let own = self.live(node, place)?;
        let numbers = own.per_channel(&constant)?;
        let negated = |values: &[f64]| values.iter().map(|value| -value).collect::<Vec<f64>>();
        match (operator, place) {
            ("Add", _) => self.affine(&name, own, &[1.0], &numbers),
            ("Sub", 0) => self.affine(&name, own, &[1.0], &negated(&numbers)),
            ("Sub", _) => self.affine(&name, own, &[-1.0], &numbers),
            ("Mul", _) => self.affine(&name, own, &numbers, &[0.0]),
            ("Div", 0) => {
                let inverse: Vec<f64> = numbers.iter().map(|value| 1.0 / value).collect();
                self.affine(&name, own, &inverse, &[0.0])
            }
            _ => Err("a constant divided by what depends on the images is not supported".into()),
        }
    }

    /// Arithmetic of two values that depend on the images.
    fn of_two(&mut self, node: Node<'a>, operator: &str, values: [Value; 2]) -> Fallible<Live> {
        let name = layer_name(node, None);
        if operator == "Mul"
            && let [Value::Live(own), Value::Gate(gate)] | [Value::Gate(gate), Value::Live(own)] =
                &values
            && own.is_same(&gate.of)
        {
            let is_sixth = |alpha: f64, beta: f64| (6.0 * alpha - 1.0).abs() < 1e-5 && beta == 0.5;
            let function = match gate.kind {
                GateKind::Sigmoid => Some(ActivationFunction::Silu),
                GateKind::Hard { alpha, beta } => {
                    is_sixth(alpha, beta).then_some(ActivationFunction::HardSwish)
                }
            };
            if let Some(function) = function {
                let own =
                    self.live(node, if matches!(values[0], Value::Live(_)) { 0 } else { 1 })?;
                return self.activate(name, function, &own);
            }
        }
        let [first, second] = [self.live(node, 0)?.unpadded()?, self.live(node, 1)?.unpadded()?];
        match operator {
            "Add" => self.add(name, &[first, second]),
            "Mul" => {
                for (own, gate) in [(&first, &second), (&second, &first)] {
                    if let Some(factor) = self.swish_factor(own, gate) {
                        let swish =
                            self.activate(name.clone(), ActivationFunction::HardSwish, own)?;
                        return self.affine(&name, swish, &[6.0 * factor], &[0.0]);
                    }
                }
                self.product(name, &first, &second)
            }
            _ => Err(format!("{operator} of two values of the images is not supported")),
        }
    }

    /// The factor f with which `gate` is f·ReLU6(`own` + 3).
    fn swish_factor(&self, own: &Live, gate: &Live) -> Option<f64> {
        let (mut index, mut factor) = (gate.source?, 1.0);
        let all = |values: &[f64], value: f64| values.iter().all(|own| *own == value);
        if let Step::Affine { scale, shift } = &self.layers[index].step
            && all(scale, scale[0])
            && all(shift, 0.0)
        {
            (factor, index) = (scale[0], self.layers[index].inputs[0]?);
        }
        let is_relu6 = |step: &Step| {
            matches!(step, Step::Plain(LayerKind::Activation(ActivationFunction::Relu6)))
        };
        let relu6 = Some(&self.layers[index]).filter(|layer| is_relu6(&layer.step))?;
        let shifted = &self.layers[relu6.inputs[0]?];
        match &shifted.step {
            Step::Affine { scale, shift } if all(scale, 1.0) && all(shift, 3.0) => {
                (shifted.inputs == [own.source] && own.layout == gate.layout).then_some(factor)
            }
            _ => None,
        }
    }

    fn sum(&mut self, node: Node<'a>) -> Fallible<Live> {
        let mut terms = Vec::new();
        for index in 0..node.0.input.len() {
            terms.push(self.live(node, index)?.unpadded()?);
        }
        match terms.len() {
            0 => Err("it reads nothing".into()),
            1 => Ok(terms.remove(0)),
            _ => self.add(layer_name(node, None), &terms),
        }
    }

    /// The sum of `terms` from left to right. A sum whose only reader it is becomes part of it.
    pub(super) fn add(&mut self, name: String, terms: &[Live]) -> Fallible<Live> {
        let first = &terms[0];
        if terms.iter().any(|term| term.shape != first.shape || term.layout != first.layout) {
            let shapes: Vec<String> = terms.iter().map(|term| term.shape.to_string()).collect();
            return Err(format!("values of one shape can be added, not {}", shapes.join(" and ")));
        }
        let inner = first.source.map(|source| &self.layers[source]);
        let is_sum = |own: &&Made| {
            matches!(own.step, Step::Plain(LayerKind::Add {}))
                && !first.is_shared
                && own.inputs.len() + terms.len() <= MOST_TERMS
        };
        let mut inputs: Vec<Option<usize>> = match inner.filter(is_sum) {
            Some(inner) => inner.inputs.clone(),
            None => vec![first.source],
        };
        inputs.extend(terms[1..].iter().map(|term| term.source));
        let (source, _) = self.plain(name, LayerKind::Add {}, &[first, &terms[1]])?;
        self.layers[source].inputs = inputs;
        Ok(first.made_by(source))
    }

    fn concat(&mut self, node: Node<'a>) -> Fallible<Live> {
        let mut parts = Vec::new();
        for index in 0..node.0.input.len() {
            parts.push(self.live(node, index)?.unpadded()?);
        }
        self.concat_of(node, &parts)
    }

    /// The channels of `parts`, along the axis that `node` names.
    pub(super) fn concat_of(&mut self, node: Node<'a>, parts: &[Live]) -> Fallible<Live> {
        let [first, others @ ..] = parts else { return Err("it reads nothing".into()) };
        if others.is_empty() {
            return Ok(first.clone());
        }
        let axis = first.layout.place(node.integer("axis", 1)?)?;
        let orders: [Order; 3] =
            [(1, Layout::images), (3, Layout::channels_last), (1, Layout::rows)];
        let order = orders.into_iter().find(|(channels, order)| {
            // A row of pixels is no row of channels.
            let is_row = |part: &Live| part.layout.rank() > 2 || part.shape.pixels() == 1;
            *channels == axis
                && parts.iter().all(|part| is_row(part) && part.layout == order(part.shape))
        });
        let Some((_, order)) = order else {
            return Err("values can stand one after another along the channels only".into());
        };
        let inputs: Vec<&Live> = parts.iter().collect();
        let (source, shape) = self.plain(layer_name(node, None), LayerKind::Concat {}, &inputs)?;
        Ok(Live { layout: order(shape), ..Live::images(Some(source), shape) })
    }

    fn pad(&mut self, node: Node<'a>) -> Fallible<Live> {
        let own = self.live(node, 0)?;
        let mode = node.text("mode").unwrap_or("constant");
        if mode != "constant" {
            return Err(format!("a Pad of mode {mode} is not supported; constant 0 is"));
        }
        let value = match self.optional(node, 2)? {
            Some(value) => value.scalar()?,
            None => node.real("value", 0.0)?,
        };
        if value != 0.0 {
            return Err(format!("a Pad with {value} is not supported; one with 0 is"));
        }
        let amounts = match node.integers("pads") {
            Some(own) => own.to_vec(),
            None => self.constant(node, 1)?.integers()?.to_vec(),
        };
        let axes = match self.optional(node, 3)? {
            Some(axes) => axes.integers()?.to_vec(),
            None => (0..own.layout.rank() as i64).collect(),
        };
        if amounts.len() != 2 * axes.len() {
            return Err(format!("{} amounts for {} axes", amounts.len(), axes.len()));
        }
        let mut pads = own.pads;
        for (index, &axis) in axes.iter().enumerate() {
            let place = own.layout.place(axis)?;
            for (end, amount) in [amounts[index], amounts[index + axes.len()]].iter().enumerate() {
                if *amount == 0 {
                    continue;
                }
                let side = own
                    .layout
                    .plane_axis(place, own.shape)
                    .ok_or("only rows and columns can be padded")?;
                let amount = u32::try_from(*amount).map_err(|_| "it cuts pixels off")?;
                let pad = &mut pads[2 * end + side];
                *pad = pad.checked_add(amount).ok_or("it pads too much")?;
            }
        }
        Ok(Live { pads, ..own })
    }

    /// A convolution or fully connected layer with weights in the order of this program.
    fn weighted(
        &mut self,
        name: String,
        kind: LayerKind,
        (shape, weight): (Vec<usize>, Vec<f32>),
        (bias, levels): (Option<Vec<f32>>, Option<Levels>),
        own: &Live,
    ) -> Fallible<(usize, Shape)> {
        let all = weight.iter().chain(bias.iter().flatten());
        if !all.into_iter().all(|value| value.is_finite()) {
            return Err("its weights are not finite".into());
        }
        self.push(name, Step::Weighted { kind, shape, weight, bias, levels }, &[own], None)
    }

    fn conv(&mut self, node: Node<'a>) -> Fallible<Live> {
        let own = self.live(node, 0)?.in_order()?;
        let weight = self.constant(node, 1)?;
        let outputs = weight.shape.first().copied().unwrap_or(0);
        let bias = self.bias(node, outputs)?;
        self.conv_of(node, own, &weight, (layer_name(node, node.input(1)), bias))
    }

    /// A convolution of `own` with the window of `node`.
    pub(super) fn conv_of(
        &mut self,
        node: Node<'a>,
        own: Live,
        weight: &Constant,
        (name, bias): (String, Option<Vec<f32>>),
    ) -> Fallible<Live> {
        let sizes = weight.shape.iter().map(|&size| u32::try_from(size).ok());
        let sizes = sizes.collect::<Option<Vec<u32>>>().unwrap_or_default();
        let [filters, inputs, height, width] = sizes[..] else {
            return Err(format!("weights of shape {:?}: those of images have 4", weight.shape));
        };
        let kernel = [height, width];
        let said: [u32; 2] = node.sizes("kernel_shape", 1, 0)?;
        if said != [0; 2] && said != kernel {
            return Err(format!("kernel_shape {said:?} differs from weights of {kernel:?}"));
        }
        let groups = node.integer("group", 1)?;
        let groups = u32::try_from(groups).ok().filter(|&groups| groups > 0);
        let groups = groups.ok_or("its group is no number above 0")?;
        if inputs.checked_mul(groups) != Some(own.shape.channels) {
            return Err(format!(
                "weights of shape {:?} in {groups} groups do not fit {} channels",
                weight.shape, own.shape.channels
            ));
        }
        let window = Window::new(node, kernel, own.shape, own.pads)?;
        let is_depthwise = groups > 1 && groups == own.shape.channels;
        let kind = LayerKind::Conv(Convolution {
            out_channels: filters,
            kernel,
            stride: window.stride,
            padding: Padding::Sides(window.sides),
            dilation: window.dilation,
            groups: match is_depthwise {
                true => ChannelGroups::Depthwise,
                false => ChannelGroups::Count(groups),
            },
            bias: false,
        });
        let weights = (weight.shape.clone(), weight.floats()?.to_vec());
        let (source, shape) =
            self.weighted(name, kind, weights, (bias, weight.levels.clone()), &own)?;
        Ok(Live::images(Some(source), shape))
    }

    /// Input 2 of `node` as a number a channel.
    fn bias(&self, node: Node<'a>, channels: usize) -> Fallible<Option<Vec<f32>>> {
        let Some(bias) = self.optional(node, 2)? else { return Ok(None) };
        let values = bias.floats()?;
        let is_row = bias.shape.iter().rev().skip(1).all(|&size| size == 1);
        match (is_row, values) {
            (true, &[one]) => Ok(Some(vec![one; channels])),
            (true, values) if values.len() == channels => Ok(Some(values.to_vec())),
            _ => Err(format!("a bias of shape {:?} for {channels} channels", bias.shape)),
        }
    }

    fn gemm(&mut self, node: Node<'a>) -> Fallible<Live> {
        if node.integer("transA", 0)? != 0 {
            return Err("transA is not supported".into());
        }
        let is_transposed = node.integer("transB", 0)? != 0;
        let [alpha, beta] = [node.real("alpha", 1.0)?, node.real("beta", 1.0)?];
        let own = self.live(node, 0)?.unpadded()?;
        let weight = self.constant(node, 1)?;
        let &[rows, columns] = &weight.shape[..] else {
            return Err(format!("weights of shape {:?} are no matrix", weight.shape));
        };
        let outputs = if is_transposed { rows } else { columns };
        let mut bias = self.bias(node, outputs)?;
        if beta != 1.0 {
            bias.iter_mut().flatten().for_each(|own| *own *= beta);
        }
        let name = layer_name(node, node.input(1));
        self.linear(name, &own, &weight, (is_transposed, alpha), bias)
    }

    fn mat_mul(&mut self, node: Node<'a>) -> Fallible<Live> {
        let own = self.live(node, 0)?.unpadded()?;
        let weight = self.constant(node, 1)?;
        let name = layer_name(node, node.input(1));
        self.linear(name, &own, &weight, (false, 1.0), None)
    }

    /// A fully connected layer of `weight`, [features, outputs] or the transpose, times a factor.
    pub(super) fn linear(
        &mut self,
        name: String,
        own: &Live,
        weight: &Constant,
        (is_transposed, factor): (bool, f32),
        bias: Option<Vec<f32>>,
    ) -> Fallible<Live> {
        let &[rows, columns] = &weight.shape[..] else {
            return Err(format!("weights of shape {:?} are no matrix", weight.shape));
        };
        let (inputs, outputs) = if is_transposed { (columns, rows) } else { (rows, columns) };
        if own.layout.rank() != 2 || !own.layout.is_batch(0) {
            return Err("it reads no row of features an image".into());
        }
        let features = own.layout.size(1, own.shape);
        if features != inputs as u64 {
            return Err(format!("weights of {inputs} features for {features}"));
        }
        let numbers = weight.floats()?;
        let places = own.layout.feature_places(1, own.shape);
        let mut values = vec![0.0; numbers.len()];
        for output in 0..outputs {
            for (feature, &place) in places.iter().enumerate() {
                let from = match is_transposed {
                    true => output * inputs + feature,
                    false => feature * outputs + output,
                };
                values[output * inputs + place] = numbers[from] * factor;
            }
        }
        let out_features = u32::try_from(outputs).map_err(|_| "it has too many outputs")?;
        let kind = LayerKind::Linear { out_features, bias: false };
        // A scale is of an output, which is the first axis of the transpose only.
        let is_kept =
            |levels: &&Levels| factor == 1.0 && (levels.scales.len() == 1 || is_transposed);
        let levels = weight.levels.as_ref().filter(is_kept).cloned();
        let weights = (vec![outputs, inputs], values);
        let (source, shape) = self.weighted(name, kind, weights, (bias, levels), own)?;
        Ok(Live { layout: Layout::rows(shape), ..Live::images(Some(source), shape) })
    }

    fn batch_norm(&mut self, node: Node<'a>) -> Fallible<Live> {
        if node.integer("training_mode", 0)? != 0 {
            return Err("it normalises by the statistics of its batch (training_mode)".into());
        }
        let own = self.live(node, 0)?.unpadded()?;
        let channels = own.shape.channels as usize;
        let is_channel = own.layout.rank() > 1
            && (own.layout.channel_axis() == Some(1)
                || channels == 1 && own.layout.axis(1).is_empty());
        if !is_channel {
            return Err("its second axis has not the channels alone".into());
        }
        let mut parameters: [Vec<f32>; 4] = Default::default();
        for (index, values) in parameters.iter_mut().enumerate() {
            let constant = self.constant(node, index + 1)?;
            *values = constant.floats()?.to_vec();
            if constant.shape != [channels] || !values.iter().all(|value| value.is_finite()) {
                return Err(format!("its input {} is not a finite number a channel", index + 2));
            }
        }
        let momentum = 1.0 - f64::from(node.real("momentum", 0.9)?);
        let batch_norm = BatchNorm {
            epsilon: node.real("epsilon", 1e-5)?,
            // The other program's share is of the statistics that stay.
            momentum: ((momentum * 1e6).round() / 1e6) as f32,
        };
        let step = Step::Norm { own: batch_norm, parameters };
        let kind = LayerKind::BatchNorm(batch_norm);
        let name = layer_name(node, node.input(1));
        let (source, _) = self.push(name, step, &[&own], Some(&kind))?;
        Ok(own.made_by(source))
    }

    /// The kernel that a pool must name.
    fn kernel(node: Node<'a>) -> Fallible<[u32; 2]> {
        match node.sizes("kernel_shape", 1, 0)? {
            [0, 0] => Err("it has no kernel_shape".into()),
            kernel => Ok(kernel),
        }
    }

    fn max_pool(&mut self, node: Node<'a>) -> Fallible<Live> {
        let own = self.live(node, 0)?.in_order()?;
        self.max_pool_of(node, own)
    }

    /// The maxima of the windows of `node` over `own`.
    fn max_pool_of(&mut self, node: Node<'a>, own: Live) -> Fallible<Live> {
        if own.pads != [0; 4] && !own.source.is_some_and(|own| self.layers[own].is_positive()) {
            return Err("a Pad with 0 in front of it is supported behind Relu only".into());
        }
        let window = Window::new(node, Self::kernel(node)?, own.shape, own.pads)?;
        self.max_pools(layer_name(node, None), window.max_pools(own.shape)?, own)
    }

    fn max_pools(&mut self, name: String, pools: Vec<MaxPool>, own: Live) -> Fallible<Live> {
        let mut own = own;
        for pool in pools {
            let (source, shape) = self.plain(name.clone(), LayerKind::MaxPool(pool), &[&own])?;
            own = Live::images(Some(source), shape);
        }
        Ok(own)
    }

    fn average_pool(&mut self, node: Node<'a>) -> Fallible<Live> {
        let own = self.live(node, 0)?.in_order()?;
        self.average_pool_of(node, own)
    }

    /// The means of the windows of `node` over `own`.
    pub(super) fn average_pool_of(&mut self, node: Node<'a>, own: Live) -> Fallible<Live> {
        let name = layer_name(node, None);
        let mut counts_padding = node.integer("count_include_pad", 0)? != 0;
        let kernel = Self::kernel(node)?;
        let window = Window::new(node, kernel, own.shape, own.pads)?;
        if own.pads != [0; 4] {
            if !counts_padding && Window::new(node, kernel, own.shape, [0; 4])?.sides != [0; 4] {
                return Err("a Pad in front of a pool with other padding is not supported".into());
            }
            counts_padding = true;
        }
        let (source, shape) = if window.is_whole(own.shape) {
            self.plain(name, LayerKind::GlobalAveragePool {}, &[&own])?
        } else if let Some(pool) = window.average_pool(own.shape, counts_padding) {
            self.plain(name, LayerKind::AveragePool(pool), &[&own])?
        } else if window.is_uniform(own.shape, counts_padding) {
            let sizes = [window.kernel, window.stride];
            let (kind, shape, weight) = window_means(own.shape.channels, sizes, window.sides);
            self.weighted(name, kind, (shape, weight), (None, None), &own)?
        } else {
            return Err(
                "means over these windows are not supported; those with dilations of 1 and pads \
                 of at most a window on both sides together are"
                    .into(),
            );
        };
        Ok(Live::images(Some(source), shape))
    }

    /// The mean or maximum of every channel.
    pub(super) fn pool_plane(
        &mut self,
        node: Node<'a>,
        own: &Live,
        is_max: bool,
    ) -> Fallible<Live> {
        let name = layer_name(node, None);
        let Shape { height, width, .. } = own.shape;
        if own.shape.pixels() == 1 {
            return Ok(own.clone());
        }
        if !is_max {
            let (source, shape) = self.plain(name, LayerKind::GlobalAveragePool {}, &[own])?;
            return Ok(Live::images(Some(source), shape));
        }
        let window = Window::whole(height.max(width));
        self.max_pools(name, window.max_pools(own.shape)?, own.clone())
    }

    fn reduce(&mut self, node: Node<'a>, is_max: bool) -> Fallible<Live> {
        let own = self.live(node, 0)?.unpadded()?;
        let axes = match (node.integers("axes"), self.optional(node, 1)?) {
            (Some(axes), _) => axes.to_vec(),
            (None, Some(axes)) => axes.integers()?.to_vec(),
            (None, None) => Vec::new(),
        };
        let keeps = node.integer("keepdims", 1)? != 0;
        let mut places = Vec::new();
        for &axis in &axes {
            places.push(own.layout.place(axis)?);
        }
        let Some(layout) = own.layout.without_plane(&places, keeps, own.shape) else {
            return Err(format!("axes {axes:?} are not rows and columns, all of them"));
        };
        let pooled = self.pool_plane(node, &own, is_max)?;
        Ok(Live { layout, ..pooled })
    }
}

/// Whether `small`, the same or a number a channel, is broadcast to `large` channel by channel.
fn aligns(large: &Live, small: &Live) -> bool {
    if small.shape == large.shape {
        return small.layout == large.layout;
    }
    let (rank, own) = (large.layout.rank(), small.layout.rank());
    small.shape.pixels() == 1
        && own <= rank
        && match (large.layout.channel_axis(), small.layout.channel_axis()) {
            (Some(large), Some(small)) => large == small + (rank - own),
            (None, None) => true,
            _ => false,
        }
}
