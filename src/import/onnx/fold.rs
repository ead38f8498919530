//! Operators on constants: the arithmetic of shapes that exporters leave in a graph, and weights
//! that a graph converts before it uses them.

use super::{
    Fallible,
    constant::{BATCH, Beside, Budget, Constant, Levels, Values, read},
    layout::place,
    node::Node,
    schema::DataType,
    slices::{Slice, Taken},
};

/// Most axes of a computed constant.
const MOST_AXES: usize = 16;

/// Operators that are computed of constants alone.
pub(super) const OPERATORS: &str = "Add, Cast, Clip, Concat, Constant, ConstantOfShape, \
    DequantizeLinear, Div, Expand, Flatten, Floor, Gather, Identity, Max, Min, Mul, Neg, \
    QuantizeLinear, Range, Reciprocal, Reshape, Shape, Slice, Sqrt, Squeeze, Sub, Transpose, \
    Unsqueeze";

/// What is known where a node is computed.
pub(super) struct Folding<'a> {
    pub(super) beside: &'a Beside<'a>,
    pub(super) budget: &'a mut Budget,
}

/// Inputs of a node, all of them constants.
struct Inputs<'a>(&'a [Option<&'a Constant>]);

impl<'a> Inputs<'a> {
    fn optional(&self, index: usize) -> Option<&'a Constant> {
        self.0.get(index).copied().flatten()
    }

    fn get(&self, index: usize) -> Fallible<&'a Constant> {
        self.optional(index).ok_or_else(|| format!("its input {} is missing", index + 1))
    }
}

