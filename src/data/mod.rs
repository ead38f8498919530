//! Data sets: the named ones (MNIST, Fashion-MNIST and their embedded mini versions) and folders of
//! four IDX files.
//!
//! [`load`] finds and reads a set, [`list`] says what there is, [`fetch()`] downloads. Pixels stay
//! bytes; normalisation is left to the GPU, with the constants of [`Dataset::normalization`].

pub mod catalog;
mod fetch;
mod gzip;
pub mod idx;
mod locate;
mod published;

use std::path::Path;

pub use fetch::{Progress, fetch};
pub use locate::{DATA_DIR_VARIABLE, Listing, list};

use self::{catalog::Entry, idx::Images, locate::Places};
use crate::{
    Error, Result,
    config::{Normalize, Shape},
    digest::sha256_hex,
};

/// Smallest standard deviation that pixels are divided by: one of the 255 steps between black and
/// white.
const SMALLEST_DEVIATION: f64 = 1.0 / 255.0;

/// Images with their labels, in file order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Split {
    /// N·C·H·W bytes, 0 to 255, in N, C, H, W order.
    pub images: Vec<u8>,
    /// N labels, each below the data set's number of classes.
    pub labels: Vec<u8>,
}

/// SHA-256 of all images and labels of `splits`, in hexadecimal: what tells data of one name from
/// others.
pub fn digest<'a>(splits: impl IntoIterator<Item = &'a Split>) -> String {
    sha256_hex(splits.into_iter().flat_map(|split| [&split.images[..], &split.labels[..]]))
}

impl Split {
    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are no images.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The label of every image, as pictures take them that may also show images without one.
    pub fn known_labels(&self) -> Vec<Option<u32>> {
        self.labels.iter().map(|&label| Some(u32::from(label))).collect()
    }

    /// Keeps the first `n` images of `shape` (all, if there are fewer).
    pub fn truncate(&mut self, n: usize, shape: Shape) {
        if n < self.len() {
            self.labels.truncate(n);
            self.images.truncate(n * shape.elements() as usize);
        }
    }

    /// The images of `shape` with these numbers, in this order; numbers beyond the end are left
    /// out.
    pub fn select(&self, indices: &[usize], shape: Shape) -> Split {
        let size = shape.elements() as usize;
        let mut selected = Split::default();
        for &index in indices.iter().filter(|&&index| index < self.len()) {
            selected.labels.push(self.labels[index]);
            selected.images.extend_from_slice(&self.images[index * size..(index + 1) * size]);
        }
        selected
    }

    /// Removes the last `share` (0..1, rounded to whole images) of the images of `shape` and
    /// returns it: the validation set of `--validation-share`. At least one image stays; a share
    /// that is not above 0 takes none.
    pub fn split_off_tail(&mut self, share: f32, shape: Shape) -> Split {
        let keep = self.len() - tail_length(self.len(), share);
        Split {
            labels: self.labels.split_off(keep),
            images: self.images.split_off(keep * shape.elements() as usize),
        }
    }
}

/// How many of `count` images [`Split::split_off_tail`] takes for `share`.
pub fn tail_length(count: usize, share: f32) -> usize {
    // `as` turns NaN and negative numbers into 0.
    ((count as f64 * f64::from(share)).round() as usize).min(count.saturating_sub(1))
}

/// A data set in memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    /// The known name, or that of the folder.
    pub name: String,
    /// Shape of every image.
    pub shape: Shape,
    /// Number of classes, at least 2.
    pub classes: u32,
    /// A name for each class.
    pub class_names: Vec<String>,
    /// Training images.
    pub train: Split,
    /// Test images.
    pub test: Split,
    /// Published mean and standard deviation of the training pixels in 0..1, where there are such.
    pub published_normalization: Option<(f32, f32)>,
    /// The folder it was read from, or `built-in`.
    pub source: String,
}

impl Dataset {
    /// What the defaults of a run depend on.
    pub fn info(&self) -> crate::config::DatasetInfo {
        crate::config::DatasetInfo {
            name: self.name.clone(),
            shape: self.shape,
            classes: self.classes,
        }
    }

    /// Classes without any image, in either split: gaps in the labels.
    pub fn empty_classes(&self) -> Vec<u32> {
        let mut is_there = vec![false; self.classes as usize];
        for &label in self.train.labels.iter().chain(&self.test.labels) {
            if let Some(there) = is_there.get_mut(usize::from(label)) {
                *there = true;
            }
        }
        (0..self.classes).filter(|&class| !is_there[class as usize]).collect()
    }

    /// Whether it is one of the sets known by name, not a folder that may be called alike.
    pub fn is_named(&self) -> bool {
        self.published_normalization.is_some()
    }

