//! Checks that the files that were read form a data set: shapes, labels, sums.

use std::path::Path;

use super::{
    catalog::{Entry, PinnedFile},
    dataset::{Dataset, Split},
    format::{PartContent, idx},
};
use crate::{Error, Result, config::Shape};

/// Combines images and labels of the same number, with each label below `classes` if that is known;
/// or returns what does not match.
pub(super) fn split(content: PartContent, classes: Option<u32>) -> Result<(Shape, Split)> {
    let PartContent { images, labels, paths: [images_path, labels_path] } = content;
    if images.count() != labels.len() {
        let reason = format!(
            "has {} labels for the {} images of {}",
            labels.len(),
            images.count(),
            images_path.display()
        );
        return Err(Error::format(labels_path, reason));
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
        return Err(Error::format(labels_path, reason));
    }
    Ok((images.shape, Split { images: images.pixels, labels }))
}

/// The shape that training and test images of `source` share.
pub(super) fn same_shape(source: &str, train: Shape, test: Shape) -> Result<Shape> {
    if train == test {
        return Ok(train);
    }
    let text = |shape: Shape| format!("{}×{}×{}", shape.channels, shape.height, shape.width);
    Err(Error::format(
        source,
        format!("training images are {}, test images {}; they must agree", text(train), text(test)),
    ))
}

/// A warning about files in `folder` that differ from the published ones. Results are then not
/// comparable, but the difference may be intended.
pub(super) fn sums(entry: &Entry, folder: &Path, splits: [&(Shape, Split); 2]) -> Vec<String> {
    let [train, test] = splits.map(|(shape, split)| idx::sums(*shape, split));
    let found = train.into_iter().chain(test);
    let differing = entry.files.iter().zip(found).filter(|(file, sum)| file.sha256 != sum);
    let said = |(file, _): (&PinnedFile, String)| {
        format!(
            "{}: {} is not the published file of {} (its SHA-256 differs)",
            folder.display(),
            file.name,
            entry.name
        )
    };
    differing.map(said).collect()
}

/// The number of classes of the labels, which count from 0; at least 2.
pub(super) fn classes(train: &Split, test: &Split) -> u32 {
    let highest = train.labels.iter().chain(&test.labels).copied().max().unwrap_or(0);
    (u32::from(highest) + 1).max(2)
}

/// A warning about classes without images.
pub(super) fn gaps(dataset: &Dataset) -> Option<String> {
    let empty = dataset.empty_classes();
    let (first, last) = (empty.first()?, dataset.classes - 1);
    let have = if empty.len() == 1 {
        format!("class {first} has no images")
    } else {
        format!("classes {} have no images", ranges(&empty))
    };
    let classes = dataset.classes;
    Some(format!(
        "{have}; labels count from 0, so there are {classes} classes, 0 to {last}, and a network \
         gets {classes} outputs"
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
