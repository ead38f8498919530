//! Nodes that take some of the channels, rows or columns: convolutions with weights of 0 and 1.

use super::{
    Fallible,
    constant::BATCH,
    layers::depthwise,
    layout::{Axis, place},
    lowering::{Lowering, layer_name},
    node::Node,
    slices::{Slice, Taken},
    value::{Live, Value},
};
use crate::config::{Convolution, LayerKind};

/// Most weights of such a convolution.
const MOST_WEIGHTS: usize = 1 << 22;

/// The parts of a Split and their names.
pub(super) fn split<'a>(on: &mut Lowering<'a>, node: Node<'a>) -> Fallible<Vec<(&'a str, Value)>> {
    let own = on.live(node, 0)?.unpadded()?;
    let place = own.layout.place(node.integer("axis", 0)?)?;
    let size = own.layout.size(place, own.shape);
    let names = &node.0.output;
    let given = match node.integers("split") {
        Some(own) => own.to_vec(),
        None => {
            on.optional(node, 1)?.map_or(Ok(Vec::new()), |own| own.integers().map(Vec::from))?
        }
    };
    let sizes: Vec<u64> = match given.is_empty() {
        true => {
            let each = size.div_ceil(names.len().max(1) as u64);
            let left = |at: usize| size.saturating_sub(each.saturating_mul(at as u64));
            (0..names.len()).map(|at| each.min(left(at))).collect()
        }
        false => given.iter().map(|&size| u64::try_from(size).unwrap_or(0)).collect(),
    };
    let sum = sizes.iter().try_fold(0u64, |sum, &size| sum.checked_add(size));
    if sizes.len() != names.len() || sizes.contains(&0) || sum != Some(size) {
        return Err(format!("{} parts of sizes {sizes:?} of {size}", names.len()));
    }
    let (mut parts, mut first) = (Vec::new(), 0);
    for (number, (name, size)) in names.iter().zip(sizes).enumerate() {
        let taken = Taken { first, step: 1, count: size as i64 };
        first += size as i64;
        if !name.is_empty() {
            let layer = format!("{}/{}", layer_name(node, None), number + 1);
            parts.push((&name[..], Value::Live(along(on, layer, &own, (place, taken))?)));
        }
    }
    Ok(parts)
}

/// What a Slice leaves.
pub(super) fn slice<'a>(on: &mut Lowering<'a>, node: Node<'a>) -> Fallible<Live> {
    let mut own = on.live(node, 0)?.unpadded()?;
    let slices = Slice::of_node(|name, index| match node.integers(name) {
        Some(own) => Ok(Some(own.to_vec())),
        None => on.optional(node, index)?.map(|own| own.integers().map(Vec::from)).transpose(),
    })?;
    for slice in slices {
        let place = own.layout.place(slice.axis)?;
        if own.layout.is_batch(place) {
            let Slice { start, end, step, .. } = slice;
            let is_end = end == BATCH || end >= i64::from(i32::MAX) || Some(end) == on.batch;
            if (start, step) != (0, 1) || !is_end {
                return Err("it takes some of the images of a batch".into());
            }
            continue;
        }
        let taken = slice.taken(own.layout.size(place, own.shape) as i64)?;
        own = along(on, layer_name(node, None), &own, (place, taken))?;
    }
    Ok(own)
}

/// The channels that a Gather takes.
pub(super) fn gather<'a>(on: &mut Lowering<'a>, node: Node<'a>) -> Fallible<Live> {
    let own = on.live(node, 0)?.unpadded()?;
    let axis = own.layout.place(node.integer("axis", 0)?)?;
    let indices = on.constant(node, 1)?;
    if indices.shape.len() != 1 || own.layout.axis(axis) != [Axis::Channel] {
        return Err("a list of channels can be gathered".into());
    }
    let size = own.shape.channels as usize;
    let of = |&index: &i64| place(index, size).map(|channel| Some(channel as u32));
    let taken: Fallible<Vec<Option<u32>>> = indices.integers()?.iter().map(of).collect();
    let taken = taken.map_err(|_| "it names a channel that there is not")?;
    channels(on, layer_name(node, None), &own, &taken)
}

/// What is `taken` of axis `place` of `own`.
fn along(
    on: &mut Lowering<'_>,
    name: String,
    own: &Live,
    (place, taken): (usize, Taken),
) -> Fallible<Live> {
    let whole = own.layout.size(place, own.shape) as i64;
    if taken == (Taken { first: 0, step: 1, count: whole }) {
        return Ok(own.clone());
    }
    match own.layout.axis(place) {
        [Axis::Channel] => {
            let all: Vec<Option<u32>> = taken.places().map(|place| Some(place as u32)).collect();
            channels(on, name, own, &all)
        }
        [Axis::Row] => of_plane(on, name, own, (0, taken)),
        [Axis::Column] => of_plane(on, name, own, (1, taken)),
        _ => Err("some channels, rows or columns can be taken, each from an axis alone".into()),
    }
}

/// The channels `taken` of `own` in this order, one of zeros where there is none.
pub(super) fn channels(
    on: &mut Lowering<'_>,
    name: String,
    own: &Live,
    taken: &[Option<u32>],
) -> Fallible<Live> {
    let inputs = own.shape.channels as usize;
    let shape = vec![taken.len(), inputs, 1, 1];
    let mut weight = zeros(on, &shape)?;
    for (row, channel) in weight.chunks_exact_mut(inputs).zip(taken) {
        if let Some(channel) = channel {
            row[*channel as usize] = 1.0;
        }
    }
    let kind = Convolution { bias: false, ..Convolution::square(taken.len() as u32, [1, 1, 0]) };
    convolution(on, name, own, (kind, shape, weight))
}

/// The rows (0) or columns (1) of `own` that are `taken`.
fn of_plane(
    on: &mut Lowering<'_>,
    name: String,
    own: &Live,
    (axis, taken): (usize, Taken),
) -> Fallible<Live> {
    let Taken { first, step, count } = taken;
    if step < 0 {
        return Err("rows or columns in reverse order are not supported".into());
    }
    let size = i64::from([own.shape.height, own.shape.width][axis]);
    // Windows as large as leave so many places.
    let extent = size - (count - 1) * step;
    let (mut kernel, mut stride) = ([1; 2], [1; 2]);
    (kernel[axis], stride[axis]) = (extent as u32, step as u32);
    let (kind, shape) = depthwise(own.shape.channels, kernel, stride);
    let mut weight = zeros(on, &shape)?;
    weight.chunks_exact_mut(extent as usize).for_each(|row| row[first as usize] = 1.0);
    convolution(on, name, own, (kind, shape, weight))
}

/// Weights of 0.
fn zeros(on: &mut Lowering<'_>, shape: &[usize]) -> Fallible<Vec<f32>> {
    match on.budget.take(shape)? {
        0 => Err("it leaves nothing".into()),
        count @ 1..=MOST_WEIGHTS => Ok(vec![0.0; count]),
        _ => Err(format!("it takes weights of shape {shape:?}, more than 2^22")),
    }
}

fn convolution(
    on: &mut Lowering<'_>,
    name: String,
    own: &Live,
    (kind, shape, weight): (Convolution, Vec<usize>, Vec<f32>),
) -> Fallible<Live> {
    let kind = LayerKind::Conv(kind);
    let (source, shape) = on.weighted(name, kind, (shape, weight), (None, None), own)?;
    Ok(Live { layout: own.layout.resized(shape), ..Live::images(Some(source), shape) })
}
