//! Operators that read and write levels: ONNX's QLinearConv and QLinearMatMul, and those of the
//! `com.microsoft` set that ONNX Runtime's static quantizer writes in its QOperator form. Each is
//! what DequantizeLinear, the operator on floats and QuantizeLinear make together.

use std::rc::Rc;

use super::{
    Fallible,
    constant::Constant,
    fold,
    layers::Grid,
    lowering::{Lowering, layer_name},
    node::Node,
    value::{Live, Quantized, Value},
};
use crate::config::{ActivationFunction, LayerKind};

/// Operators of this kind.
pub(super) const OPERATORS: &str = "QLinearConv, QLinearMatMul, and of com.microsoft QGemm, \
    QLinearAdd, QLinearAveragePool, QLinearConcat, QLinearGlobalAveragePool, QLinearLeakyRelu, \
    QLinearMul and QLinearSigmoid";

impl<'a> Lowering<'a> {
    /// What `node` makes, if `operator` is one of these.
    pub(super) fn integers(&mut self, node: Node<'a>, operator: &str) -> Option<Fallible<Value>> {
        let operator = operator.strip_prefix("com.microsoft::").unwrap_or(operator);
        let made = match operator {
            "QLinearConv" => self.integer_conv(node),
            "QLinearMatMul" => self.integer_product(node, [6, 7], None),
            "QGemm" => self.integer_product(node, [7, 8], Some(6)),
            "QLinearAdd" | "QLinearMul" => self.integers_of_two(node, operator),
            "QLinearGlobalAveragePool" => self.integer_mean(node),
            "QLinearAveragePool" => self.floats(node, [0, 1, 2]).and_then(|own| {
                let made = self.average_pool_of(node, own)?;
                self.levels(node, made, [3, 4])
            }),
            "QLinearLeakyRelu" | "QLinearSigmoid" => self.integer_function(node, operator),
            "QLinearConcat" => self.integer_concat(node),
            _ => return None,
        };
        Some(made)
    }

