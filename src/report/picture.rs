//! Pictures of a user's own, as images for a network.

use std::{io::Cursor, path::Path};

use image::{
    DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageResult, Limits,
    codecs::png::PngDecoder,
    error::{DecodingError, ImageFormatHint, LimitError, LimitErrorKind},
    imageops::FilterType,
};

use crate::{
    Error, Result,
    config::Shape,
    files::{DEFLATE_BEST_RATIO, read_bounded},
};

/// Bytes of a file that are read.
const MOST_BYTES: u64 = 64 << 20;
/// Pixels a side that are decoded.
const MOST_SIDE: u32 = 16_384;
/// Pixels that are decoded, whatever the sides.
const MOST_PIXELS: u64 = 1 << 26;

/// The PNG picture at `path` as bytes [channel, row, column] of `shape`: scaled to fit without regard to its proportions, in grey (luminance)
/// for one channel, in colour for three; transparency is black. `invert` swaps dark and light.
///
/// # Errors
/// [`Error::Io`] for a file that cannot be read, [`Error::Format`] for what is no PNG or is larger than 16,384 pixels a side or
/// 2^26 pixels, [`Error::Model`] for images of neither one channel nor three.
pub fn read_picture(path: &Path, shape: Shape, invert: bool) -> Result<Vec<u8>> {
    parse_picture(path, &read_bounded(path, MOST_BYTES)?, shape, invert)
}

/// [`read_picture`] from the bytes of a PNG file; `path` only names them in errors. What the file declares is believed as far as so many bytes
/// can hold it: memory is at most 34 kB a byte, and 0.8 GB in all.
///
/// # Errors
/// As [`read_picture`].
pub fn parse_picture(path: &Path, bytes: &[u8], shape: Shape, invert: bool) -> Result<Vec<u8>> {
    if shape.channels != 1 && shape.channels != 3 {
        return Err(Error::Model(format!("a picture has 1 channel or 3, the model takes {}", shape.channels)));
    }
    let picture = decode(bytes).map_err(|error| {
        Error::format(path, format!("not a PNG picture of at most {MOST_SIDE} pixels a side and {MOST_PIXELS} in all: {error}"))
    })?;
    // Over black first: scaling would mix the colours of transparent pixels in.
    let opaque = if picture.color().has_alpha() { over_black(picture) } else { picture };
    let scaled = opaque.resize_exact(shape.width, shape.height, FilterType::Triangle);
    let mut values: Vec<u8> = if shape.channels == 1 {
        scaled.to_luma8().into_raw()
    } else {
        let rgb = scaled.to_rgb8();
        (0..3).flat_map(|channel| rgb.pixels().map(move |pixel| pixel[channel]).collect::<Vec<u8>>()).collect()
    };
    if invert {
        values.iter_mut().for_each(|value| *value = 255 - *value);
    }
    Ok(values)
}

fn over_black(picture: DynamicImage) -> DynamicImage {
    let mut opaque = picture.into_rgba8();
    for pixel in opaque.pixels_mut() {
        let alpha = u32::from(pixel[3]);
        for channel in 0..3 {
            pixel[channel] = ((u32::from(pixel[channel]) * alpha + 127) / 255) as u8;
        }
        pixel[3] = 255;
    }
    opaque.into()
}

fn decode(bytes: &[u8]) -> ImageResult<DynamicImage> {
    let mut limits = Limits::default();
    limits.max_image_width = Some(MOST_SIDE);
    limits.max_image_height = Some(MOST_SIDE);
    // For a few rows and what other chunks hold; pixels are bounded below.
    limits.max_alloc = Some(1 << 22);
    // The decoder believes that a palette has whole colours (PNG specification, 11.2.2), and panics where the last is a part of one.
    if chunk_lengths(bytes, *b"PLTE").any(|length| length % 3 != 0 || !(3..=768).contains(&length)) {
        let hint = ImageFormatHint::Exact(ImageFormat::Png);
        return Err(ImageError::Decoding(DecodingError::new(hint, "a palette has 1 to 256 colours of 3 bytes")));
    }
    let decoder = PngDecoder::with_limits(Cursor::new(bytes), limits)?;
    let (width, height) = decoder.dimensions();
    let packed = (u64::from(width) * u64::from(bits_per_pixel(bytes))).div_ceil(8) * u64::from(height);
    if u64::from(width) * u64::from(height) > MOST_PIXELS || packed > bytes.len() as u64 * DEFLATE_BEST_RATIO {
        return Err(ImageError::Limits(LimitError::from_kind(LimitErrorKind::DimensionError)));
    }
    DynamicImage::from_decoder(decoder)
}

/// Lengths of the chunks of type `kind`, as far as the file goes (PNG specification, 5.3).
fn chunk_lengths(bytes: &[u8], kind: [u8; 4]) -> impl Iterator<Item = usize> {
    let mut rest = bytes.get(8..).unwrap_or_default();
    let chunks = std::iter::from_fn(move || {
        let (length, behind) = rest.split_first_chunk::<4>()?;
        let (own_kind, behind) = behind.split_first_chunk::<4>()?;
        let length = u32::from_be_bytes(*length) as usize;
        // Behind the data are four bytes of checksum.
        rest = length.checked_add(4).and_then(|end| behind.get(end..)).unwrap_or_default();
        Some((*own_kind, length))
    });
    chunks.filter(move |(own_kind, _)| *own_kind == kind).map(|(_, length)| length)
}

/// Bits of a pixel as the file's header, which a decoder has accepted, says (PNG specification, 11.2.1).
fn bits_per_pixel(bytes: &[u8]) -> u8 {
    let (depth, color) = (bytes.get(24).copied().unwrap_or(8), bytes.get(25).copied().unwrap_or(6));
    depth.saturating_mul(match color {
        0 | 3 => 1, // grey, or an index into a palette
        4 => 2,
        2 => 3,
        _ => 4,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_scaled_and_converted() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("picture.png");
        let picture =
            image::RgbaImage::from_fn(
                8,
                4,
                |x, _| if x < 4 { image::Rgba([255, 0, 0, 255]) } else { image::Rgba([255, 255, 255, 0]) },
            );
        picture.save(&path).expect("written");
        let color = read_picture(&path, Shape::new(3, 2, 2), false).expect("a picture");
        assert_eq!(color[..4], [255, 0, 255, 0].map(|value: u8| if value > 127 { color[0] } else { color[1] }));
        assert!(color[0] > 200 && color[1] < 55 && color[4..].iter().all(|&value| value == 0), "{color:?}");
        let gray = read_picture(&path, Shape::new(1, 2, 2), true).expect("a picture");
        assert!(gray[0] < 255 && gray[0] > 150 && gray[1] > gray[0], "{gray:?}");
        assert!(matches!(read_picture(&path, Shape::new(2, 2, 2), false), Err(Error::Model(_))));
        let palette = include_bytes!("../../fuzz/crashes/picture/palette-of-a-third-of-a-colour");
        assert_eq!(chunk_lengths(palette, *b"PLTE").collect::<Vec<_>>(), [49]);
        std::fs::write(&path, b"\x89PNG\r\n\x1a\nnothing more").expect("written");
        assert!(matches!(read_picture(&path, Shape::new(1, 2, 2), false), Err(Error::Format { .. })));
    }
}
