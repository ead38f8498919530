//! Arrays of numbers as images and labels, whatever file they come from.

use half::{bf16, f16};

use crate::config::Shape;

/// Largest number of bytes of an array, 8 GiB.
pub(super) const MAX_BYTES: u64 = 8 << 30;
/// Largest label.
pub(in crate::data) const MAX_LABEL: u32 = 65_535;

/// Types of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::data) enum Kind {
    Bool,
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
    F16,
    Bf16,
    F32,
    F64,
}

impl Kind {
    /// Bytes of a number.
    pub fn bytes(self) -> usize {
        match self {
            Kind::Bool | Kind::U8 | Kind::I8 => 1,
            Kind::U16 | Kind::I16 | Kind::F16 | Kind::Bf16 => 2,
            Kind::U32 | Kind::I32 | Kind::F32 => 4,
            Kind::U64 | Kind::I64 | Kind::F64 => 8,
        }
    }

    fn is_float(self) -> bool {
        matches!(self, Kind::F16 | Kind::Bf16 | Kind::F32 | Kind::F64)
    }
}

/// An array as a file has it.
#[derive(Clone, Debug)]
pub(in crate::data) struct Array {
    /// Its name in messages.
    pub name: String,
    pub kind: Kind,
    pub is_big_endian: bool,
    /// Whether the first axis varies fastest.
    pub is_fortran: bool,
    /// Whether images have their channels first, whatever their sizes look like.
    pub is_channels_first: bool,
    pub sizes: Vec<usize>,
    /// The numbers, as many as `sizes` say.
    pub bytes: Vec<u8>,
}

/// The number of elements of an array with these sizes, if its bytes are at most [`MAX_BYTES`].
pub(super) fn checked_bytes(sizes: &[usize], kind: Kind) -> Result<u64, String> {
    let bytes = sizes
        .iter()
        .try_fold(kind.bytes() as u64, |product, &size| product.checked_mul(size as u64))
        .filter(|&bytes| bytes <= MAX_BYTES && usize::try_from(bytes).is_ok());
    bytes.ok_or_else(|| {
        format!("declares {sizes:?} numbers of {} bytes; at most 8 GiB are read", kind.bytes())
    })
}