impl Folding<'_> {
    /// What `node` makes of `inputs`.
    pub(super) fn compute(
        &mut self,
        node: Node<'_>,
        inputs: &[Option<&Constant>],
    ) -> Fallible<Constant> {
        let inputs = Inputs(inputs);
        let made = match node.0.op_type() {
            "Constant" => return self.constant(node),
            "ConstantOfShape" => return self.constant_of_shape(node, inputs.get(0)?),
            "Identity" => inputs.get(0)?.clone(),
            "Cast" => cast(inputs.get(0)?, node.integer("to", 0)?)?,
            "Shape" => shape_of(node, &inputs.get(0)?.shape)?,
            "Gather" => gather(inputs.get(0)?, inputs.get(1)?, node.integer("axis", 0)?)?,
            "Slice" => slice(node, &inputs)?,
            "Concat" => concat(&inputs, node.integer("axis", 0)?)?,
            "Reshape" => reshape(inputs.get(0)?, inputs.get(1)?.integers()?)?,
            "Flatten" => flatten(inputs.get(0)?, node.integer("axis", 1)?)?,
            "Squeeze" => squeeze(inputs.get(0)?, axes(node, &inputs)?.as_deref())?,
            "Unsqueeze" => unsqueeze(inputs.get(0)?, axes(node, &inputs)?.as_deref())?,
            "Transpose" => transpose(inputs.get(0)?, node.integers("perm"))?,
            "Expand" => {
                let target = sizes(inputs.get(1)?.integers()?)?;
                self.expand(inputs.get(0)?, &target)?
            }
            "Range" => return self.range(&inputs),
            "Add" | "Sub" | "Mul" | "Div" | "Min" | "Max" => {
                self.binary(node.0.op_type(), inputs.get(0)?, inputs.get(1)?)?
            }
            "Neg" | "Floor" | "Sqrt" | "Reciprocal" => unary(node.0.op_type(), inputs.get(0)?)?,
            "Clip" => clip(node, &inputs)?,
            "DequantizeLinear" => dequantize(node, &inputs)?,
            "QuantizeLinear" => quantize(node, &inputs)?,
            other => return Err(format!("operator {other} is not computed of constants")),
        };
        self.budget.take(&made.shape)?;
        Ok(made)
    }

    fn constant(&mut self, node: Node<'_>) -> Fallible<Constant> {
        if let Some(tensor) = node.tensor("value") {
            return read(tensor, self.beside, self.budget);
        }
        let (shape, values) = if node.has("value_float") {
            (vec![], Values::Real(vec![node.real("value_float", 0.0)?]))
        } else if node.has("value_int") {
            (vec![], Values::Whole(vec![node.integer("value_int", 0)?]))
        } else if let Some(values) = node.reals("value_floats") {
            (vec![values.len()], Values::Real(values.to_vec()))
        } else if let Some(values) = node.integers("value_ints") {
            (vec![values.len()], Values::Whole(values.to_vec()))
        } else {
            return Err("its constant is neither numbers nor a dense tensor of numbers".into());
        };
        self.budget.take(&shape)?;
        Ok(Constant::new(shape, values))
    }

    fn constant_of_shape(&mut self, node: Node<'_>, shape: &Constant) -> Fallible<Constant> {
        let shape = sizes(shape.integers()?)?;
        let count = self.budget.grow(&shape)?;
        let value = match node.tensor("value") {
            None => Values::Real(vec![0.0]),
            Some(tensor) => read(tensor, self.beside, self.budget)?.values,
        };
        let values = match value {
            Values::Real(values) if values.len() == 1 => Values::Real(vec![values[0]; count]),
            Values::Whole(values) if values.len() == 1 => Values::Whole(vec![values[0]; count]),
            _ => return Err("its value is no single number".into()),
        };
        Ok(Constant::new(shape, values))
    }

    fn range(&mut self, inputs: &Inputs<'_>) -> Fallible<Constant> {
        let one = |index: usize| match inputs.get(index)?.integers()? {
            &[value] => Ok(value),
            other => Err(format!("{} numbers stand where one is needed", other.len())),
        };
        let [start, limit, step] = [one(0)?, one(1)?, one(2)?].map(i128::from);
        if step == 0 || start == i128::from(BATCH) || limit == i128::from(BATCH) {
            return Err("its range is not known".into());
        }
        let count = ((limit - start + step - step.signum()) / step).max(0);
        let count = usize::try_from(count).map_err(|_| "its range is too large")?;
        self.budget.grow(&[count])?;
        let values = (0..count as i128).map(|at| (start + at * step) as i64).collect();
        Ok(Constant::whole(vec![count], values))
    }

    fn expand(&mut self, from: &Constant, target: &[usize]) -> Fallible<Constant> {
        let shape = broadcast(&from.shape, target)?;
        if shape != from.shape {
            self.budget.grow(&shape)?;
        }
        Ok(from.picked(shape.clone(), places(&shape, &from.shape)))
    }

    fn binary(&mut self, operator: &str, a: &Constant, b: &Constant) -> Fallible<Constant> {
        let shape = broadcast(&a.shape, &b.shape)?;
        if shape != a.shape && shape != b.shape {
            self.budget.grow(&shape)?;
        }
        let pairs = places(&shape, &a.shape).zip(places(&shape, &b.shape));
        let values = match (&a.values, &b.values) {
            (Values::Real(a), Values::Real(b)) => {
                let of = |(x, y): (usize, usize)| match operator {
                    "Add" => a[x] + b[y],
                    "Sub" => a[x] - b[y],
                    "Mul" => a[x] * b[y],
                    "Div" => a[x] / b[y],
                    "Min" => a[x].min(b[y]),
                    _ => a[x].max(b[y]),
                };
                Values::Real(pairs.map(of).collect())
            }
            (Values::Whole(a), Values::Whole(b)) => {
                let of = |(x, y): (usize, usize)| {
                    let (x, y) = (a[x], b[y]);
                    if x == BATCH || y == BATCH {
                        return Err(String::from("it computes with the size of the batch"));
                    }
                    let value = match operator {
                        "Add" => x.checked_add(y),
                        "Sub" => x.checked_sub(y),
                        "Mul" => x.checked_mul(y),
                        "Div" => x.checked_div(y),
                        "Min" => Some(x.min(y)),
                        _ => Some(x.max(y)),
                    };
                    value.ok_or_else(|| format!("{operator} of {x} and {y} is no number"))
                };
                Values::Whole(pairs.map(of).collect::<Fallible<_>>()?)
            }
            _ => return Err("it computes with integers and floats".into()),
        };
        Ok(Constant::new(shape, values))
    }
}

