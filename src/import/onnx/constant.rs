//! Constants of a graph: read from the file with bounds, or computed from other constants.

use std::{
    io::{Read, Seek, SeekFrom},
    path::{Component, Path, PathBuf},
};

use super::{
    Fallible,
    schema::{DataType, TensorProto},
};

/// Most elements of all constants of a graph together: as many as a network may have parameters,
/// and some.
const MOST_ELEMENTS: usize = 1 << 29;
/// Most elements of a constant that a node makes out of less.
const MOST_GROWN: usize = 1 << 16;

/// Stands for the size of the batch in integer constants where the graph leaves it free.
pub(super) const BATCH: i64 = i64::MIN + 0x5a5a;

/// Elements of a constant.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Values {
    /// Floats of any width.
    Real(Vec<f32>),
    /// Integers and truth values.
    Whole(Vec<i64>),
}

/// A constant in row-major order.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Constant {
    /// Its shape; empty for a scalar.
    pub(super) shape: Vec<usize>,
    /// As many as the shape says.
    pub(super) values: Values,
    /// Lowest and highest integer that an element could be, where that is known.
    pub(super) range: Option<[i64; 2]>,
    /// The integers that the floats were made of.
    pub(super) levels: Option<Levels>,
}

/// What floats on levels are made of: (level − zero point)·scale.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Levels {
    /// Lowest and highest level that could be, less the zero point.
    pub(super) range: [i64; 2],
    /// A scale, or one a slice along the first axis.
    pub(super) scales: Vec<f32>,
}

impl Levels {
    /// The bits of symmetric levels that `weight`, of which each scale has an equal part, is on.
    pub(super) fn bits(&self, weight: &[f32]) -> Option<u32> {
        let part = (weight.len() / self.scales.len()).max(1);
        let highest = |bits: u32| (1i64 << (bits - 1)) - 1;
        let [lowest, most] = self.range;
        let bits = (2..=8).find(|&bits| most <= highest(bits) && lowest >= -highest(bits) - 1)?;
        let on_level = |(rows, scale): (&[f32], &f32)| {
            rows.iter().all(|value| (value / scale).round_ties_even() as i64 >= -highest(bits))
        };
        weight.chunks(part).zip(&self.scales).all(on_level).then_some(bits)
    }
}

/// Elements of a tensor of `shape`; none where there are too many to count.
pub(crate) fn element_count(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1usize, |product, &size| product.checked_mul(size))
}

/// What is left of the elements that constants may have.
pub(super) struct Budget(usize);

impl Default for Budget {
    fn default() -> Budget {
        Budget(MOST_ELEMENTS)
    }
}

impl Budget {
    /// Takes the elements of `shape`.
    pub(super) fn take(&mut self, shape: &[usize]) -> Fallible<usize> {
        let count = element_count(shape).filter(|&count| count <= self.0);
        let count = count.ok_or_else(|| format!("a constant of shape {shape:?} is too large"))?;
        self.0 -= count;
        Ok(count)
    }

    /// As [`Self::take`], for constants that are made out of less.
    pub(super) fn grow(&mut self, shape: &[usize]) -> Fallible<usize> {
        match element_count(shape) {
            Some(..=MOST_GROWN) => self.take(shape),
            _ => Err(format!("a computed constant of shape {shape:?} is too large")),
        }
    }
}

impl Constant {
    pub(super) fn new(shape: Vec<usize>, values: Values) -> Constant {
        Constant { shape, values, range: None, levels: None }
    }

    pub(super) fn whole(shape: Vec<usize>, values: Vec<i64>) -> Constant {
        Constant::new(shape, Values::Whole(values))
    }

    pub(super) fn real(shape: Vec<usize>, values: Vec<f32>) -> Constant {
        Constant::new(shape, Values::Real(values))
    }

    pub(super) fn count(&self) -> usize {
        match &self.values {
            Values::Real(values) => values.len(),
            Values::Whole(values) => values.len(),
        }
    }

    /// Its integers.
    pub(super) fn integers(&self) -> Fallible<&[i64]> {
        match &self.values {
            Values::Whole(values) => Ok(values),
            Values::Real(_) => Err("floats stand where integers are needed".into()),
        }
    }

    /// Its floats.
    pub(super) fn floats(&self) -> Fallible<&[f32]> {
        match &self.values {
            Values::Real(values) => Ok(values),
            Values::Whole(_) => Err("integers stand where floats are needed".into()),
        }
    }

    /// Its only number.
    pub(super) fn scalar(&self) -> Fallible<f32> {
        match &self.values {
            Values::Real(values) if values.len() == 1 => Ok(values[0]),
            Values::Whole(values) if values.len() == 1 => Ok(values[0] as f32),
            _ => Err(format!("a tensor of shape {:?} stands where a number is needed", self.shape)),
        }
    }

