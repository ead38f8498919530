//! Sets of arrays with names: which of them are the images and labels of which part.

use super::array::{Array, Images};
use crate::data::{
    content::{Content, Part},
    dataset::Split,
};

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
    let mut found: [Option<(Images, Part)>; 4] = Default::default();
    for (part, [images, labels]) in found.iter_mut().zip(NAMES) {
        let (found_images, found_labels) = (find(images), find(labels));
        let unpaired = |found: &str, own: &[&str], others: &[&str]| {
            let pair = own.iter().position(|known| found.eq_ignore_ascii_case(known));
            let wanted = others[pair.unwrap_or(0).min(others.len() - 1)];
            wrong(format!("has {found}{suffix} and no {wanted}{suffix} for it"))
        };
        let (images, labels) = match (found_images, found_labels) {
            (Some(images), Some(labels)) => (images, labels),
            (None, None) => continue,
            (Some(found), None) => return Err(unpaired(found, images, labels)),
            (None, Some(found)) => return Err(unpaired(found, labels, images)),
        };
        let labels = read(labels)?;
        let name = images.clone();
        let images = read(images)?;
        let count = images.sizes.first().copied().unwrap_or(0);
        let images = images.images().map_err(&wrong)?;
        let values = labels.labels().map_err(&wrong)?;
        if values.len() != count {
            return Err(wrong(format!(
                "{} has {} labels for the {count} images of {name}",
                labels.name,
                values.len()
            )));
        }
        let split = Split { images: Vec::new(), labels: values };
        let name = format!("{name}{suffix}");
        let own = Part { shape: images.shape, split, files: Vec::new(), name };
        *part = Some((images, own));
    }
    let all: Vec<&Images> = found.iter().flatten().map(|(images, _)| images).collect();
    Images::check_scale(&all).map_err(&wrong)?;
    let mut warnings = Vec::new();
    let [train, test, validation, whole] = found.map(|found| {
        let (images, mut part) = found?;
        let (pixels, said) = images.pixels();
        warnings.extend(said);
        part.split.images = pixels;
        Some(part)
    });
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
    Ok(Content { train, test, validation, warnings, ..Content::default() })
}
