//! Masks of pictures: a folder parallel to that of the pictures, with a file of the same name for
//! each.
//!
//! A mask is black where the picture shows something else. Pixels of at least half the mask's
//! highest value are inside, so that masks of 0 and 1, of 0 and 255, with smooth edges or in JPEG
//! mean what they show. It is turned, resized and cut as its picture is.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use image::GrayImage;

use super::{
    names::{self, Use},
    picture::{self, Pixels},
    planes::{open, transposed, turned_if},
};
use crate::{
    Error, Result,
    config::{ImageSize, ReadOptions, Shape},
    data::{
        parallel::{self, Progress},
        pixels,
    },
};

/// The masks of images.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Masks {
    /// Of each image, if it has one: whether a pixel is inside, [row, column].
    pub of_images: Vec<Option<Vec<bool>>>,
    /// The files of images without a mask.
    pub missing: Vec<String>,
    /// The masks without a pixel inside.
    pub empty: Vec<String>,
}

/// Reads the masks in `folder` of the pictures `files`, whose paths are those in their data set at
/// `source`. Images have `shape` and were read with `options`.
///
/// # Errors
/// [`Error::Data`] if no picture has a mask, and for masks that are no pictures or have another
/// size than theirs.
pub fn masks(
    folder: &Path,
    (source, files): (&Path, &[String]),
    shape: Shape,
    options: &ReadOptions,
    progress: &mut Progress<'_>,
) -> Result<Masks> {
    if files.is_empty() {
        return Err(Error::Data(format!(
            "{}: has masks by the names of pictures, but the images of {} have no files; a folder \
             of pictures is needed",
            folder.display(),
            source.display()
        )));
    }
    let mut listed = HashMap::new();
    let places = files.iter().map(|file| find(folder, file, &mut listed));
    let places = places.collect::<Result<Vec<Option<PathBuf>>>>()?;
    let pairs: Vec<_> = places.into_iter().zip(files).collect();
    let read = parallel::map(&pairs, progress, |_, (place, file)| {
        let read = |place: &PathBuf| {
            mask(place, &source.join(file), shape, options)
                .map_err(|reason| Error::Data(format!("{}: {reason}", place.display())))
        };
        place.as_ref().map(read).transpose()
    });
    let of_images = read.into_iter().collect::<Result<Vec<_>>>()?;
    let named = |wanted: fn(&Option<Vec<bool>>) -> bool| {
        let chosen = of_images.iter().zip(files).filter(|(mask, _)| wanted(mask));
        chosen.map(|(_, file)| file.clone()).collect::<Vec<_>>()
    };
    let missing = named(Option::is_none);
    if missing.len() == files.len() {
        return Err(Error::Data(format!(
            "{}: has no mask of {} nor of another image; it belongs in {}, with the ending of any \
             format of pictures",
            folder.display(),
            files[0],
            folder.join(Path::new(&files[0]).with_extension("png")).display()
        )));
    }
    let empty = named(|mask| mask.as_ref().is_some_and(|mask| !mask.contains(&true)));
    Ok(Masks { of_images, missing, empty })
}

/// Pictures in a folder by their names without endings.
type Listed = HashMap<PathBuf, HashMap<String, Vec<PathBuf>>>;

/// The mask of `file`: below `folder`, or below it without the folder of the split.
fn find(folder: &Path, file: &str, listed: &mut Listed) -> Result<Option<PathBuf>> {
    let below = file.split_once('/').map(|(_, below)| below).filter(|below| below.contains('/'));
    for name in std::iter::once(file).chain(below) {
        let place = folder.join(name);
        let (Some(inside), Some(stem)) = (place.parent(), place.file_stem()) else { continue };
        if !inside.is_dir() {
            continue;
        }
        if !listed.contains_key(inside) {
            let mut by_stem: HashMap<String, Vec<PathBuf>> = HashMap::new();
            for item in names::list(inside)? {
                if !item.is_folder && Use::of(&item.path) == Use::Picture {
                    let stem = item.path.file_stem().unwrap_or_default();
                    by_stem.entry(stem.to_string_lossy().into()).or_default().push(item.path);
                }
            }
            listed.insert(inside.into(), by_stem);
        }
        let found = listed[inside].get(&*stem.to_string_lossy());
        match found.map(Vec::as_slice) {
            None | Some([]) => {}
            Some([one]) => return Ok(Some(one.clone())),
            Some(several) => {
                let exact = several.iter().find(|path| **path == place);
                return exact.cloned().map(Some).ok_or_else(|| {
                    Error::Data(format!(
                        "{} and {} are both masks of {file}; one is needed",
                        several[0].display(),
                        several[1].file_name().unwrap_or_default().display()
                    ))
                });
            }
        }
    }
    Ok(None)
}

/// The mask at `place` of `picture`, or why it cannot be used.
fn mask(
    place: &Path,
    picture: &Path,
    shape: Shape,
    options: &ReadOptions,
) -> Result<Vec<bool>, String> {
    let decoded = picture::decode(&open(place)?)?;
    let ((width, height), values) = match decoded.pixels {
        Pixels::Grey(grey) => (grey.dimensions(), grey.into_raw()),
        Pixels::Color(rgb) => {
            let values = rgb.pixels().map(|pixel| pixel.0.into_iter().max().unwrap_or(0));
            (rgb.dimensions(), values.collect())
        }
    };
    // A picture that is gone was checked when the data set was read.
    let own = open(picture).and_then(|bytes| picture::header(&bytes)).map(|own| own.sides);
    let expected = match (own, options.image_size) {
        (Ok(own), _) => Some(own),
        (Err(_), None) => Some(turned_if([shape.height, shape.width], options.transpose)),
        (Err(_), Some(_)) => None,
    };
    if let Some([rows, columns]) = expected.filter(|expected| *expected != [height, width]) {
        return Err(format!("is {height}×{width}, its picture {rows}×{columns}"));
    }
    // All of such a mask would be inside.
    if decoded.is_transparent && values.iter().all(|value| *value == values[0]) {
        return Err(
            "has its shape in the transparency, which is not read; paint it white on black"
                .to_string(),
        );
    }
    let highest = u16::from(values.iter().copied().max().unwrap_or(0));
    let inside = |value: u8| if highest > 0 && 2 * u16::from(value) >= highest { 255 } else { 0 };
    let values = values.into_iter().map(inside).collect();
    let mut grey = GrayImage::from_raw(width, height, values).unwrap_or_default();
    if options.transpose {
        grey = transposed(&grey);
    }
    let size = ImageSize { height: shape.height, width: shape.width };
    let fitted = pixels::fit_grey(grey, size).into_raw();
    Ok(fitted.into_iter().map(|value| value >= 128).collect())
}