/// Sizes of a shape, all known.
fn sizes(shape: &[i64]) -> Fallible<Vec<usize>> {
    let size = |&size: &i64| usize::try_from(size).ok();
    let sizes: Option<Vec<usize>> = shape.iter().map(size).collect();
    sizes.filter(|sizes| sizes.len() <= MOST_AXES).ok_or_else(|| "its shape is not known".into())
}

/// The shape of two that are broadcast.
fn broadcast(a: &[usize], b: &[usize]) -> Fallible<Vec<usize>> {
    let rank = a.len().max(b.len());
    let at = |shape: &[usize], index: usize| {
        (index + shape.len()).checked_sub(rank).map_or(1, |place| shape[place])
    };
    let size = |index: usize| match (at(a, index), at(b, index)) {
        (a, b) if a == b || b == 1 => Ok(a),
        (1, b) => Ok(b),
        _ => Err(format!("shapes {a:?} and {b:?} do not fit")),
    };
    (0..rank).map(size).collect()
}

/// For every element of `shape`, the place in `from`, which is broadcast to it.
fn places(shape: &[usize], from: &[usize]) -> Walk {
    let mut steps = vec![0; shape.len()];
    let mut step = 1;
    for (own, &size) in steps.iter_mut().rev().zip(from.iter().rev()) {
        *own = if size == 1 { 0 } else { step };
        step *= size as isize;
    }
    Walk::new(shape.to_vec(), steps, 0)
}

/// Steps from an element to the next along each axis of `shape`.
fn strides(shape: &[usize]) -> Vec<isize> {
    let mut steps = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        steps[axis - 1] = steps[axis] * shape[axis] as isize;
    }
    steps
}

/// Places start + Σ index·step of all indices of a shape, in row-major order.
struct Walk {
    shape: Vec<usize>,
    steps: Vec<isize>,
    at: Vec<usize>,
    place: isize,
    left: usize,
}

impl Walk {
    fn new(shape: Vec<usize>, steps: Vec<isize>, start: isize) -> Walk {
        let left = shape.iter().product();
        Walk { at: vec![0; shape.len()], shape, steps, place: start, left }
    }
}

impl Iterator for Walk {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        self.left = self.left.checked_sub(1)?;
        let found = self.place as usize;
        for axis in (0..self.shape.len()).rev() {
            self.at[axis] += 1;
            self.place += self.steps[axis];
            if self.at[axis] < self.shape[axis] {
                break;
            }
            self.place -= self.steps[axis] * self.shape[axis] as isize;
            self.at[axis] = 0;
        }
        Some(found)
    }
}

/// The element type that a Cast makes: whether it is a float.
pub(super) fn is_float(number: i64) -> Fallible<bool> {
    use DataType::*;
    match i32::try_from(number).ok().and_then(|number| DataType::try_from(number).ok()) {
        Some(Float | Float16 | Double | Bfloat16) => Ok(true),
        Some(Undefined | String) | None => Err(format!("element type {number} is not supported")),
        Some(_) => Ok(false),
    }
}

fn cast(from: &Constant, to: i64) -> Fallible<Constant> {
    let values = match (&from.values, is_float(to)?) {
        (Values::Whole(values), true) if values.contains(&BATCH) => {
            return Err("it computes with the size of the batch".into());
        }
        (Values::Whole(values), true) => {
            Values::Real(values.iter().map(|&value| value as f32).collect())
        }
        (Values::Real(values), false) => {
            Values::Whole(values.iter().map(|&value| value as i64).collect())
        }
        (values, _) => values.clone(),
    };
    Ok(Constant::new(from.shape.clone(), values))
}