    /// The floats that the levels of input `places[0]` stand for, whose scale and zero point are the
    /// inputs behind.
    fn floats(&mut self, node: Node<'a>, places: [usize; 3]) -> Fallible<Live> {
        let [levels, scale, zero] = places;
        let name = node.needed(levels)?;
        let Value::Quantized(own) = self.raw(name)? else {
            return Err(format!("its input {} are no levels of the images", levels + 1));
        };
        let (scale, zero, _) = self.scale_at(node, [scale, zero])?;
        if (scale, zero) != (own.scale, own.zero) {
            return Err("its scale or zero point is not that of what it reads".into());
        }
        self.floats_of(name, own)
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

    /// `of` as levels, whose scale and zero point are inputs `places` of `node`.
    fn levels(&mut self, node: Node<'a>, of: Live, places: [usize; 2]) -> Fallible<Value> {
        let (scale, zero, range) = self.scale_at(node, places)?;
        Ok(Value::Quantized(Quantized { of, scale, zero, range, is_on_grid: false }))
    }

    /// The weights of `node`, inputs `places`: levels, scales, zero points; a scale may be of a
    /// slice along `axis`.
    fn integer_weights(
        &self,
        node: Node<'a>,
        [levels, scale, zero]: [usize; 3],
        axis: usize,
    ) -> Fallible<(Constant, Rc<Constant>)> {
        let (levels, scale) = (self.constant(node, levels)?, self.constant(node, scale)?);
        let zero = self.optional(node, zero)?;
        Ok((fold::dequantized(&levels, &scale, zero.as_deref(), axis)?, scale))
    }

    /// Input `place` of `node`, in products of a level of `node`'s input 0 and one of its weights.
    fn integer_bias(
        &self,
        node: Node<'a>,
        place: usize,
        scales: &Constant,
        outputs: usize,
    ) -> Fallible<Option<Vec<f32>>> {
        let Some(bias) = self.optional(node, place)? else { return Ok(None) };
        let (sums, scales) = (bias.integers()?, scales.floats()?);
        if sums.len() != outputs {
            return Err(format!("a bias of shape {:?} for {outputs} outputs", bias.shape));
        }
        let own = f64::from(self.constant(node, 1)?.scalar()?);
        let of = |(output, &sum): (usize, &i64)| {
            (sum as f64 * own * f64::from(scales[output % scales.len()])) as f32
        };
        Ok(Some(sums.iter().enumerate().map(of).collect()))
    }

    fn integer_conv(&mut self, node: Node<'a>) -> Fallible<Value> {
        let own = self.floats(node, [0, 1, 2])?.in_order()?;
        let (weight, scales) = self.integer_weights(node, [3, 4, 5], 0)?;
        let outputs = weight.shape.first().copied().unwrap_or(0);
        let bias = self.integer_bias(node, 8, &scales, outputs)?;
        let name = layer_name(node, None);
        let made = self.conv_of(node, own, &weight, (name, bias))?;
        self.levels(node, made, [6, 7])
    }

    /// A matrix product with a bias at input `bias`; scale and zero point of the output are inputs
    /// `places`, without which it is floats.
    fn integer_product(
        &mut self,
        node: Node<'a>,
        places: [usize; 2],
        bias: Option<usize>,
    ) -> Fallible<Value> {
        let is_gemm = bias.is_some();
        if is_gemm && node.integer("transA", 0)? != 0 {
            return Err("transA is not supported".into());
        }
        let is_transposed = is_gemm && node.integer("transB", 0)? != 0;
        let alpha = if is_gemm { node.real("alpha", 1.0)? } else { 1.0 };
        let own = self.floats(node, [0, 1, 2])?.unpadded()?;
        let axis = if is_transposed { 0 } else { 1 };
        let (weight, scales) = self.integer_weights(node, [3, 4, 5], axis)?;
        let outputs = weight.shape.get(axis).copied().unwrap_or(0);
        let bias = match bias {
            Some(place) => self.integer_bias(node, place, &scales, outputs)?,
            None => None,
        };
        let bias = bias.map(|own| own.into_iter().map(|value| value * alpha).collect());
        let name = layer_name(node, None);
        let made = self.linear(name, &own, &weight, (is_transposed, alpha), bias)?;
        match node.input(places[0]) {
            Some(_) => self.levels(node, made, places),
            None => Ok(Value::Live(made)),
        }
    }

    fn integers_of_two(&mut self, node: Node<'a>, operator: &str) -> Fallible<Value> {
        let first = self.floats(node, [0, 1, 2])?.unpadded()?;
        let second = self.floats(node, [3, 4, 5])?.unpadded()?;
        let name = layer_name(node, None);
        let made = match operator {
            "QLinearAdd" => self.add(name, &[first, second])?,
            _ => self.product(name, &first, &second)?,
        };
        self.levels(node, made, [6, 7])
    }

    fn integer_mean(&mut self, node: Node<'a>) -> Fallible<Value> {
        if node.integer("channels_last", 0)? != 0 {
            return Err("channels_last is not supported".into());
        }
        let own = self.floats(node, [0, 1, 2])?.unpadded()?.in_order()?;
        let made = self.pool_plane(node, &own, false)?;
        self.levels(node, made, [3, 4])
    }

    fn integer_function(&mut self, node: Node<'a>, operator: &str) -> Fallible<Value> {
        let own = self.floats(node, [0, 1, 2])?.unpadded()?;
        let function = match operator {
            "QLinearSigmoid" => ActivationFunction::Sigmoid,
            _ => ActivationFunction::LeakyRelu { slope: node.real("alpha", 0.01)? },
        };
        let made = self.activate(layer_name(node, None), function, &own)?;
        self.levels(node, made, [3, 4])
    }

    fn integer_concat(&mut self, node: Node<'a>) -> Fallible<Value> {
        let mut parts = Vec::new();
        for first in (2..node.0.input.len()).step_by(3) {
            parts.push(self.floats(node, [first, first + 1, first + 2])?.unpadded()?);
        }
        let made = self.concat_of(node, &parts)?;
        self.levels(node, made, [0, 1])
    }

    /// What `node`, an operator that takes maxima or moves values, makes of levels: some of them.
    pub(super) fn moved_levels(
        &mut self,
        node: Node<'a>,
        operator: &str,
        own: Quantized,
    ) -> Fallible<Value> {
        let of = match operator {
            "MaxPool" => {
                let live = self.floats_of(node.needed(0)?, own.clone())?.in_order()?;
                self.max_pool_of(node, live)?
            }
            _ => {
                let live = own.of.clone();
                match self.relaid_of(node, operator, live)? {
                    Value::Live(live) => {
                        let is_on_grid = own.is_on_grid;
                        return Ok(Value::Quantized(Quantized { of: live, is_on_grid, ..own }));
                    }
                    other => return Ok(other),
                }
            }
        };
        Ok(Value::Quantized(Quantized { of, is_on_grid: true, ..own }))
    }

    /// `own` as floats on its levels.
    pub(super) fn dequantized(&mut self, own: Quantized, name: String) -> Fallible<Live> {
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
        let aligned = super::lowering::aligns(large, small);
        let (source, shape) = self.plain(name, LayerKind::Multiply {}, &[first, second])?;
        if !aligned || shape != large.shape {
            return Err("values of these axes cannot be multiplied".into());
        }
        Ok(large.made_by(source))
    }
}
