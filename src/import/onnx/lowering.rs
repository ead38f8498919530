//! A graph on its way to a network: what its names stand for, and the layers so far.

use std::{collections::HashMap, rc::Rc};

use super::{
    Fallible,
    constant::{Beside, Budget, Constant, Levels},
    layers::{Made, Step},
    node::Node,
    value::{Gate, GateKind, Live, Value},
};
use crate::config::{ActivationFunction, LayerKind, Shape};

/// Most numbers an image that a layer may make.
const MOST_ELEMENTS: u128 = 1 << 28;

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
    pub(super) fn live(&mut self, node: Node<'a>, index: usize) -> Fallible<Live> {
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
    pub(super) fn plain(
        &mut self,
        name: String,
        kind: LayerKind,
        inputs: &[&Live],
    ) -> Fallible<(usize, Shape)> {
        self.push(name, Step::Plain(kind), inputs, None)
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
    pub(super) fn affine(
        &mut self,
        name: &str,
        own: Live,
        scale: &[f64],
        shift: &[f64],
    ) -> Fallible<Live> {
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

    /// A convolution or fully connected layer with weights in the order of this program.
    pub(super) fn weighted(
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
}