/// The sizes `shape` as a Shape node with `start` and `end` gives them.
pub(super) fn shape_of<T: Copy + TryInto<i64>>(node: Node<'_>, shape: &[T]) -> Fallible<Constant> {
    let rank = shape.len() as i64;
    let within = |at: i64| (if at < 0 { at.saturating_add(rank) } else { at }).clamp(0, rank);
    let start = within(node.integer("start", 0)?) as usize;
    let end = within(node.integer("end", rank)?) as usize;
    let own = shape.get(start..end).unwrap_or_default();
    let values: Vec<i64> = own.iter().map(|&size| size.try_into().unwrap_or(i64::MAX)).collect();
    Ok(Constant::whole(vec![values.len()], values))
}

fn gather(from: &Constant, indices: &Constant, axis: i64) -> Fallible<Constant> {
    let axis = place(axis, from.shape.len())?;
    let size = from.shape[axis];
    let mut chosen = Vec::new();
    for &index in indices.integers()? {
        chosen.push(place(index, size)?);
    }
    let outer: usize = from.shape[..axis].iter().product();
    let inner: usize = from.shape[axis + 1..].iter().product();
    let shape = [&from.shape[..axis], &indices.shape, &from.shape[axis + 1..]].concat();
    let count = outer.checked_mul(chosen.len()).and_then(|count| count.checked_mul(inner));
    if shape.len() > MOST_AXES || count.is_none_or(|count| count > from.count().max(1 << 16)) {
        return Err("it makes a constant that is too large".into());
    }
    let at = |front: usize| {
        let chosen = &chosen;
        let row =
            move |&index: &usize| (0..inner).map(move |back| (front * size + index) * inner + back);
        chosen.iter().flat_map(row)
    };
    Ok(from.picked(shape, (0..outer).flat_map(at)))
}

fn slice(node: Node<'_>, inputs: &Inputs<'_>) -> Fallible<Constant> {
    let from = inputs.get(0)?;
    let slices = Slice::of_node(|name, index| match node.integers(name) {
        Some(own) => Ok(Some(own.to_vec())),
        None => inputs.optional(index).map(|own| own.integers().map(Vec::from)).transpose(),
    })?;
    let (mut shape, mut strides) = (from.shape.clone(), strides(&from.shape));
    let mut start = 0isize;
    for slice in slices {
        let axis = place(slice.axis, shape.len())?;
        if shape[axis] != from.shape[axis] {
            return Err("an axis is cut twice".into());
        }
        let Taken { first, step, count } = slice.taken(from.shape[axis] as i64)?;
        shape[axis] = count as usize;
        start += first as isize * strides[axis];
        strides[axis] *= step as isize;
    }
    Ok(from.picked(shape.clone(), Walk::new(shape, strides, start)))
}

fn concat(inputs: &Inputs<'_>, axis: i64) -> Fallible<Constant> {
    let first = inputs.get(0)?;
    let axis = place(axis, first.shape.len())?;
    let outer: usize = first.shape[..axis].iter().product();
    let mut shape = first.shape.clone();
    shape[axis] = 0;
    let mut parts = Vec::new();
    for index in 0..inputs.0.len() {
        let part = inputs.get(index)?;
        let mut own = part.shape.clone();
        if own.len() != shape.len() {
            return Err("its inputs have different numbers of axes".into());
        }
        let size = std::mem::replace(&mut own[axis], shape[axis]);
        if own != shape {
            return Err("its inputs have different shapes".into());
        }
        shape[axis] += size;
        parts.push((part, part.count() / outer.max(1)));
    }
    fn join<T: Copy>(parts: &[(&[T], usize)], outer: usize) -> Vec<T> {
        let row = |at: usize| {
            parts
                .iter()
                .flat_map(move |(values, each)| values[at * each..][..*each].iter().copied())
        };
        (0..outer).flat_map(row).collect()
    }
    let values = match &first.values {
        Values::Whole(_) => {
            let own: Fallible<Vec<_>> =
                parts.iter().map(|(part, each)| Ok((part.integers()?, *each))).collect();
            Values::Whole(join(&own?, outer))
        }
        Values::Real(_) => {
            let own: Fallible<Vec<_>> =
                parts.iter().map(|(part, each)| Ok((part.floats()?, *each))).collect();
            Values::Real(join(&own?, outer))
        }
    };
    Ok(Constant::new(shape, values))
}