    /// Mean and standard deviation to normalise pixels in 0..1 with: (p − mean) / deviation.
    ///
    /// [`Normalize::Standard`] is the published pair, else the one of all training pixels; the
    /// deviation is then at least 1/255, so that images of one colour do not divide by zero.
    pub fn normalization(&self, mode: &Normalize) -> (f32, f32) {
        let standard = || {
            self.published_normalization.unwrap_or_else(|| mean_and_deviation(&self.train.images))
        };
        mode.constants().unwrap_or_else(standard)
    }
}

/// Mean and (population) standard deviation of pixels scaled to 0..1, by way of their histogram:
/// exact up to the last step.
fn mean_and_deviation(pixels: &[u8]) -> (f32, f32) {
    let mut histogram = [0u64; 256];
    for &pixel in pixels {
        histogram[usize::from(pixel)] += 1;
    }
    let expectation = |f: &dyn Fn(f64) -> f64| {
        let sum: f64 = histogram
            .iter()
            .enumerate()
            .map(|(value, &count)| count as f64 * f(value as f64 / 255.0))
            .sum();
        sum / pixels.len().max(1) as f64
    };
    let mean = expectation(&|p| p);
    let variance = expectation(&|p| (p - mean).powi(2));
    (mean as f32, variance.sqrt().max(SMALLEST_DEVIATION) as f32)
}

/// Loads the data set called `name`: a known name (see [`catalog`]), else a folder with four IDX
/// files.
///
/// Full named sets are looked up in `data_dir` (in a folder of the set's name, torchvision's, or
/// itself), in `SALIQ_DATA_DIR` likewise, in the user's [`cache_dir`](crate::files::cache_dir) and
/// in `/usr/share/datasets`. A copy that differs from the published one is used, with a warning in
/// the log.
///
/// # Errors
/// [`Error::Data`] if there is no such set or it is not found, [`Error::Io`] and [`Error::Format`]
/// if a file is unreadable or its content does not fit.
pub fn load(name: &str, data_dir: Option<&Path>) -> Result<Dataset> {
    load_from(name, &Places::of_user(data_dir))
}

/// The whole path of the folder that `name` stands for: none for a known name, and for a path that
/// is not UTF-8.
pub fn folder(name: &str) -> Option<String> {
    if catalog::find(name).is_some() {
        return None;
    }
    // Resolved, as the data set's name is: `.` has one.
    std::fs::canonicalize(name).ok()?.into_os_string().into_string().ok()
}

/// The named set's published sizes with black images of its first class: for what depends on the
/// sizes alone. None for other names.
pub fn blank(name: &str) -> Option<Dataset> {
    let entry = catalog::find(name)?;
    let split = |count: u32| Split {
        images: vec![0; count as usize * entry.shape.elements() as usize],
        labels: vec![0; count as usize],
    };
    Some(Dataset {
        name: entry.name.into(),
        shape: entry.shape,
        classes: entry.class_names.len() as u32,
        class_names: entry.class_names.iter().map(ToString::to_string).collect(),
        train: split(entry.train),
        test: split(entry.test),
        published_normalization: Some(entry.normalization),
        source: "blank".into(),
    })
}

fn load_from(name: &str, places: &Places) -> Result<Dataset> {
    match catalog::find(name) {
        Some(entry) => load_named(entry, places),
        None if Path::new(name).is_dir() => load_folder(Path::new(name)),
        None => Err(locate::unknown(name)),
    }
}

fn load_named(entry: &Entry, places: &Places) -> Result<Dataset> {
    let classes = entry.class_names.len() as u32;
    let (source, [train, test]) = if let Some(files) = entry.embedded {
        let split = |images: usize| {
            let path =
                |role: usize| Path::new("built-in").join(entry.name).join(entry.files[role].name);
            let labels = images + 1;
            pair(
                idx::parse_images(&path(images), files[images])?,
                idx::parse_labels(&path(labels), files[labels])?,
                (&path(images), &path(labels)),
                Some(classes),
            )
        };
        ("built-in".to_string(), [split(0)?, split(2)?])
    } else {
        let (folder, files) = places.locate(entry)?;
        let (train, test) = (
            read_pair(&files[0], &files[1], Some(classes))?,
            read_pair(&files[2], &files[3], Some(classes))?,
        );
        check_sums(entry, &folder, [&train, &test]);
        (folder.display().to_string(), [train, test])
    };
    Ok(Dataset {
        name: entry.name.into(),
        shape: same_shape(&source, train.0, test.0)?,
        classes,
        class_names: entry.class_names.iter().map(ToString::to_string).collect(),
        train: train.1,
        test: test.1,
        published_normalization: Some(entry.normalization),
        source,
    })
}