    /// Its numbers as f64.
    pub(super) fn numbers(&self) -> Vec<f64> {
        match &self.values {
            Values::Real(values) => values.iter().map(|&value| f64::from(value)).collect(),
            Values::Whole(values) => values.iter().map(|&value| value as f64).collect(),
        }
    }

    /// A constant of `shape` with the elements at `places`.
    pub(super) fn picked(
        &self,
        shape: Vec<usize>,
        places: impl Iterator<Item = usize>,
    ) -> Constant {
        let values = match &self.values {
            Values::Real(values) => Values::Real(places.map(|place| values[place]).collect()),
            Values::Whole(values) => Values::Whole(places.map(|place| values[place]).collect()),
        };
        Constant { range: self.range, ..Constant::new(shape, values) }
    }

    /// The same elements in another shape.
    pub(super) fn shaped(&self, shape: Vec<usize>) -> Constant {
        Constant { range: self.range, ..Constant::new(shape, self.values.clone()) }
    }
}

/// The files beside a model that its constants may be in.
pub(super) struct Beside<'a> {
    /// The model file; none where only its bytes are known.
    pub(super) model: Option<&'a Path>,
}

impl Beside<'_> {
    /// The bytes that `proto` says to be in another file: exactly `expected` of them.
    fn read(&self, proto: &TensorProto, expected: usize) -> Fallible<Vec<u8>> {
        let entry = |key: &str| {
            let found = proto.external_data.iter().find(|entry| entry.key() == key);
            found.map(|entry| entry.value())
        };
        let number = |key: &str| match entry(key) {
            None => Ok(None),
            Some(text) => text
                .parse::<u64>()
                .map(Some)
                .map_err(|_| format!("its external data has {key} {text:?}")),
        };
        let location = entry("location").unwrap_or_default();
        let (offset, length) = (number("offset")?.unwrap_or(0), number("length")?);
        if length.is_some_and(|length| length != expected as u64) {
            return Err(format!(
                "its external data has {} bytes where its shape needs {expected}",
                length.unwrap_or_default()
            ));
        }
        let path = self.locate(location)?;
        let bad = |error: std::io::Error| format!("its data in {location} cannot be read: {error}");
        let mut file = std::fs::File::open(&path).map_err(bad)?;
        let size = file.metadata().map_err(bad)?.len();
        if offset.checked_add(expected as u64).is_none_or(|end| end > size) {
            return Err(format!("{location} ends before its data, at {size} bytes"));
        }
        file.seek(SeekFrom::Start(offset)).map_err(bad)?;
        let mut bytes = vec![0; expected];
        file.read_exact(&mut bytes).map_err(bad)?;
        Ok(bytes)
    }

    /// The file `location`, if it is a regular file beside the model.
    fn locate(&self, location: &str) -> Fallible<PathBuf> {
        let Some(model) = self.model else {
            return Err(format!("its data is in another file, {location}"));
        };
        let outside = || {
            format!(
                "its data is said to be in {location:?}; only files in the model's folder are \
                     read"
            )
        };
        let own = Path::new(location);
        let is_plain = |part: Component<'_>| matches!(part, Component::Normal(_));
        if location.is_empty() || !own.components().all(is_plain) {
            return Err(outside());
        }
        let parent = model.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = parent.unwrap_or(Path::new("."));
        let missing = |error| format!("its data in {location} cannot be read: {error}");
        let path = folder.join(own).canonicalize().map_err(missing)?;
        if !path.starts_with(folder.canonicalize().map_err(missing)?) {
            return Err(outside());
        }
        if model.canonicalize().is_ok_and(|model| model == path) {
            return Err("its data is said to be in the model file itself".into());
        }
        if !path.is_file() {
            return Err(format!("its data is in {location}, which is not a regular file"));
        }
        Ok(path)
    }
}

/// The constant `proto`.
pub(super) fn read(
    proto: &TensorProto,
    beside: &Beside<'_>,
    budget: &mut Budget,
) -> Fallible<Constant> {
    let data_type = DataType::try_from(proto.data_type.unwrap_or_default());
    let number = proto.data_type.unwrap_or_default();
    let unknown = || format!("its element type {number} is not supported");
    let data_type = data_type.map_err(|_| unknown())?;
    let bits = width(data_type).ok_or_else(unknown)?;
    let sizes = proto.dims.iter().map(|&size| usize::try_from(size).ok().filter(|&size| size > 0));
    let shape: Option<Vec<usize>> = sizes.collect();
    let impossible = || format!("its shape is {:?}", proto.dims);
    let shape = shape.ok_or_else(impossible)?;
    let count = budget.take(&shape)?;
    let bytes = count.checked_mul(bits).ok_or_else(impossible)?.div_ceil(8);
    let misfit =
        |found: usize, what: &str| format!("{found} {what} for a shape of {:?}", proto.dims);
    let external;
    let raw = match proto.data_location.unwrap_or_default() {
        0 => proto.raw_data.as_deref(),
        1 => {
            external = beside.read(proto, bytes)?;
            Some(&external[..])
        }
        other => return Err(format!("its data is at a place of kind {other}")),
    };
    let values = match raw {
        Some(raw) if raw.len() != bytes => return Err(misfit(raw.len(), "bytes")),
        Some(raw) => from_bytes(data_type, raw, count),
        None => typed(proto, data_type, count).map_err(|found| misfit(found, "values"))?,
    };
    Ok(Constant { range: range(data_type), ..Constant::new(shape, values) })
}

