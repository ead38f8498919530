//! Constant tensors of an ONNX file, and back.

use crate::{
    Error, Result,
    config::Shape,
    import::onnx::{
        element_count,
        schema::{DataType, TensorProto},
    },
};

/// Elements of a tensor: numbers, or integers of a type.
#[derive(Clone, Debug, PartialEq)]
pub enum Elements {
    /// Floats.
    Real(Vec<f64>),
    /// Integers.
    Whole(DataType, Vec<i64>),
}

/// A tensor as it is read.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Its shape; empty for a scalar.
    pub shape: Vec<usize>,
    /// Row-major.
    pub elements: Elements,
}

impl Tensor {
    pub(super) fn real(&self) -> Result<&[f64]> {
        match &self.elements {
            Elements::Real(values) => Ok(values),
            Elements::Whole(..) => Err(bad("integers where floats are needed")),
        }
    }

    pub(super) fn whole(&self) -> Result<(DataType, &[i64])> {
        match &self.elements {
            Elements::Whole(data_type, values) => Ok((*data_type, values)),
            Elements::Real(_) => Err(bad("floats where integers are needed")),
        }
    }

    pub(super) fn scalar(&self) -> Result<f64> {
        match self.real()? {
            &[value] => Ok(value),
            _ => Err(bad("a tensor where a scalar is needed")),
        }
    }

    /// Its value for every element of `images`: a scalar's, or that of the element's channel.
    pub(super) fn broadcast(&self, images: &Tensor) -> Result<Vec<f64>> {
        let (count, values) = (images.real()?.len(), self.real()?);
        if let &[value] = values {
            return Ok(vec![value; count]);
        }
        match (images.image_shape(), &self.shape[..]) {
            (Ok((_, shape)), &[channels, 1, 1]) if channels == shape.channels as usize => {
                Ok((0..count).map(|at| values[shape.channel_of(at)]).collect())
            }
            _ => Err(bad("a tensor where a scalar, or a value a channel, is needed")),
        }
    }

    pub(super) fn image_shape(&self) -> Result<(usize, Shape)> {
        match self.shape[..] {
            [images, channels, height, width] => {
                Ok((images, Shape::new(channels as u32, height as u32, width as u32)))
            }
            _ => Err(bad(format!("a shape of {:?} where images are needed", self.shape))),
        }
    }

    pub(super) fn of_images(images: usize, shape: Shape, values: Vec<f64>) -> Tensor {
        let [channels, height, width] = <[u32; 3]>::from(shape).map(|size| size as usize);
        Tensor { shape: vec![images, channels, height, width], elements: Elements::Real(values) }
    }

    /// `function` of every number.
    pub(super) fn map(&self, function: impl Fn(f64) -> f64) -> Result<Tensor> {
        Ok(self.with(self.real()?.iter().map(|&x| function(x)).collect()))
    }

    pub(super) fn with(&self, values: Vec<f64>) -> Tensor {
        Tensor { shape: self.shape.clone(), elements: Elements::Real(values) }
    }
}

pub(super) fn bad(reason: impl std::fmt::Display) -> Error {
    Error::Model(format!("ONNX graph: {reason}"))
}

/// A constant of floats.
pub fn floats(name: &str, shape: &[usize], values: &[f32]) -> TensorProto {
    tensor(
        name,
        shape,
        DataType::Float,
        values.iter().flat_map(|value| value.to_le_bytes()).collect(),
    )
}

/// A constant of integers of `data_type`, each within its [`range`].
pub fn integers(name: &str, shape: &[usize], data_type: DataType, values: &[i32]) -> TensorProto {
    let bytes = match data_type {
        DataType::Int4 | DataType::Uint4 => values
            .chunks(2)
            .map(|pair| (pair[0] & 15 | (pair.get(1).copied().unwrap_or(0) & 15) << 4) as u8)
            .collect(),
        DataType::Int2 | DataType::Uint2 => values
            .chunks(4)
            .map(|own| (0..).zip(own).fold(0, |byte, (at, value)| byte | (value & 3) << (2 * at)))
            .map(|byte: i32| byte as u8)
            .collect(),
        DataType::Int16 => values.iter().flat_map(|&value| (value as i16).to_le_bytes()).collect(),
        DataType::Int32 => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        DataType::Int64 => {
            values.iter().flat_map(|&value| i64::from(value).to_le_bytes()).collect()
        }
        _ => values.iter().map(|&value| value as u8).collect(),
    };
    tensor(name, shape, data_type, bytes)
}

fn tensor(name: &str, shape: &[usize], data_type: DataType, bytes: Vec<u8>) -> TensorProto {
    TensorProto {
        dims: shape.iter().map(|&size| size as i64).collect(),
        data_type: Some(data_type as i32),
        name: Some(name.into()),
        raw_data: Some(bytes),
        ..TensorProto::default()
    }
}

/// Lowest and highest integer of a type; none for floats.
pub fn range(data_type: DataType) -> Option<(i64, i64)> {
    match data_type {
        DataType::Int2 => Some((-2, 1)),
        DataType::Uint2 => Some((0, 3)),
        DataType::Int4 => Some((-8, 7)),
        DataType::Uint4 => Some((0, 15)),
        DataType::Int8 => Some((-128, 127)),
        DataType::Uint8 => Some((0, 255)),
        DataType::Int16 => Some((-32_768, 32_767)),
        DataType::Int32 => Some((i32::MIN.into(), i32::MAX.into())),
        DataType::Int64 => Some((i64::MIN, i64::MAX)),
        _ => None,
    }
}

