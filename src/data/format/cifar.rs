//! The binary version of CIFAR-10 and CIFAR-100: records of one (or a coarse and a fine) label and
//! 3×32×32 bytes, red plane first (<https://www.cs.toronto.edu/~kriz/cifar.html>).

use std::path::{Path, PathBuf};

use crate::{
    Error, Result,
    config::Shape,
    data::{
        content::{Content, Part},
        dataset::Split,
    },
    files::read_bounded,
};

/// Shape of every image.
pub(in crate::data) const SHAPE: Shape = Shape::new(3, 32, 32);
/// Bytes of the pixels of an image.
const PIXELS: usize = 3072;
/// Largest file: a batch of 10,000 images has 31 MB, the training set of CIFAR-100 154 MB.
const MAX_FILE: u64 = 1 << 30;
/// Largest file of names.
const MAX_NAMES: u64 = 1 << 16;

/// The files of a set.
#[derive(Clone, Debug)]
pub(in crate::data) struct Cifar {
    folder: PathBuf,
    train: Vec<&'static str>,
    test: &'static str,
    names: &'static str,
    classes: u32,
    /// Bytes of labels in front of the pixels; the last one is used.
    label_bytes: usize,
}

const TEN: [&str; 5] = [
    "data_batch_1.bin",
    "data_batch_2.bin",
    "data_batch_3.bin",
    "data_batch_4.bin",
    "data_batch_5.bin",
];

impl Cifar {
    /// The set in `folder`, if one is there.
    ///
    /// # Errors
    /// [`Error::Data`] if some of its files are missing, or if it is the Python version.
    pub fn find(folder: &Path) -> Result<Option<Cifar>> {
        let nested = ["cifar-10-batches-bin", "cifar-100-binary"].map(|name| folder.join(name));
        let python = ["cifar-10-batches-py", "cifar-100-python"].map(|name| folder.join(name));
        let places = std::iter::once(folder).chain(nested.iter().chain(&python).map(|p| &**p));
        for place in places {
            let has = |name: &str| place.join(name).is_file();
            if has("batches.meta")
                || (has("data_batch_1") && !has("data_batch_1.bin"))
                || (has("meta") && has("train") && has("test"))
            {
                return Err(Error::Data(format!(
                    "{}: looks like CIFAR's Python version: pickles, which can run code when read, \
                     so they are not; get the binary version (cifar-10-binary.tar.gz, \
                     cifar-100-binary.tar.gz)",
                    place.display()
                )));
            }
            let of_ten = TEN.iter().chain(&["test_batch.bin"]).filter(|name| has(name)).count();
            let is_hundred = has("fine_label_names.txt") || has("coarse_label_names.txt");
            let of_hundred = ["train.bin", "test.bin"].iter().filter(|name| has(name)).count();
            let (train, test, names, classes, label_bytes) = if of_ten > 0 {
                (TEN.to_vec(), "test_batch.bin", "batches.meta.txt", 10, 1)
            } else if of_hundred > 0 && (is_hundred || of_hundred == 2) {
                (vec!["train.bin"], "test.bin", "fine_label_names.txt", 100, 2)
            } else {
                continue;
            };
            let missing: Vec<&str> =
                train.iter().chain([&test]).copied().filter(|name| !has(name)).collect();
            if !missing.is_empty() {
                return Err(Error::Data(format!(
                    "{}: a CIFAR-{classes} folder that lacks {}; unpack the archive again",
                    place.display(),
                    missing.join(", ")
                )));
            }
            let folder = place.to_path_buf();
            return Ok(Some(Cifar { folder, train, test, names, classes, label_bytes }));
        }
        Ok(None)
    }

    /// Reads all files.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Format`] for a file that is empty, not a whole number of records, or
    /// has a label beyond the classes.
    pub fn read(&self) -> Result<Content> {
        let mut train = Split::default();
        for name in &self.train {
            self.batch(name, &mut train)?;
        }
        let mut test = Split::default();
        self.batch(self.test, &mut test)?;
        let part = |split, name: &str| Part {
            shape: SHAPE,
            split,
            files: Vec::new(),
            name: format!("{name} images of {}", self.folder.display()),
        };
        Ok(Content {
            train: part(train, "training"),
            test: Some(part(test, "test")),
            class_names: self.class_names()?,
            least_classes: self.classes,
            ..Content::default()
        })
    }

    fn batch(&self, name: &str, split: &mut Split) -> Result<()> {
        let path = self.folder.join(name);
        let bytes = read_bounded(&path, MAX_FILE)?;
        parse_batch(&path, &bytes, self.label_bytes, self.classes, split)
    }

    /// The names of the classes, if their file is there and has as many.
    fn class_names(&self) -> Result<Option<Vec<String>>> {
        let path = self.folder.join(self.names);
        if !path.is_file() {
            return Ok(None);
        }
        let bytes = read_bounded(&path, MAX_NAMES)?;
        let text = String::from_utf8_lossy(&bytes);
        let names: Vec<String> =
            text.lines().map(str::trim).filter(|name| !name.is_empty()).map(Into::into).collect();
        if names.len() != self.classes as usize {
            let reason = format!("has {} names of {} classes", names.len(), self.classes);
            return Err(Error::format(path, reason));
        }
        Ok(Some(names))
    }
}

/// Appends the records of a file to `split`; `path` only names it in errors.
pub(in crate::data) fn parse_batch(
    path: &Path,
    bytes: &[u8],
    label_bytes: usize,
    classes: u32,
    split: &mut Split,
) -> Result<()> {
    let record = label_bytes + PIXELS;
    if bytes.is_empty() {
        return Err(Error::format(path, "is empty; unpack the archive again"));
    }
    if !bytes.len().is_multiple_of(record) {
        let reason = format!(
            "has {} bytes, which is not a whole number of records of {record}; unpack the archive \
             again",
            bytes.len()
        );
        return Err(Error::format(path, reason));
    }
    split.images.reserve_exact(bytes.len() / record * PIXELS);
    for (index, record) in bytes.chunks_exact(record).enumerate() {
        let label = u32::from(record[label_bytes - 1]);
        if label >= classes {
            let reason = format!(
                "label {label} of record {index} is not one of the {classes} classes (0 to {})",
                classes - 1
            );
            return Err(Error::format(path, reason));
        }
        split.labels.push(label);
        split.images.extend_from_slice(&record[label_bytes..]);
    }
    Ok(())
}
