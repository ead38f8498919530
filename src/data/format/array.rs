//! Arrays of numbers as images and labels, whatever file they come from.

use half::{bf16, f16};

use crate::{
    config::Shape,
    data::{
        content::{Content, Part},
        dataset::Split,
    },
};

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

    /// The images as bytes, channels first, with their shape and what is odd about them.
    ///
    /// # Errors
    /// What is not an image.
    pub fn images(mut self) -> Result<(Shape, Vec<u8>, Vec<String>), String> {
        let (shape, is_last) = self.layout()?;
        let (mut values, warnings) = self.pixels()?;
        if is_last && shape.channels > 1 {
            let (channels, pixels) = (shape.channels as usize, shape.pixels() as usize);
            let mut planes = vec![0; values.len()];
            let image = channels * pixels;
            for (from, to) in values.chunks_exact(image).zip(planes.chunks_exact_mut(image)) {
                for (pixel, colors) in from.chunks_exact(channels).enumerate() {
                    for (channel, &color) in colors.iter().enumerate() {
                        to[channel * pixels + pixel] = color;
                    }
                }
            }
            values = planes;
        }
        Ok((shape, values, warnings))
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

    /// The values as bytes in C order: integers from 0 to 255, or floats from 0 to 1.
    fn pixels(&mut self) -> Result<(Vec<u8>, Vec<String>), String> {
        if self.kind == Kind::U8 && !self.is_fortran {
            return Ok((std::mem::take(&mut self.bytes), Vec::new()));
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
        if !is_unit {
            let mut warnings = Vec::new();
            if most <= 1.0 {
                warnings.push(format!("{}: no pixel is above 1 of 255", self.name));
            }
            return Ok((self.numbers().map(|value| value as u8).collect(), warnings));
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
        Ok((pixels, said.into_iter().collect()))
    }
}

/// Which arrays make up which part of a data set.
const NAMES: [[&[&str]; 2]; 4] = [
    [
        &["x_train", "train_images", "train_x", "images_train"],
        &["y_train", "train_labels", "train_y", "labels_train"],
    ],
    [
        &["x_test", "test_images", "test_x", "images_test"],
        &["y_test", "test_labels", "test_y", "labels_test"],
    ],
    [
        &["x_val", "val_images", "val_x", "images_val", "x_valid", "validation_images"],
        &["y_val", "val_labels", "val_y", "labels_val", "y_valid", "validation_labels"],
    ],
    [&["images", "x"], &["labels", "y", "targets"]],
];

/// The content of a file (or of a folder of files) of arrays with `names`; `read` reads one array.
///
/// # Errors
/// What is missing or does not fit; `suffix` is what the name of an array gets in a message, such
/// as `.npy`.
pub(super) fn content<E>(
    names: &[String],
    suffix: &str,
    mut read: impl FnMut(&str) -> Result<Array, E>,
    wrong: impl Fn(String) -> E,
) -> Result<Content, E> {
    let find = |known: &[&str]| {
        known.iter().find_map(|&known| names.iter().find(|name| name.eq_ignore_ascii_case(known)))
    };
    let mut parts: [Option<Part>; 4] = Default::default();
    let mut warnings = Vec::new();
    for (part, [images, labels]) in parts.iter_mut().zip(NAMES) {
        let (found_images, found_labels) = (find(images), find(labels));
        let (images, labels) = match (found_images, found_labels) {
            (Some(images), Some(labels)) => (images, labels),
            (None, None) => continue,
            (Some(found), None) => {
                let pair = images.iter().position(|known| found.eq_ignore_ascii_case(known));
                let wanted = labels[pair.unwrap_or(0).min(labels.len() - 1)];
                return Err(wrong(format!("has {found}{suffix} and no {wanted}{suffix} for it")));
            }
            (None, Some(found)) => {
                let pair = labels.iter().position(|known| found.eq_ignore_ascii_case(known));
                let wanted = images[pair.unwrap_or(0).min(images.len() - 1)];
                return Err(wrong(format!("has {found}{suffix} and no {wanted}{suffix} for it")));
            }
        };
        let labels = read(labels)?;
        let name = images.clone();
        let images = read(images)?;
        let count = images.sizes.first().copied().unwrap_or(0);
        let (shape, pixels, said) = images.images().map_err(&wrong)?;
        let values = labels.labels().map_err(&wrong)?;
        if values.len() != count {
            return Err(wrong(format!(
                "{} has {} labels for the {count} images of {name}",
                labels.name,
                values.len()
            )));
        }
        warnings.extend(said);
        let split = Split { images: pixels, labels: values };
        *part = Some(Part { shape, split, files: Vec::new(), name: format!("{name}{suffix}") });
    }
    let [train, test, validation, whole] = parts;
    if let (Some(_), Some(_)) = (&train, &whole) {
        return Err(wrong("has both images and images by split; one of them is needed".into()));
    }
    let is_whole = train.is_none();
    let Some(train) = train.or(whole) else {
        let mut known = names.to_vec();
        known.sort();
        known.truncate(8);
        let here = if known.is_empty() { "nothing".into() } else { known.join(", ") };
        return Err(wrong(format!(
            "holds {here}; a data set has images and labels, x_train, y_train, x_test and y_test \
             (Keras), or train_images, train_labels, test_images and test_labels (MedMNIST)"
        )));
    };
    if is_whole && test.is_some() {
        return Err(wrong("has test images and no training images (x_train, y_train)".into()));
    }
    // Validation images alone are the test set.
    let (test, validation) = if test.is_none() { (validation, None) } else { (test, validation) };
    if let Some(validation) = &validation {
        warnings.push(format!(
            "{}: its {} images serve for validation only, and are not used without",
            validation.name,
            validation.split.len()
        ));
    }
    Ok(Content { train, test, validation, warnings, ..Content::default() })
}