/// The elements of a constant, checked against the shape.
///
/// # Errors
/// [`Error::Model`] for a type that saliq does not write, or a shape that the bytes do not
/// fill.
pub fn read(proto: &TensorProto) -> Result<Tensor> {
    let bad = |reason: String| Error::Model(format!("ONNX tensor {}: {reason}", proto.name()));
    let bytes = proto.raw_data();
    let shape: Option<Vec<usize>> =
        proto.dims.iter().map(|&size| usize::try_from(size).ok()).collect();
    let shape = shape.ok_or_else(|| bad(format!("a shape of {:?}", proto.dims)))?;
    let count = element_count(&shape).filter(|&count| count > 0);
    let count = count.ok_or_else(|| bad(format!("a shape of {shape:?}")))?;
    let data_type = proto.data_type();
    let expected = match data_type {
        DataType::Int2 | DataType::Uint2 => Some(count.div_ceil(4)),
        DataType::Int4 | DataType::Uint4 => Some(count.div_ceil(2)),
        DataType::Int8 | DataType::Uint8 => Some(count),
        DataType::Int16 => count.checked_mul(2),
        DataType::Float | DataType::Int32 => count.checked_mul(4),
        DataType::Int64 => count.checked_mul(8),
        _ => {
            return Err(bad("an element type that saliq does not write".into()));
        }
    };
    if expected != Some(bytes.len()) {
        return Err(bad(format!("{} bytes for a shape of {shape:?}", bytes.len())));
    }
    let whole = |values: Vec<i64>| Elements::Whole(data_type, values);
    let elements = match data_type {
        DataType::Float => Elements::Real(
            bytes.as_chunks().0.iter().map(|&value| f64::from(f32::from_le_bytes(value))).collect(),
        ),
        DataType::Int16 => whole(
            bytes.as_chunks().0.iter().map(|&value| i64::from(i16::from_le_bytes(value))).collect(),
        ),
        DataType::Int32 => whole(
            bytes.as_chunks().0.iter().map(|&value| i64::from(i32::from_le_bytes(value))).collect(),
        ),
        DataType::Int64 => {
            whole(bytes.as_chunks().0.iter().map(|&value| i64::from_le_bytes(value)).collect())
        }
        DataType::Int8 => whole(bytes.iter().map(|&value| i64::from(value as i8)).collect()),
        DataType::Uint8 => whole(bytes.iter().map(|&value| i64::from(value)).collect()),
        DataType::Int2 | DataType::Uint2 => {
            let sign = if data_type == DataType::Int2 { 2 } else { 0 };
            let parts =
                bytes.iter().flat_map(|&byte| [0, 2, 4, 6].map(|at| i64::from(byte >> at & 3)));
            whole(parts.map(|part| (part ^ sign) - sign).take(count).collect())
        }
        DataType::Int4 | DataType::Uint4 => {
            let sign = if data_type == DataType::Int4 { 8 } else { 0 };
            let halves =
                bytes.iter().flat_map(|&byte| [i64::from(byte & 15), i64::from(byte >> 4)]);
            whole(halves.map(|half| (half ^ sign) - sign).take(count).collect())
        }
        _ => whole(Vec::new()),
    };
    Ok(Tensor { shape, elements })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_of_every_width_survive() {
        for (data_type, values) in [
            (DataType::Int2, vec![-2, 1, -1, 0, 1]),
            (DataType::Uint2, vec![0, 3, 2]),
            (DataType::Int4, vec![-8, 7, -1, 0, 3]),
            (DataType::Uint4, vec![0, 15, 8]),
            (DataType::Int8, vec![-128, 127, -1]),
            (DataType::Uint8, vec![0, 255, 128]),
            (DataType::Int16, vec![-32_768, 32_767, -255]),
            (DataType::Int32, vec![i32::MIN, i32::MAX, -255]),
            (DataType::Int64, vec![-1, 7]),
        ] {
            let found = read(&integers("x", &[values.len()], data_type, &values)).unwrap();
            assert_eq!(
                found.elements,
                Elements::Whole(data_type, values.iter().map(|&value| i64::from(value)).collect())
            );
        }
        assert_eq!(integers("x", &[3], DataType::Int2, &[1, -2, 0]).raw_data(), [0b00_10_01]);
        assert_eq!(integers("x", &[3], DataType::Int4, &[1, -1, 2]).raw_data(), [0xf1, 0x02]);
        let found = read(&floats("x", &[1, 2], &[0.5, -3.0])).unwrap();
        assert_eq!(found, Tensor { shape: vec![1, 2], elements: Elements::Real(vec![0.5, -3.0]) });
    }

    #[test]
    fn shapes_that_the_bytes_do_not_fill_are_refused() {
        let good = floats("x", &[2], &[1.0, 2.0]);
        for dims in [vec![3], vec![-2], vec![i64::MAX, i64::MAX], vec![2, 0], vec![]] {
            assert!(read(&TensorProto { dims, ..good.clone() }).is_err());
        }
        assert!(read(&TensorProto { data_type: Some(99), ..good.clone() }).is_err());
        assert!(read(&TensorProto { raw_data: None, ..good }).is_err());
    }
}
