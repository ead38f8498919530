//! The images that a graph takes: their size, the order of their axes, and what the graph says of
//! their pixels.

use super::{
    Fallible,
    layers::{Made, Step},
    layout::{Axis, Layout},
    schema::{DataType, GraphProto, ModelProto, TensorProto, ValueInfoProto},
};
use crate::config::{PixelNormalization, Shape};

/// Most pixels along an axis.
const MOST_SIZE: i64 = 1 << 16;
/// Numbers of channels that images have.
const USUAL_CHANNELS: [u32; 3] = [1, 3, 4];

/// The size of a fixed batch, the other sizes, and whether the pixels are integers.
pub(super) fn input(input: &ValueInfoProto) -> Fallible<(Option<i64>, Vec<u32>, bool)> {
    let name = input.name();
    let own = input.r#type.as_ref().and_then(|own| own.tensor_type.as_ref());
    let own = own.ok_or_else(|| format!("its input {name} is no tensor"))?;
    use DataType::*;
    let are_bytes = match own.elem_type() {
        Float | Float16 | Bfloat16 | Double => false,
        Uint8 => true,
        other => return Err(format!("its input {name} is of type {other:?}, not of pixels")),
    };
    let shape = own.shape.as_ref();
    let shape =
        shape.ok_or_else(|| format!("its input {name} has no shape: export it with one"))?;
    let Some((batch, sizes)) = shape.dim.split_first().filter(|_| {
        // Images without an axis of channels have 3.
        matches!(shape.dim.len(), 3 | 4)
    }) else {
        let axes = shape.dim.len();
        return Err(format!(
            "its input {name} has {axes} axes; images have [batch, channels, rows, columns]"
        ));
    };
    let size = |value: Option<i64>| value.filter(|size| (1..=MOST_SIZE).contains(size));
    let fixed: Option<Vec<u32>> =
        sizes.iter().map(|own| size(own.dim_value).map(|size| size as u32)).collect();
    let fixed = fixed.ok_or_else(|| {
        format!("its input {name} leaves the size of the images open: export it with one")
    })?;
    let batch = match batch.dim_value {
        Some(value) => Some(size(Some(value)).ok_or("its batch is no number from 1 on")?),
        None => None,
    };
    Ok((batch, fixed, are_bytes))
}

/// The shape of the images of `sizes` and their axes in the graph. Channels come first but where
/// the graph transposes them to the front, or where the size of the last axis alone can be a number
/// of channels and nothing reads the image as it is.
pub(super) fn axes(graph: &GraphProto, images: &str, sizes: &[u32]) -> Fallible<(Shape, Layout)> {
    let [first, second, third] = match *sizes {
        [height, width] => {
            let shape = Shape::new(1, height, width);
            let groups: [&[Axis]; 3] = [&[Axis::Batch], &[Axis::Row], &[Axis::Column]];
            return Ok((shape, Layout::new(&groups, shape)));
        }
        [first, second, third] => [first, second, third],
        _ => return Err("its images have no rows and columns".into()),
    };
    let is_usual = |size: u32| USUAL_CHANNELS.contains(&size);
    let looks_last = is_usual(third) && !is_usual(first);
    let mut same = vec![images];
    let mut is_last = looks_last;
    for node in &graph.node {
        if !node.input.iter().any(|name| same.contains(&&name[..])) {
            continue;
        }
        let perm = node.attribute.iter().find(|own| own.name() == "perm").map(|own| &own.ints[..]);
        match (node.op_type(), perm) {
            ("Transpose", Some([0, 3, 1, 2])) => is_last = true,
            ("Transpose", _) => is_last = false,
            ("Reshape" | "Flatten" | "MatMul", _) => is_last = looks_last,
            (
                "Cast" | "Identity" | "Sub" | "Mul" | "Add" | "Div" | "Clip" | "Pad"
                | "QuantizeLinear" | "DequantizeLinear",
                _,
            ) => {
                // What is behind a few of them is no image any more.
                if same.len() < 16 {
                    same.extend(node.output.first().map(|name| &name[..]));
                }
                continue;
            }
            _ => is_last = false,
        }
        break;
    }
    if is_last {
        let shape = Shape::new(third, first, second);
        return Ok((shape, Layout::channels_last(shape)));
    }
    let shape = Shape::new(first, second, third);
    Ok((shape, Layout::images(shape)))
}

/// The normalisation in front of a file of this program, and the name of the normalised images.
pub(super) fn own_normalization<'a>(
    proto: &ModelProto,
    graph: &'a GraphProto,
    images: &str,
) -> Option<(PixelNormalization, &'a str)> {
    // A number, or one a channel.
    let numbers = |tensor: &TensorProto| {
        let bytes = tensor.raw_data();
        let count = match tensor.dims[..] {
            [] => 1,
            [channels @ 1..=16, 1, 1] => channels as usize,
            _ => return None,
        };
        (tensor.data_type() == DataType::Float && bytes.len() == 4 * count).then(|| {
            let value = |bytes: &[u8]| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
            bytes.chunks_exact(4).map(value).collect::<Vec<f32>>()
        })
    };
    let constant = |name: &str| numbers(graph.initializer.iter().find(|own| own.name() == name)?);
    let [subtraction, division] = graph.node.first_chunk()?;
    let is = |node: &super::schema::NodeProto, operator: &str, name: &str| {
        (node.op_type(), node.name(), node.output.len()) == (operator, name, 1)
    };
    if proto.producer_name() != "saliq"
        || !is(subtraction, "Sub", "normalize/mean")
        || !is(division, "Div", "normalize/deviation")
        || subtraction.input != [images, "mean"]
        || division.input != [&subtraction.output[0], "deviation"]
    {
        return None;
    }
    let (means, deviations) = (constant("mean")?, constant("deviation")?);
    if means.len() != deviations.len() {
        return None;
    }
    let pairs: Vec<(f32, f32)> = means.into_iter().zip(deviations).collect();
    let own = PixelNormalization::per_channel(&pairs).ok()?;
    Some((own, &division.output[0][..]))
}

/// What a graph says of its pixels.
pub(super) struct PixelRange {
    pub(super) normalize: PixelNormalization,
    pub(super) said: &'static str,
}

/// The range of pixels that the first of `layers` scales, where it is beyond doubt: normalised
/// pixels spread over some units.
pub(super) fn range(layers: &[Made], are_bytes: bool) -> Option<PixelRange> {
    let whole = PixelRange {
        normalize: PixelNormalization::uniform(0.0, 1.0 / 255.0),
        said: "it takes pixels from 0 to 255 and scales them itself",
    };
    let unit = PixelRange {
        normalize: PixelNormalization::uniform(0.0, 1.0),
        said: "it takes pixels from 0 to 1 and scales them itself",
    };
    if are_bytes {
        return Some(PixelRange { said: "it takes pixels from 0 to 255", ..whole });
    }
    let is_first = |made: &&Made| made.inputs == [None];
    let Step::Affine { scale, .. } = &layers.iter().find(is_first)?.step else { return None };
    let within = |low: f64, high: f64| scale.iter().all(|scale| (low..high).contains(scale));
    match () {
        () if within(1e-3, 0.1) => Some(whole),
        () if within(1.5, 100.0) => Some(unit),
        () => None,
    }
}