fn reshape(from: &Constant, target: &[i64]) -> Fallible<Constant> {
    let misfit = || format!("the shape {target:?} does not fit {} elements", from.count());
    let mut sizes = Vec::new();
    for (axis, &size) in target.iter().enumerate() {
        sizes.push(match size {
            -1 => 1,
            0 => *from.shape.get(axis).ok_or_else(misfit)?,
            size => usize::try_from(size).map_err(|_| misfit())?,
        });
    }
    let given = super::constant::element_count(&sizes).filter(|&count| count > 0);
    let given = given.ok_or_else(misfit)?;
    if let Some(open) = target.iter().position(|&size| size == -1) {
        sizes[open] = from.count() / given;
    }
    match super::constant::element_count(&sizes) == Some(from.count()) && sizes.len() <= MOST_AXES {
        true => Ok(from.shaped(sizes)),
        false => Err(misfit()),
    }
}

fn flatten(from: &Constant, axis: i64) -> Fallible<Constant> {
    let axis = match axis == from.shape.len() as i64 {
        true => from.shape.len(),
        false => place(axis, from.shape.len())?,
    };
    let front: usize = from.shape[..axis].iter().product();
    Ok(from.shaped(vec![front, from.count() / front.max(1)]))
}

/// Axes as an attribute, or as an input from operator set 13 on.
fn axes(node: Node<'_>, inputs: &Inputs<'_>) -> Fallible<Option<Vec<i64>>> {
    match (node.integers("axes"), inputs.optional(1)) {
        (Some(own), _) => Ok(Some(own.to_vec())),
        (None, Some(own)) => Ok(Some(own.integers()?.to_vec())),
        (None, None) => Ok(None),
    }
}

fn squeeze(from: &Constant, axes: Option<&[i64]>) -> Fallible<Constant> {
    let rank = from.shape.len();
    let mut gone: Vec<bool> = from.shape.iter().map(|&size| axes.is_none() && size == 1).collect();
    for &axis in axes.unwrap_or_default() {
        let place = place(axis, rank)?;
        if from.shape[place] != 1 {
            return Err(format!("axis {axis} has more than one element"));
        }
        gone[place] = true;
    }
    let kept = from.shape.iter().zip(gone).filter(|(_, gone)| !gone);
    Ok(from.shaped(kept.map(|(&size, _)| size).collect()))
}

fn unsqueeze(from: &Constant, axes: Option<&[i64]>) -> Fallible<Constant> {
    let axes = axes.ok_or("it has no axes")?;
    let rank = from.shape.len().saturating_add(axes.len());
    if rank > MOST_AXES {
        return Err(format!("a tensor has more than {MOST_AXES} axes"));
    }
    let mut is_new = vec![false; rank];
    for &axis in axes {
        is_new[place(axis, rank)?] = true;
    }
    let mut own = from.shape.iter();
    let size = |is_new: bool| if is_new { Some(1) } else { own.next().copied() };
    let shape: Vec<usize> = is_new.into_iter().filter_map(size).collect();
    match shape.len() == rank {
        true => Ok(from.shaped(shape)),
        false => Err("an axis is added twice".into()),
    }
}