impl Array {
    /// The numbers as f64 in C order, which holds all but 64-bit integers beyond 2^53 exactly; they
    /// are out of range for pixels and labels anyway.
    fn numbers(&self) -> impl Iterator<Item = f64> + '_ {
        macro_rules! number {
            ($kind:ty, $bytes:expr) => {{
                let mut bytes = [0; size_of::<$kind>()];
                bytes.copy_from_slice($bytes);
                if self.is_big_endian {
                    bytes.reverse();
                }
                <$kind>::from_le_bytes(bytes)
            }};
        }
        let width = self.kind.bytes();
        self.order().map(move |index| {
            let bytes = &self.bytes[index * width..(index + 1) * width];
            match self.kind {
                Kind::Bool => f64::from(u8::from(bytes[0] != 0)),
                Kind::U8 => bytes[0].into(),
                Kind::I8 => f64::from(bytes[0] as i8),
                Kind::U16 => number!(u16, bytes).into(),
                Kind::I16 => number!(i16, bytes).into(),
                Kind::U32 => number!(u32, bytes).into(),
                Kind::I32 => number!(i32, bytes).into(),
                Kind::U64 => number!(u64, bytes) as f64,
                Kind::I64 => number!(i64, bytes) as f64,
                Kind::F16 => number!(f16, bytes).into(),
                Kind::Bf16 => number!(bf16, bytes).into(),
                Kind::F32 => number!(f32, bytes).into(),
                Kind::F64 => number!(f64, bytes),
            }
        })
    }

    /// The numbers as f32 in C order.
    pub fn floats(&self) -> impl Iterator<Item = f32> + '_ {
        self.numbers().map(|number| number as f32)
    }

    /// The places of the numbers in C order.
    fn order(&self) -> impl Iterator<Item = usize> + '_ {
        let count: usize = self.sizes.iter().product();
        let mut strides = vec![1; self.sizes.len()];
        if self.is_fortran {
            for axis in 1..self.sizes.len() {
                strides[axis] = strides[axis - 1] * self.sizes[axis - 1];
            }
        } else {
            for axis in (1..self.sizes.len()).rev() {
                strides[axis - 1] = strides[axis] * self.sizes[axis];
            }
        }
        let is_plain = !self.is_fortran;
        (0..count).map(move |index| {
            if is_plain {
                return index;
            }
            let (mut rest, mut place) = (index, 0);
            for axis in (0..self.sizes.len()).rev() {
                place += rest % self.sizes[axis] * strides[axis];
                rest /= self.sizes[axis];
            }
            place
        })
    }

    /// The labels.
    ///
    /// # Errors
    /// What is not a label.
    pub fn labels(&self) -> Result<Vec<u32>, String> {
        match self.sizes[..] {
            [_] | [_, 1] => {}
            [_, columns] => {
                return Err(format!(
                    "{}: labels of {columns} columns (one-hot, or several labels an image); one \
                     class number an image is needed: in NumPy, {}.argmax(1) of one-hot labels",
                    self.name, self.name
                ));
            }
            _ => {
                return Err(format!(
                    "{}: sizes {:?}; labels are one number an image",
                    self.name, self.sizes
                ));
            }
        }
        let label = |(index, value): (usize, f64)| {
            if value >= 0.0 && value <= f64::from(MAX_LABEL) && value.fract() == 0.0 {
                return Ok(value as u32);
            }
            Err(format!(
                "{}: label {value} of image {index} is not a class number (0 to {MAX_LABEL})",
                self.name
            ))
        };
        self.numbers().enumerate().map(label).collect()
    }

    /// The array as images.
    ///
    /// # Errors
    /// What is not an image.
    pub fn images(self) -> Result<Images, String> {
        let (shape, is_last) = self.layout()?;
        let (most, is_unit) = self.range()?;
        Ok(Images { array: self, shape, is_last, most, is_unit })
    }

    /// The shape of an image, and whether its channels are last.
    fn layout(&self) -> Result<(Shape, bool), String> {
        let sizes = &self.sizes;
        if sizes.contains(&0) {
            return Err(format!("{}: is empty, sizes {sizes:?}", self.name));
        }
        if sizes.iter().skip(1).any(|&size| size > 1 << 16) {
            return Err(format!(
                "{}: sizes {sizes:?}; an image's sides are below 65,537",
                self.name
            ));
        }
        let is_channels = |size: usize| size == 1 || size == 3;
        let shape = |[c, h, w]: [usize; 3]| Shape::new(c as u32, h as u32, w as u32);
        match sizes[..] {
            [_, channels, height, width] if self.is_channels_first && channels <= 64 => {
                Ok((shape([channels, height, width]), false))
            }
            [_, height, width] => Ok((shape([1, height, width]), false)),
            [_, 1, 1, 1] => Ok((shape([1, 1, 1]), false)),
            [_, first, middle, last] => match (is_channels(first), is_channels(last)) {
                (true, false) => Ok((shape([first, middle, last]), false)),
                (false, true) => Ok((shape([last, first, middle]), true)),
                (true, true) => Err(format!(
                    "{}: sizes {sizes:?}: channels may be first ({first}) or last ({last}); \
                     a folder of pictures leaves no doubt, nor do N×H×W arrays of one channel",
                    self.name
                )),
                (false, false) => Err(format!(
                    "{}: sizes {sizes:?}: neither first ({first}) nor last ({last}) size is 1 or 3 \
                     channels; leave out what is no colour (alpha), or take channels one by one",
                    self.name
                )),
            },
            [_, values] => Err(format!(
                "{}: {values} values an image, without rows and columns; in NumPy, \
                 {}.reshape(-1, HEIGHT, WIDTH)",
                self.name, self.name
            )),
            _ => {
                Err(format!("{}: sizes {sizes:?}; images are N×H×W, N×C×H×W or N×H×W×C", self.name))
            }
        }
    }

    /// Whether the numbers are bytes in C order.
    fn is_bytes(&self) -> bool {
        self.kind == Kind::U8 && !self.is_fortran
    }

    /// The highest pixel, and whether pixels are from 0 to 1, not whole numbers up to 255. Bytes
    /// are not looked at.
    ///
    /// # Errors
    /// Numbers that are neither.
    fn range(&self) -> Result<(f64, bool), String> {
        if self.is_bytes() {
            return Ok((255.0, false));
        }
        if self.kind == Kind::Bf16 {
            return Err(format!(
                "{}: BF16 has 8 bits, too few for 256 values of a pixel; convert to U8 or F32",
                self.name
            ));
        }
        let (mut least, mut most, mut is_whole) = (f64::INFINITY, f64::NEG_INFINITY, true);
        for (index, value) in self.numbers().enumerate() {
            if !value.is_finite() {
                return Err(format!("{}: value {index} is {value}", self.name));
            }
            (least, most) = (least.min(value), most.max(value));
            is_whole &= value.fract() == 0.0;
        }
        let is_unit = (self.kind.is_float() || self.kind == Kind::Bool) && most <= 1.0;
        if least < 0.0 || most > 255.0 || !(is_unit || is_whole) {
            let range = if self.kind.is_float() {
                "floats in 0..1 (or whole numbers 0..255)"
            } else {
                "0..255"
            };
            return Err(format!(
                "{}: pixels from {least} to {most}; {range} are read: undo a normalisation before, \
                 since saliq normalises images itself",
                self.name
            ));
        }
        Ok((most, is_unit))
    }

    /// The pixels as bytes in C order, and what is odd about them.
    fn pixels(&mut self, is_unit: bool) -> (Vec<u8>, Option<String>) {
        if self.is_bytes() {
            return (std::mem::take(&mut self.bytes), None);
        }
        if !is_unit {
            return (self.numbers().map(|value| value as u8).collect(), None);
        }
        let mut is_between = false;
        let pixels = self
            .numbers()
            .map(|value| {
                let level = value * 255.0;
                is_between |= (level - level.round()).abs() > 0.2;
                level.round() as u8
            })
            .collect();
        let said = is_between
            .then(|| format!("{}: floats are rounded to the nearest of 256 levels", self.name));
        (pixels, said)
    }
}

