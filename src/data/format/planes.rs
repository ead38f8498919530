//! Pictures as planes of bytes in the shape of a data set.

use std::{fs, path::Path};

use image::{GrayImage, ImageBuffer, Pixel};

use super::picture::{self, Pixels};
use crate::{
    Error,
    config::{ColorMode, ImageSize},
    data::pixels,
    files::read_bounded,
};

/// Largest file that is taken for a picture.
pub(super) const MAX_FILE: u64 = 1 << 30;

/// The content of a picture's file, or why it cannot be read.
pub(super) fn open(path: &Path) -> Result<Vec<u8>, String> {
    check_regular(path)?;
    read_bounded(path, MAX_FILE).map_err(|error| match error {
        Error::Io { source, .. } => format!("cannot be read: {source}"),
        Error::Format { reason, .. } => reason,
        error => error.to_string(),
    })
}

/// The length of a file that is one.
pub(super) fn check_regular(path: &Path) -> Result<u64, String> {
    match fs::metadata(path) {
        Ok(found) if found.is_file() => Ok(found.len()),
        Ok(_) => Err("is not a regular file".into()),
        Err(_) if path.is_symlink() => Err("is a symbolic link to nothing".into()),
        Err(error) => Err(format!("cannot be read: {error}")),
    }
}

/// A picture in the data set's shape.
pub(super) struct Decoded {
    pub planes: Vec<u8>,
    pub is_transparent: bool,
    pub highest_of_16_bits: Option<u16>,
}

/// Rows and columns, exchanged if images are transposed.
pub(super) fn turned_if([height, width]: [u32; 2], transpose: bool) -> [u32; 2] {
    if transpose { [width, height] } else { [height, width] }
}

/// A picture as planes of the channels of `mode`.
pub(super) fn planes(
    bytes: &[u8],
    mode: ColorMode,
    size: ImageSize,
    transpose: bool,
) -> Result<Decoded, String> {
    let picture = picture::decode(bytes)?;
    let (is_transparent, highest_of_16_bits) = (picture.is_transparent, picture.highest_of_16_bits);
    let pixels = match picture.pixels {
        Pixels::Grey(grey) if transpose => Pixels::Grey(transposed(&grey)),
        Pixels::Color(rgb) if transpose => Pixels::Color(transposed(&rgb)),
        pixels => pixels,
    };
    let planes = match (mode, pixels) {
        (ColorMode::Grey, Pixels::Grey(grey)) => pixels::fit_grey(grey, size).into_raw(),
        (ColorMode::Grey, Pixels::Color(rgb)) => {
            let values = rgb.pixels().map(|pixel| pixels::luminance(pixel.0)).collect();
            let grey = GrayImage::from_raw(rgb.width(), rgb.height(), values).unwrap_or_default();
            pixels::fit_grey(grey, size).into_raw()
        }
        (ColorMode::Rgb, Pixels::Grey(grey)) => pixels::fit_grey(grey, size).into_raw().repeat(3),
        (ColorMode::Rgb, Pixels::Color(rgb)) => {
            let rgb = pixels::fit_rgb(rgb, size).into_raw();
            (0..3).flat_map(|channel| rgb.iter().skip(channel).step_by(3).copied()).collect()
        }
    };
    // Another size than its header declares is an error of the decoder.
    let expected = (mode.channels() * size.height * size.width) as usize;
    if planes.len() != expected {
        return Err("damaged: its size is not the one that it declares".into());
    }
    Ok(Decoded { planes, is_transparent, highest_of_16_bits })
}

/// Rows and columns exchanged.
pub(super) fn transposed<P: Pixel>(
    image: &ImageBuffer<P, Vec<P::Subpixel>>,
) -> ImageBuffer<P, Vec<P::Subpixel>> {
    ImageBuffer::from_fn(image.height(), image.width(), |x, y| *image.get_pixel(y, x))
}
