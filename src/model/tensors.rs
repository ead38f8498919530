//! Named tensors in the safetensors format, read with bounds and written atomically.

use std::{borrow::Cow, collections::HashMap, path::Path};

use safetensors::{Dtype, SafeTensors, View};

use crate::{
    Error, Result,
    files::{Staged, create_folder_of, read_bounded, stage},
    graph::{Parameter, ParameterRole},
};

/// Largest tensor file in bytes: the largest network that saliq trains, with its optimiser's state.
pub(super) const FILE_LIMIT: u64 = 4 << 30;

/// Values of a tensor to be written.
#[derive(Clone, Debug, PartialEq)]
pub enum TensorValues {
    /// 32-bit floats.
    F32(Vec<f32>),
    /// 64-bit integers.
    I64(Vec<i64>),
    /// 32-bit words.
    U32(Vec<u32>),
    /// Bytes.
    U8(Vec<u8>),
}

impl TensorValues {
    /// The values as they are stored.
    pub fn bytes(&self) -> &[u8] {
        match self {
            TensorValues::F32(values) => bytemuck::cast_slice(values),
            TensorValues::I64(values) => bytemuck::cast_slice(values),
            TensorValues::U32(values) => bytemuck::cast_slice(values),
            TensorValues::U8(values) => values,
        }
    }
}

/// A named tensor to be written.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    name: String,
    shape: Vec<usize>,
    values: TensorValues,
}

impl Tensor {
    /// A tensor of floats.
    pub fn f32(name: &str, shape: &[usize], values: Vec<f32>) -> Tensor {
        Tensor { name: name.into(), shape: shape.into(), values: TensorValues::F32(values) }
    }

    /// A tensor of integers.
    pub fn i64(name: &str, shape: &[usize], values: Vec<i64>) -> Tensor {
        Tensor { name: name.into(), shape: shape.into(), values: TensorValues::I64(values) }
    }

    /// A tensor of words.
    pub fn u32(name: &str, shape: &[usize], values: Vec<u32>) -> Tensor {
        Tensor { name: name.into(), shape: shape.into(), values: TensorValues::U32(values) }
    }

    /// A tensor of bytes.
    pub fn u8(name: &str, shape: &[usize], values: Vec<u8>) -> Tensor {
        Tensor { name: name.into(), shape: shape.into(), values: TensorValues::U8(values) }
    }