fn transpose(from: &Constant, order: Option<&[i64]>) -> Fallible<Constant> {
    let rank = from.shape.len();
    let mut axes: Vec<usize> = Vec::new();
    match order {
        None => axes.extend((0..rank).rev()),
        Some(order) => {
            for &axis in order {
                axes.push(place(axis, rank)?);
            }
        }
    }
    let mut sorted = axes.clone();
    sorted.sort_unstable();
    if !sorted.iter().copied().eq(0..rank) {
        return Err(format!("perm {axes:?} is no order of {rank} axes"));
    }
    let steps = strides(&from.shape);
    let shape: Vec<usize> = axes.iter().map(|&axis| from.shape[axis]).collect();
    let steps = axes.iter().map(|&axis| steps[axis]).collect();
    Ok(from.picked(shape.clone(), Walk::new(shape, steps, 0)))
}

fn unary(operator: &str, from: &Constant) -> Fallible<Constant> {
    let values = match (&from.values, operator) {
        (Values::Real(values), _) => {
            let of = |&x: &f32| match operator {
                "Neg" => -x,
                "Floor" => x.floor(),
                "Sqrt" => x.sqrt(),
                _ => x.recip(),
            };
            Values::Real(values.iter().map(of).collect())
        }
        (Values::Whole(values), "Neg") if !values.contains(&BATCH) => {
            Values::Whole(values.iter().map(|value| value.saturating_neg()).collect())
        }
        _ => return Err(format!("{operator} of integers")),
    };
    Ok(Constant::new(from.shape.clone(), values))
}

/// Lowest and highest value of a Clip, as attributes or inputs.
fn clip(node: Node<'_>, inputs: &Inputs<'_>) -> Fallible<Constant> {
    let from = inputs.get(0)?;
    let end = |index: usize| inputs.optional(index);
    let mut range = from.range;
    let values = match &from.values {
        Values::Whole(values) => {
            let one = |end: &Constant| match end.integers()? {
                &[end] => Ok(end),
                _ => Err(String::from("its bound is no number")),
            };
            let low = end(1).map(one).transpose()?.unwrap_or(i64::MIN);
            let high = end(2).map(one).transpose()?.unwrap_or(i64::MAX);
            range = range.map(|[lowest, highest]| [lowest.max(low), highest.min(high)]);
            Values::Whole(values.iter().map(|&value| value.max(low).min(high)).collect())
        }
        Values::Real(values) => {
            let low = end(1).map(Constant::scalar).transpose()?;
            let high = end(2).map(Constant::scalar).transpose()?;
            let low = low.unwrap_or(node.real("min", f32::MIN)?);
            let high = high.unwrap_or(node.real("max", f32::MAX)?);
            Values::Real(values.iter().map(|&value| value.max(low).min(high)).collect())
        }
    };
    Ok(Constant { range, ..Constant::new(from.shape.clone(), values) })
}

/// For every element, the place of its scale: one scale, or one a slice along an axis.
fn scale_places(
    node: Node<'_>,
    shape: &[usize],
    scale: &Constant,
) -> Fallible<impl Fn(usize) -> usize + use<>> {
    if node.integer("block_size", 0)? != 0 {
        return Err("scales of blocks are not supported".into());
    }
    let numbers = scale.floats()?;
    if !numbers.iter().all(|scale| scale.is_finite() && *scale > 0.0) {
        return Err("a scale is not above 0".into());
    }
    let (mut size, mut inner) = (1, 1);
    if numbers.len() != 1 {
        let axis = place(node.integer("axis", 1)?, shape.len())?;
        (size, inner) = (shape[axis], shape[axis + 1..].iter().product());
        if scale.shape != [size] {
            return Err(format!("{} scales for {size} slices", numbers.len()));
        }
    }
    Ok(move |element: usize| element / inner % size)
}