/// Lowest and highest integer of types of levels.
fn range(data_type: DataType) -> Option<[i64; 2]> {
    use DataType::*;
    Some(match data_type {
        Int2 => [-2, 1],
        Uint2 => [0, 3],
        Int4 => [-8, 7],
        Uint4 => [0, 15],
        Int8 => [-128, 127],
        Uint8 => [0, 255],
        Int16 => [-32_768, 32_767],
        Uint16 => [0, 65_535],
        _ => return None,
    })
}

/// Bits of an element.
fn width(data_type: DataType) -> Option<usize> {
    Some(match data_type {
        DataType::Uint2 | DataType::Int2 => 2,
        DataType::Uint4 | DataType::Int4 => 4,
        DataType::Uint8 | DataType::Int8 | DataType::Bool => 8,
        DataType::Uint16 | DataType::Int16 | DataType::Float16 | DataType::Bfloat16 => 16,
        DataType::Float | DataType::Int32 | DataType::Uint32 => 32,
        DataType::Double | DataType::Int64 | DataType::Uint64 => 64,
        DataType::Undefined | DataType::String => return None,
    })
}

fn half(bits: u16) -> f32 {
    half::f16::from_bits(bits).to_f32()
}

fn brain(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

fn from_bytes(data_type: DataType, raw: &[u8], count: usize) -> Values {
    fn of<const N: usize, T>(raw: &[u8], number: impl Fn([u8; N]) -> T) -> Vec<T> {
        raw.as_chunks().0.iter().map(|&bytes| number(bytes)).collect()
    }
    let packed = |bits: usize, is_signed: bool| {
        let sign = if is_signed { 1i64 << (bits - 1) } else { 0 };
        let mask = (1i64 << bits) - 1;
        let at = |place: usize| {
            let byte = i64::from(raw[place * bits / 8]);
            (((byte >> (place * bits % 8)) & mask) ^ sign) - sign
        };
        Values::Whole((0..count).map(at).collect())
    };
    use DataType::*;
    match data_type {
        Float => Values::Real(of(raw, f32::from_le_bytes)),
        Double => Values::Real(of(raw, |bytes| f64::from_le_bytes(bytes) as f32)),
        Float16 => Values::Real(of(raw, |bytes| half(u16::from_le_bytes(bytes)))),
        Bfloat16 => Values::Real(of(raw, |bytes| brain(u16::from_le_bytes(bytes)))),
        Int8 => Values::Whole(raw.iter().map(|&byte| i64::from(byte as i8)).collect()),
        Uint8 | Bool => Values::Whole(raw.iter().map(|&byte| i64::from(byte)).collect()),
        Int16 => Values::Whole(of(raw, |bytes| i64::from(i16::from_le_bytes(bytes)))),
        Uint16 => Values::Whole(of(raw, |bytes| i64::from(u16::from_le_bytes(bytes)))),
        Int32 => Values::Whole(of(raw, |bytes| i64::from(i32::from_le_bytes(bytes)))),
        Uint32 => Values::Whole(of(raw, |bytes| i64::from(u32::from_le_bytes(bytes)))),
        Int64 | Uint64 => Values::Whole(of(raw, i64::from_le_bytes)),
        Int4 => packed(4, true),
        Uint4 => packed(4, false),
        Int2 => packed(2, true),
        Uint2 => packed(2, false),
        Undefined | String => Values::Whole(Vec::new()),
    }
}

/// The elements of the field that `data_type` has in place of bytes, or how many there are.
fn typed(proto: &TensorProto, data_type: DataType, count: usize) -> Result<Values, usize> {
    use DataType::*;
    let small = || proto.int32_data.iter().map(|&value| i64::from(value)).collect::<Vec<i64>>();
    let values = match data_type {
        Float => Values::Real(proto.float_data.clone()),
        Double => Values::Real(proto.double_data.iter().map(|&value| value as f32).collect()),
        Float16 => Values::Real(proto.int32_data.iter().map(|&bits| half(bits as u16)).collect()),
        Bfloat16 => Values::Real(proto.int32_data.iter().map(|&bits| brain(bits as u16)).collect()),
        Int64 => Values::Whole(proto.int64_data.clone()),
        Uint32 | Uint64 => {
            Values::Whole(proto.uint64_data.iter().map(|&value| value as i64).collect())
        }
        Int4 | Uint4 | Int2 | Uint2 => {
            let bytes: Vec<u8> = proto.int32_data.iter().map(|&value| value as u8).collect();
            let bits = width(data_type).unwrap_or(4);
            if bytes.len() != (count * bits).div_ceil(8) {
                return Err(bytes.len());
            }
            from_bytes(data_type, &bytes, count)
        }
        _ => Values::Whole(small()),
    };
    let found = match &values {
        Values::Real(values) => values.len(),
        Values::Whole(values) => values.len(),
    };
    if found == count { Ok(values) } else { Err(found) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(data_type: DataType, dims: &[i64], raw: &[u8]) -> TensorProto {
        TensorProto {
            dims: dims.to_vec(),
            data_type: Some(data_type as i32),
            raw_data: Some(raw.to_vec()),
            ..TensorProto::default()
        }
    }

    fn values(proto: &TensorProto) -> Fallible<Values> {
        let constant = read(proto, &Beside { model: None }, &mut Budget::default())?;
        Ok(constant.values)
    }

    #[test]
    fn elements_of_every_type_are_read() {
        let real = |values: &[f32]| Ok(Values::Real(values.to_vec()));
        let whole = |values: &[i64]| Ok(Values::Whole(values.to_vec()));
        let f16 = [0x00, 0x3c, 0x00, 0xc0];
        assert_eq!(values(&tensor(DataType::Float16, &[2], &f16)), real(&[1.0, -2.0]));
        let bf16 = [0x80, 0x3f, 0x00, 0xc0];
        assert_eq!(values(&tensor(DataType::Bfloat16, &[2], &bf16)), real(&[1.0, -2.0]));
        assert_eq!(values(&tensor(DataType::Double, &[], &0.5f64.to_le_bytes())), real(&[0.5]));
        assert_eq!(values(&tensor(DataType::Int2, &[3], &[0b00_10_01])), whole(&[1, -2, 0]));
        assert_eq!(values(&tensor(DataType::Int4, &[3], &[0xf1, 0x08])), whole(&[1, -1, -8]));
        assert_eq!(values(&tensor(DataType::Uint4, &[1], &[0x0f])), whole(&[15]));
        assert_eq!(values(&tensor(DataType::Int8, &[2], &[0xff, 1])), whole(&[-1, 1]));
        let proto = TensorProto {
            dims: vec![2],
            data_type: Some(DataType::Float as i32),
            float_data: vec![0.5, 2.0],
            ..TensorProto::default()
        };
        assert_eq!(values(&proto), real(&[0.5, 2.0]));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for (dims, bytes) in [
            (&[3i64][..], 8),
            (&[0], 0),
            (&[-2], 8),
            (&[1 << 32, 1 << 32], 0),
            (&[1 << 40], 8),
            (&[2], 7),
        ] {
            let proto = tensor(DataType::Float, dims, &vec![0; bytes]);
            assert!(values(&proto).is_err(), "{dims:?}");
        }
        let odd = TensorProto { data_type: Some(99), ..tensor(DataType::Float, &[1], &[0; 4]) };
        assert!(values(&odd).unwrap_err().contains("element type 99"));
    }

    #[test]
    fn data_outside_of_the_folder_is_not_read() {
        use super::super::schema::StringStringEntryProto;
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("model");
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(root.path().join("secret"), [1; 8]).unwrap();
        std::fs::write(folder.join("weights"), [0, 0, 0, 0, 0, 0, 128, 63]).unwrap();
        std::fs::write(folder.join("model.onnx"), [1; 8]).unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink("../secret", folder.join("link")).unwrap();
        let model = folder.join("model.onnx");
        let of = |location: &str, offset: &str| {
            let entry = |key: &str, value: &str| StringStringEntryProto {
                key: Some(key.into()),
                value: Some(value.into()),
            };
            let proto = TensorProto {
                raw_data: None,
                data_location: Some(1),
                external_data: vec![entry("location", location), entry("offset", offset)],
                ..tensor(DataType::Float, &[1], &[])
            };
            read(&proto, &Beside { model: Some(&model) }, &mut Budget::default())
        };
        assert_eq!(of("weights", "4").unwrap().floats(), Ok(&[1.0][..]));
        for (location, offset) in [
            ("../secret", "0"),
            ("link", "0"),
            ("/etc/passwd", "0"),
            ("", "0"),
            (".", "0"),
            ("model.onnx", "0"),
            ("weights", "5"),
            ("weights", "18446744073709551615"),
            ("weights", "-1"),
            ("missing", "0"),
        ] {
            assert!(of(location, offset).is_err(), "{location} {offset}");
        }
    }
}