    /// `parameter` of the flat array `parameters`.
    pub(super) fn of(parameter: &Parameter, parameters: &[f32]) -> Tensor {
        let values = &parameters[parameter.range()];
        match parameter.role {
            // PyTorch uses 64-bit integers for counts.
            ParameterRole::BatchCount => {
                let counts = values.iter().map(|&count| count as i64).collect();
                Tensor::i64(&parameter.name, &parameter.shape, counts)
            }
            _ => Tensor::f32(&parameter.name, &parameter.shape, values.to_vec()),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its shape.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Its values.
    pub fn values(&self) -> &TensorValues {
        &self.values
    }
}

impl View for &Tensor {
    fn dtype(&self) -> Dtype {
        match self.values {
            TensorValues::F32(_) => Dtype::F32,
            TensorValues::I64(_) => Dtype::I64,
            TensorValues::U32(_) => Dtype::U32,
            TensorValues::U8(_) => Dtype::U8,
        }
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        self.values.bytes().into()
    }

    fn data_len(&self) -> usize {
        self.data().len()
    }
}

/// A tensor that was read.
#[derive(Clone, Debug)]
pub struct StoredTensor {
    /// Its shape.
    pub shape: Vec<usize>,
    name: String,
    dtype: Dtype,
    bytes: Vec<u8>,
}

impl StoredTensor {
    /// The values as f32, of floats of any width; F64 is rounded.
    ///
    /// # Errors
    /// [`Error::Format`] for other types.
    pub fn to_f32(&self, path: &Path) -> Result<Vec<f32>> {
        match self.dtype {
            Dtype::F32 => Ok(bytemuck::pod_collect_to_vec(&self.bytes)),
            Dtype::F64 => Ok(bytemuck::pod_collect_to_vec::<u8, f64>(&self.bytes)
                .into_iter()
                .map(|value| value as f32)
                .collect()),
            Dtype::F16 => Ok(self.halves(|bits| half::f16::from_bits(bits).to_f32())),
            Dtype::BF16 => Ok(self.halves(|bits| half::bf16::from_bits(bits).to_f32())),
            other => Err(Error::format(
                path,
                format!(
                    "{} is {other:?}; saliq reads F16, BF16, F32 and F64: convert it",
                    self.name
                ),
            )),
        }
    }

    fn halves(&self, value: impl Fn(u16) -> f32) -> Vec<f32> {
        let words = self.bytes.chunks_exact(2);
        words.map(|word| value(u16::from_le_bytes([word[0], word[1]]))).collect()
    }

    /// The values as 64-bit integers.
    ///
    /// # Errors
    /// [`Error::Format`] for other types.
    pub fn to_i64(&self, path: &Path) -> Result<Vec<i64>> {
        match self.dtype {
            Dtype::I64 => Ok(bytemuck::pod_collect_to_vec(&self.bytes)),
            other => {
                Err(Error::format(path, format!("{} is {other:?} where I64 is needed", self.name)))
            }
        }
    }

    /// The values as bytes.
    ///
    /// # Errors
    /// [`Error::Format`] for other types.
    pub fn to_u8(&self, path: &Path) -> Result<Vec<u8>> {
        match self.dtype {
            Dtype::U8 => Ok(self.bytes.clone()),
            other => {
                Err(Error::format(path, format!("{} is {other:?} where U8 is needed", self.name)))
            }
        }
    }

    /// The values as words.
    ///
    /// # Errors
    /// [`Error::Format`] for other types.
    pub fn to_u32(&self, path: &Path) -> Result<Vec<u32>> {
        match self.dtype {
            Dtype::U32 => Ok(bytemuck::pod_collect_to_vec(&self.bytes)),
            other => {
                Err(Error::format(path, format!("{} is {other:?} where U32 is needed", self.name)))
            }
        }
    }
}

/// A tensor file in memory.
#[derive(Default)]
pub struct TensorFile {
    tensors: HashMap<String, StoredTensor>,
    metadata: HashMap<String, String>,
}

/// Formats of `torch.save`: a ZIP archive, or formerly a bare pickle.
fn is_pickle(bytes: &[u8]) -> bool {
    // The header of a safetensors file begins with a brace, whatever its length.
    let may_be = bytes.get(8).is_some_and(|&byte| byte != b'{');
    may_be && (bytes.starts_with(b"PK\x03\x04") || matches!(bytes, [0x80, 2..=5, ..]))
}

impl TensorFile {
    /// Reads and checks a whole file; offsets, shapes and sizes are verified before they are used.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Format`].
    pub fn read(path: &Path) -> Result<TensorFile> {
        let bytes = read_bounded(path, FILE_LIMIT)?;
        TensorFile::parse(path, &bytes)
    }

    /// As [`Self::read`], from memory; `path` only names it in messages.
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<TensorFile> {
        let bad = |error: safetensors::SafeTensorError| {
            Error::format(path, format!("is not a valid safetensors file: {error}"))
        };
        if is_pickle(bytes) {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let to = Path::new(&*name).with_extension("safetensors");
            let how = format!(
                "convert its state_dict in Python: `import torch, safetensors.torch; \
                 safetensors.torch.save_file(torch.load({name:?}, weights_only=True), {to:?})` \
                 (docs/from-pytorch.md)"
            );
            return Err(Error::format(
                path,
                format!("is a file of torch.save (a pickle), which could run code; {how}"),
            ));
        }
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(bad)?;
        let parsed = SafeTensors::deserialize(bytes).map_err(bad)?;
        let tensors = parsed
            .iter()
            .map(|(name, view)| {
                let tensor = StoredTensor {
                    shape: view.shape().to_vec(),
                    name: name.into(),
                    dtype: view.dtype(),
                    bytes: view.data().to_vec(),
                };
                (name.to_string(), tensor)
            })
            .collect();
        Ok(TensorFile { tensors, metadata: header.metadata().clone().unwrap_or_default() })
    }

    /// Whether `bytes` begin as a safetensors file does: with the length of a header in braces.
    pub(super) fn may_be(bytes: &[u8]) -> bool {
        let length = bytes.first_chunk().map(|&length| u64::from_le_bytes(length));
        length.is_some_and(|length| length <= bytes.len() as u64) && bytes.get(8) == Some(&b'{')
    }

    /// The tensor `name`.
    pub fn tensor(&self, name: &str) -> Option<&StoredTensor> {
        self.tensors.get(name)
    }

    /// Names of the tensors, in arbitrary order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Gives every tensor the name that `renamed` makes of its own.
    ///
    /// # Errors
    /// A name that two tensors would have; nothing is changed then.
    pub(super) fn rename(
        &mut self,
        renamed: impl Fn(&str) -> String,
    ) -> std::result::Result<(), String> {
        let mut names = std::collections::HashSet::new();
        if let Some(twice) = self.names().map(&renamed).find(|name| !names.insert(name.clone())) {
            return Err(twice);
        }
        let old = std::mem::take(&mut self.tensors);
        self.tensors = old
            .into_iter()
            .map(|(name, tensor)| {
                let name = renamed(&name);
                (name.clone(), StoredTensor { name, ..tensor })
            })
            .collect();
        Ok(())
    }

    /// Number of tensors.
    pub fn len(&self) -> usize {
        self.tensors.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.tensors.is_empty()
    }

    /// The metadata under `key`.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.metadata.get(key).map(String::as_str)
    }

    /// Adds `tensor`, or replaces the one with its name.
    pub(super) fn insert(&mut self, tensor: Tensor) {
        let view = &tensor;
        let stored = StoredTensor {
            shape: tensor.shape.clone(),
            name: tensor.name.clone(),
            dtype: view.dtype(),
            bytes: view.data().into_owned(),
        };
        self.tensors.insert(tensor.name.clone(), stored);
    }

    /// Writes `tensors` with `metadata`, atomically. Equal content gives equal bytes.
    pub fn write(path: &Path, tensors: &[Tensor], metadata: &[(&str, String)]) -> Result<()> {
        create_folder_of(path)?;
        TensorFile::stage(path, tensors, metadata)?.commit()
    }

    /// As [`Self::write`], up to the point at which the file gets its name.
    pub fn stage(path: &Path, tensors: &[Tensor], metadata: &[(&str, String)]) -> Result<Staged> {
        let bytes = TensorFile::to_bytes(tensors, metadata)
            .map_err(|error| Error::format(path, error.to_string()))?;
        stage(path, &bytes)
    }

    /// The file's bytes.
    ///
    /// # Errors
    /// [`Error::Model`] if the file cannot be made.
    pub fn to_bytes(tensors: &[Tensor], metadata: &[(&str, String)]) -> Result<Vec<u8>> {
        let metadata: HashMap<String, String> =
            metadata.iter().map(|(key, value)| (key.to_string(), value.clone())).collect();
        let views = tensors.iter().map(|tensor| (tensor.name.as_str(), tensor));
        safetensors::serialize(views, Some(metadata))
            .map_err(|error| Error::Model(format!("cannot be written: {error}")))
    }
}