fn load_folder(folder: &Path) -> Result<Dataset> {
    let files = locate::folder_files(folder)?;
    let (train, test) =
        (read_pair(&files[0], &files[1], None)?, read_pair(&files[2], &files[3], None)?);
    let highest = train.1.labels.iter().chain(&test.1.labels).copied().max().unwrap_or(0);
    let classes = (u32::from(highest) + 1).max(2);
    let source = folder.display().to_string();
    // `.` and `..` have a name only once resolved.
    let resolved = folder.canonicalize().unwrap_or_else(|_| folder.to_path_buf());
    let dataset = Dataset {
        name: resolved
            .file_name()
            .map_or_else(|| source.clone(), |name| name.to_string_lossy().into_owned()),
        shape: same_shape(&source, train.0, test.0)?,
        classes,
        class_names: (0..classes).map(|class| class.to_string()).collect(),
        train: train.1,
        test: test.1,
        published_normalization: None,
        source,
    };
    if let Some(warning) = gaps(&dataset) {
        log::warn!("{}: {warning}", dataset.source);
    }
    Ok(dataset)
}

/// What a user should know of classes without images.
fn gaps(dataset: &Dataset) -> Option<String> {
    let empty = dataset.empty_classes();
    let (first, last) = (empty.first()?, dataset.classes - 1);
    let have = if empty.len() == 1 {
        format!("class {first} has no images")
    } else {
        format!("classes {} have no images", ranges(&empty))
    };
    let classes = dataset.classes;
    Some(format!(
        "{have}; labels count from 0, so there are {classes} classes, 0 to {last}, and a network gets {classes} outputs"
    ))
}

/// Ascending numbers as `0, 3, 5-9`, at most ten items.
fn ranges(numbers: &[u32]) -> String {
    const MOST: usize = 10;
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for &number in numbers {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => runs.push((number, number)),
        }
    }
    let mut items: Vec<String> = runs
        .iter()
        .take(MOST)
        .map(
            |&(first, last)| {
                if first == last { first.to_string() } else { format!("{first}-{last}") }
            },
        )
        .collect();
    if runs.len() > MOST {
        items.push("…".into());
    }
    items.join(", ")
}

fn read_pair(images: &Path, labels: &Path, classes: Option<u32>) -> Result<(Shape, Split)> {
    pair(idx::read_images(images)?, idx::read_labels(labels)?, (images, labels), classes)
}

/// Images and labels that belong together, or what does not fit.
fn pair(
    images: Images,
    labels: Vec<u8>,
    paths: (&Path, &Path),
    classes: Option<u32>,
) -> Result<(Shape, Split)> {
    if images.count() != labels.len() {
        let reason = format!(
            "has {} labels for the {} images of {}",
            labels.len(),
            images.count(),
            paths.0.display()
        );
        return Err(Error::format(paths.1, reason));
    }
    let out_of_range = |classes: u32| {
        labels.iter().position(|&label| u32::from(label) >= classes).zip(Some(classes))
    };
    if let Some((at, classes)) = classes.and_then(out_of_range) {
        let reason = format!(
            "label {} of image {at} is not one of the {classes} classes (0 to {})",
            labels[at],
            classes - 1
        );
        return Err(Error::format(paths.1, reason));
    }
    Ok((images.shape, Split { images: images.pixels, labels }))
}

fn same_shape(source: &str, train: Shape, test: Shape) -> Result<Shape> {
    if train == test {
        return Ok(train);
    }
    let text = |shape: Shape| format!("{}×{}×{}", shape.channels, shape.height, shape.width);
    Err(Error::format(
        source,
        format!("training images are {}, test images {}; they must agree", text(train), text(test)),
    ))
}

/// Warns of files that are not the published ones: results would not be comparable, but that may be
/// intended.
fn check_sums(entry: &Entry, folder: &Path, splits: [&(Shape, Split); 2]) {
    let [train, test] = splits.map(|(shape, split)| {
        let images = idx::image_header(*shape, split.len());
        let labels = idx::header(&[split.len() as u32]);
        [
            crate::digest::sha256_hex([&images[..], &split.images]),
            crate::digest::sha256_hex([&labels[..], &split.labels]),
        ]
    });
    for (file, sum) in entry.files.iter().zip(train.iter().chain(&test)) {
        if file.sha256 != sum {
            log::warn!(
                "{}: {} is not the published file of {} (its SHA-256 differs)",
                folder.display(),
                file.name,
                entry.name
            );
        }
    }
}

#[cfg(test)]
mod tests;