/// An array that holds images.
pub(in crate::data) struct Images {
    array: Array,
    pub shape: Shape,
    is_last: bool,
    most: f64,
    is_unit: bool,
}

impl Images {
    /// The pixels as bytes, channels first, and what is odd about them.
    pub fn pixels(mut self) -> (Vec<u8>, Option<String>) {
        let (values, said) = self.array.pixels(self.is_unit);
        if !self.is_last || self.shape.channels == 1 {
            return (values, said);
        }
        let (channels, pixels) = (self.shape.channels as usize, self.shape.pixels() as usize);
        let mut planes = vec![0; values.len()];
        let image = channels * pixels;
        for (from, to) in values.chunks_exact(image).zip(planes.chunks_exact_mut(image)) {
            for (pixel, colors) in from.chunks_exact(channels).enumerate() {
                for (channel, &color) in colors.iter().enumerate() {
                    to[channel * pixels + pixel] = color;
                }
            }
        }
        (planes, said)
    }

    /// Checks that the floats of all `parts` have one scale: 1 is white or the darkest grey. Black
    /// images have any.
    ///
    /// # Errors
    /// Which two disagree.
    pub fn check_scale(parts: &[&Images]) -> Result<(), String> {
        let floats = || parts.iter().filter(|part| part.array.kind.is_float());
        let unit = floats().find(|part| part.is_unit && part.most > 0.0);
        let (Some(unit), Some(levels)) = (unit, floats().find(|part| !part.is_unit)) else {
            return Ok(());
        };
        let rounded = |value: f64| (value * 1000.0).round() / 1000.0;
        Err(format!(
            "{} has pixels up to {}, {} up to {}: floats are 0..1 in all parts, or 0..255 in all; \
             scale them alike",
            unit.array.name,
            rounded(unit.most),
            levels.array.name,
            rounded(levels.most)
        ))
    }
}