fn zero_points(inputs: &Inputs<'_>, scale: &Constant) -> Fallible<Vec<i64>> {
    let Some(zero) = inputs.optional(2) else { return Ok(vec![0; scale.count()]) };
    // Floats of 8 bits have a zero point of theirs.
    let zeros = zero.integers()?;
    match zeros.len() == scale.count() {
        true => Ok(zeros.to_vec()),
        false => Err(format!("{} zero points for {} scales", zeros.len(), scale.count())),
    }
}

fn dequantize(node: Node<'_>, inputs: &Inputs<'_>) -> Fallible<Constant> {
    let (from, scale) = (inputs.get(0)?, inputs.get(1)?);
    let at = scale_places(node, &from.shape, scale)?;
    let (scales, zeros) = (scale.floats()?, zero_points(inputs, scale)?);
    let is_of_rows = scales.len() == 1 || node.integer("axis", 1)? == 0;
    floats_of(from, at, (scales, &zeros), is_of_rows)
}

/// The floats that the levels `from` stand for, by a scale and a zero point for all of them, or
/// one a slice along `axis`.
pub(super) fn dequantized(
    from: &Constant,
    scale: &Constant,
    zero: Option<&Constant>,
    axis: usize,
) -> Fallible<Constant> {
    let scales = scale.floats()?;
    let zeros = zero.map_or(Ok(&[0][..]), Constant::integers)?;
    let size = from.shape.get(axis).copied().unwrap_or(1);
    if [scales.len(), zeros.len()].iter().any(|&count| count != 1 && count != size) {
        return Err(format!("{} scales for {size} slices", scales.len().max(zeros.len())));
    }
    if !scales.iter().all(|scale| scale.is_normal() && *scale > 0.0) {
        return Err("a scale of its weights is no number above 0".into());
    }
    let stride: usize = from.shape.iter().skip(axis + 1).product();
    let at = |element: usize| element / stride.max(1) % size.max(1);
    floats_of(from, at, (scales, zeros), scales.len() == 1 || axis == 0)
}

/// The floats that the levels `from` stand for; `at` is the slice of an element, which has a scale
/// and a zero point, or the only ones. They keep their levels where all zero points are the same
/// and `is_of_rows`: there is one scale, or one a slice along the first axis.
fn floats_of(
    from: &Constant,
    at: impl Fn(usize) -> usize,
    (scales, zeros): (&[f32], &[i64]),
    is_of_rows: bool,
) -> Fallible<Constant> {
    let of = |(element, &level): (usize, &i64)| {
        let slice = at(element);
        level.saturating_sub(zeros[slice % zeros.len()]) as f32 * scales[slice % scales.len()]
    };
    let values = from.integers()?.iter().enumerate().map(of).collect();
    let levels = match (zeros, from.range) {
        (&[first, ..], Some(range))
            if is_of_rows && !scales.is_empty() && zeros.iter().all(|&zero| zero == first) =>
        {
            let range = range.map(|end| end.saturating_sub(first));
            Some(Levels { range, scales: scales.to_vec() })
        }
        _ => None,
    };
    Ok(Constant { levels, ..Constant::real(from.shape.clone(), values) })
}

fn quantize(node: Node<'_>, inputs: &Inputs<'_>) -> Fallible<Constant> {
    let (from, scale) = (inputs.get(0)?, inputs.get(1)?);
    let at = scale_places(node, &from.shape, scale)?;
    let (scales, zeros) = (scale.floats()?, zero_points(inputs, scale)?);
    // The ends of the levels are known only where a Clip says them, or of a byte by its zero point.
    let of = |(element, &value): (usize, &f32)| {
        let own = at(element);
        (value / scales[own]).round_ties_even() as i64 + zeros[own]
    };
    let values: Vec<i64> = from.floats()?.iter().enumerate().map(of).collect();
    match values.iter().all(|level| (-128..=255).contains(level)) {
        true => Ok(Constant::whole(from.shape.clone(), values)),
        false => Err("constants that saturate when they are quantized".into()),
    }
}
