//! Formats of data sets, one file each: how a set is recognised, and how it is read.

pub(super) mod array;
mod cache;
pub(super) mod cifar;
pub(super) mod csv;
mod folder;
pub mod idx;
mod idx_folder;
mod idx_set;
pub mod masks;
mod named_arrays;
mod names;
pub(super) mod npy;
pub(super) mod npz;
pub(super) mod picture;
mod planes;
pub(crate) mod png;
pub(super) mod safetensors;

use std::{
    borrow::Cow,
    io::Read,
    path::{Path, PathBuf},
};

use super::{catalog::Entry, content::Content, parallel::Progress, read::open};
use crate::{Error, Result, config::ReadOptions};
use cifar::Cifar;
use csv::CsvFiles;
use idx_folder::IdxFolder;
use idx_set::{SetFile, idx_part};

/// The four files of `entry` with these contents.
pub(super) fn in_memory(entry: &Entry, contents: [Cow<'static, [u8]>; 4]) -> [SetFile; 4] {
    let folder = Path::new("built-in").join(entry.name);
    let mut names = entry.files.iter().map(|file| folder.join(file.name));
    contents.map(|content| SetFile::in_memory(names.next().unwrap_or_default(), content))
}

/// Training and test images of four IDX files, with each label below `classes` if that is known.
pub(super) fn idx_content(files: &[SetFile; 4], classes: Option<u32>) -> Result<Content> {
    let [train_images, train_labels, test_images, test_labels] = files;
    let train = idx_part(train_images, train_labels, classes)?;
    let test = Some(idx_part(test_images, test_labels, classes)?);
    Ok(Content { train, test, least_classes: 2, ..Content::default() })
}

/// The files of a data set, by their format.
#[derive(Clone, Debug)]
pub(super) enum Files {
    /// Training images, training labels, test images, test labels.
    Idx([SetFile; 4]),
    /// IDX files under names of other sets than MNIST.
    IdxFolder(Box<IdxFolder>),
    /// CIFAR's binary version.
    Cifar(Cifar),
    /// NumPy's archive.
    Npz(PathBuf),
    /// A folder of NumPy's arrays.
    Npy(PathBuf),
    /// Tensors.
    Safetensors(PathBuf),
    /// Text.
    Csv(CsvFiles),
    /// A folder of pictures.
    Pictures(PathBuf),
}

impl Files {
    /// The four IDX files of a named set in `folder`, or the names of the missing ones.
    pub fn in_folder(folder: &Path) -> Result<Files, Vec<&'static str>> {
        Ok(Files::Idx(idx::find_files(folder)?.map(SetFile::at)))
    }

    /// The embedded files of `entry`, if it has any.
    pub fn built_in(entry: &Entry) -> Option<Files> {
        entry.embedded.map(|contents| Files::Idx(in_memory(entry, contents.map(Cow::from))))
    }

    /// The data set of any format at `path`, a folder or a file.
    ///
    /// # Errors
    /// [`Error::Data`] that says what is there instead, or what is missing.
    pub fn recognise(path: &Path) -> Result<Files> {
        if path.is_dir() { Files::of_folder(path) } else { Files::of_file(path) }
    }

    fn of_folder(folder: &Path) -> Result<Files> {
        if let Some(files) = IdxFolder::find(folder)? {
            return Ok(Files::IdxFolder(Box::new(files)));
        }
        if let Some(cifar) = Cifar::find(folder)? {
            return Ok(Files::Cifar(cifar));
        }
        if !npy::files(folder)?.is_empty() {
            return Ok(Files::Npy(folder.into()));
        }
        let items = names::list(folder)?;
        if items.iter().any(|item| item.is_folder) {
            return Ok(Files::Pictures(folder.into()));
        }
        let with = |extensions: &[&str]| -> Vec<PathBuf> {
            let ends = |name: &str| extensions.iter().any(|ending| name.ends_with(ending));
            let found = items.iter().filter(|item| ends(&item.lower()));
            found.map(|item| item.path.clone()).collect()
        };
        let tables = with(&[".csv", ".csv.gz", ".tsv", ".tsv.gz"]);
        let named = |part: &str| {
            tables.iter().find(|path| {
                path.file_name()
                    .is_some_and(|name| name.to_string_lossy().to_lowercase().contains(part))
            })
        };
        if let (Some(train), test) = (named("train"), named("test")) {
            return Ok(Files::Csv(CsvFiles { train: train.clone(), test: test.cloned() }));
        }
        let singles = [tables, with(&[".npz", ".safetensors"])].concat();
        if let [single] = &singles[..] {
            return Files::of_file(single);
        }
        if items.iter().any(|item| item.lower() == "train_x.bin") {
            return Err(Error::Data(format!(
                "{}: looks like STL-10's binary files, which are not read; save them as images and \
                 labels with numpy.savez, or as a folder of pictures",
                folder.display()
            )));
        }
        Ok(Files::Pictures(folder.into()))
    }

    fn of_file(path: &Path) -> Result<Files> {
        let mut head = Vec::new();
        let (mut input, _) = open(path, "a data set")?;
        input.by_ref().take(512).read_to_end(&mut head).map_err(Error::io("cannot read", path))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        let plain_name = name.strip_suffix(".gz").unwrap_or(&name);
        let is_table = [".csv", ".tsv", ".txt"].iter().any(|ending| plain_name.ends_with(ending));
        let is_tensors = head.get(8) == Some(&b'{') || plain_name.ends_with(".safetensors");
        let refused = |reason: &str| Err(Error::Data(format!("{}: {reason}", path.display())));
        match &head[..] {
            [] => refused("is empty"),
            [b'P', b'K', 3 | 5 | 7, ..] => Ok(Files::Npz(path.into())),
            [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => {
                let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty());
                Ok(Files::Npy(folder.unwrap_or(Path::new(".")).into()))
            }
            [0x80, 2..=5, ..] => refused(names::PICKLE),
            [b'M', b'A', b'T', b'L', b'A', b'B', ..] => refused(
                "is a MATLAB file, which is not read; save its arrays with numpy.savez \
                 (scipy.io.loadmat reads it)",
            ),
            [0x89, b'H', b'D', b'F', ..] => refused(
                "is an HDF5 file (also MATLAB 7.3, Keras), which is not read; save its arrays with \
                 numpy.savez (h5py reads it)",
            ),
            [b'P', b'A', b'R', b'1', ..] => {
                refused("is a Parquet file, which is not read; save its arrays with numpy.savez")
            }
            [0, 0, 8..=14, 1..=4, ..] => refused(
                "is one of the four IDX files of a data set; name the folder that holds them",
            ),
            _ if is_table => Ok(Files::Csv(CsvFiles { train: path.into(), test: None })),
            _ if is_tensors => Ok(Files::Safetensors(path.into())),
            _ if head.get(257..262) == Some(b"ustar") => {
                refused("is a tar archive; unpack it and name the folder")
            }
            [0x1f, 0x8b, ..] => refused("is a gzip file; unpack it and name what it holds"),
            _ if names::Use::of(path) == names::Use::Picture => refused(
                "is a picture; a data set is a folder: train/CLASS/* and test/CLASS/*, or CLASS/*",
            ),
            _ => refused(
                "is a file in no format of data sets; read are .npz, .npy, .csv, .safetensors, and \
                 folders of pictures, IDX or CIFAR files",
            ),
        }
    }

    /// Reads the whole set. `classes` is the number of classes, if it is known.
    ///
    /// # Errors
    /// Errors of the format.
    pub fn read(
        &self,
        classes: Option<u32>,
        options: &ReadOptions,
        progress: &mut Progress<'_>,
    ) -> Result<Content> {
        match self {
            Files::Idx(files) => idx_content(files, classes),
            Files::IdxFolder(files) => files.read(),
            Files::Cifar(cifar) => cifar.read(),
            Files::Npz(path) => npz::read(path),
            Files::Npy(folder) => npy::read_folder(folder),
            Files::Safetensors(path) => safetensors::read(path),
            Files::Csv(files) => files.read(),
            Files::Pictures(folder) => folder::read(folder, options, progress),
        }
    }

    /// Whether [`Self::read`] converts the images as its options say; otherwise the content is to
    /// be converted.
    pub fn converts(&self) -> bool {
        matches!(self, Files::Pictures(_))
    }
}

#[cfg(test)]
mod tests;
