//! Images and labels of a NumPy user: single `.npy` files.

use std::path::Path;

use super::{
    format::{
        array::{Array, Kind},
        npy,
    },
    read::open,
};
use crate::{Error, Result, config::Shape};

/// Images of an `.npy` file, [N, C, H, W].
#[derive(Clone, Debug, PartialEq)]
pub struct ImageArray {
    /// Shape of one image.
    pub shape: Shape,
    /// The numbers.
    pub values: ArrayValues,
}

/// Numbers of images.
#[derive(Clone, Debug, PartialEq)]
pub enum ArrayValues {
    /// Pixels, 0 to 255.
    Bytes(Vec<u8>),
    /// Floats.
    Floats(Vec<f32>),
}

impl ImageArray {
    /// Number of images.
    pub fn count(&self) -> usize {
        let numbers = match &self.values {
            ArrayValues::Bytes(bytes) => bytes.len(),
            ArrayValues::Floats(floats) => floats.len(),
        };
        numbers / (self.shape.elements() as usize).max(1)
    }
}

fn read(path: &Path) -> Result<Array> {
    let (input, length) = open(path, "a NumPy array (.npy)")?;
    npy::parse("the array", input, length).map_err(|reason| Error::format(path, reason))
}

/// The images in the file `path`.
///
/// # Errors
/// [`Error::Io`]; [`Error::Format`] for what is no array of bytes or finite floats with four axes.
pub fn read_images(path: &Path) -> Result<ImageArray> {
    let array = read(path)?;
    let wrong = |reason: String| Error::format(path, reason);
    let &[_, channels, height, width] = &array.sizes[..] else {
        return Err(wrong(format!(
            "has the sizes {:?}; images are [N, C, H, W], which NumPy's transpose(0, 3, 1, 2) \
             makes of [N, H, W, C]",
            array.sizes
        )));
    };
    let size = |size: usize| u32::try_from(size).ok().filter(|&size| size > 0);
    let shape = (|| Some(Shape::new(size(channels)?, size(height)?, size(width)?)))();
    let is_large = |shape: &Shape| {
        let [c, h, w] = <[u32; 3]>::from(*shape).map(u64::from);
        c.checked_mul(h).and_then(|n| n.checked_mul(w)).is_none_or(|n| n > 1 << 28)
    };
    let shape = shape.filter(|shape| !is_large(shape)).ok_or_else(|| {
        wrong(format!("has images of the sizes {:?}, which none can have", &array.sizes[1..]))
    })?;
    if array.sizes[0] == 0 {
        return Err(wrong("holds no images".into()));
    }
    let values = match array.kind {
        Kind::U8 => ArrayValues::Bytes(array.floats().map(|value| value as u8).collect()),
        Kind::F16 | Kind::F32 | Kind::F64 => ArrayValues::Floats(array.floats().collect()),
        _ => {
            return Err(wrong(
                "holds neither bytes (uint8) nor floats; NumPy's astype makes them".into(),
            ));
        }
    };
    if let ArrayValues::Floats(floats) = &values
        && let Some(place) = floats.iter().position(|value| !value.is_finite())
    {
        let image = place / shape.elements() as usize;
        return Err(wrong(format!("has a value in image {image} that is not finite")));
    }
    Ok(ImageArray { shape, values })
}

/// The labels in the file `path`.
///
/// # Errors
/// As [`read_images`], for what is no class number an image.
pub fn read_labels(path: &Path) -> Result<Vec<u32>> {
    read(path)?.labels().map_err(|reason| Error::format(path, reason))
}
