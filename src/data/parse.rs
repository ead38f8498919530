//! The formats of data sets on bytes in memory, for tests and fuzzers.

use std::path::Path;

use super::{
    content::Content,
    dataset::Split,
    format::{cifar, csv, npy, npz, picture, safetensors},
};
use crate::{Error, Result, config::Shape};

/// A format that is one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileFormat {
    /// A picture: PNG, JPEG, WebP, BMP or GIF.
    Picture,
    /// A batch of CIFAR-10.
    Cifar,
    /// An array of images of NumPy.
    Npy,
    /// An archive of arrays of NumPy.
    Npz,
    /// Images and labels as tensors.
    Safetensors,
    /// Labels and pixels as text.
    Csv,
}

/// Shape, images and labels in `bytes` (of a split set those for training; a picture or an array
/// has no labels); `path` only names them in errors.
///
/// # Errors
/// [`Error::Format`] or [`Error::Data`] for anything that is not such a file.
pub fn parse(format: FileFormat, path: &Path, bytes: &[u8]) -> Result<(Shape, Split)> {
    let wrong = |reason: String| Error::format(path, reason);
    let of = |content: Content| (content.train.shape, content.train.split);
    match format {
        FileFormat::Picture => {
            let header = picture::header(bytes).map_err(wrong)?;
            let pixels = picture::decode(bytes).map_err(wrong)?.pixels;
            let [height, width] = header.sides;
            let (channels, images) = match pixels {
                picture::Pixels::Grey(image) => (1, image.into_raw()),
                picture::Pixels::Color(image) => (3, image.into_raw()),
            };
            Ok((Shape::new(channels, height, width), Split { images, labels: Vec::new() }))
        }
        FileFormat::Cifar => {
            let mut split = Split::default();
            cifar::parse_batch(path, bytes, 1, 10, &mut split)?;
            Ok((cifar::SHAPE, split))
        }
        FileFormat::Npy => {
            let array = npy::parse("array", bytes, bytes.len() as u64).map_err(wrong)?;
            let images = array.images().map_err(wrong)?;
            let shape = images.shape;
            Ok((shape, Split { images: images.pixels().0, labels: Vec::new() }))
        }
        FileFormat::Npz => npz::parse(path, bytes).map(of),
        FileFormat::Safetensors => safetensors::parse(path, bytes).map(of),
        FileFormat::Csv => csv::parse(path, bytes).map(of),
    }
}
