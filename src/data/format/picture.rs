//! One picture: PNG, JPEG, WebP, BMP, or the first frame of a GIF, known by its content.
//!
//! The size is judged from the header, before any memory is allocated for pixels. Damaged data are
//! an error, never a partial picture.

use std::{
    io::Cursor,
    sync::{Mutex, PoisonError},
};

use image::{
    ColorType, DynamicImage, GrayImage, ImageDecoder, ImageError, ImageResult, Limits, RgbImage,
    codecs::{bmp::BmpDecoder, gif::GifDecoder, jpeg::JpegDecoder, webp::WebPDecoder},
    metadata::Orientation,
};

use super::png;
use crate::{data::pixels::swaps_sides, files::DEFLATE_BEST_RATIO, panics::caught};

/// Largest number of pixels of a picture: photographs of 108 megapixels exist.
pub(super) const MAX_PIXELS: u64 = 120_000_000;
/// Largest number of rows or columns of a picture.
const MAX_SIDE: u32 = 1 << 17;
/// Pixels above which pictures are decoded one at a time: each may take a gigabyte.
const LARGE: u64 = 1 << 24;
/// JPEG needs at least half a bit for each block of 64 pixels.
const JPEG_BEST_RATIO: u64 = 1024;

/// The properties of a picture that its header shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::data) struct Header {
    /// Rows, columns, as the picture is shown.
    pub sides: [u32; 2],
    /// Whether its type is grey, with or without alpha.
    pub is_grey: bool,
    /// Whether it has more than one frame.
    pub is_animated: bool,
}

/// A decoded picture, as it is shown.
#[derive(Clone, Debug)]
pub(in crate::data) struct Picture {
    pub pixels: Pixels,
    /// Whether some pixels are not opaque; their colours are taken as they are.
    pub is_transparent: bool,
    /// The highest value if there are 16 bits a value.
    pub highest_of_16_bits: Option<u16>,
}

/// The pixels of a picture by its type.
#[derive(Clone, Debug)]
pub(in crate::data) enum Pixels {
    Grey(GrayImage),
    Color(RgbImage),
}

/// The formats that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Png,
    Jpeg,
    WebP,
    Bmp,
    Gif,
}

/// The properties of a picture, or why it cannot be read.
pub(in crate::data) fn header(bytes: &[u8]) -> Result<Header, String> {
    guarded(bytes, |kind| {
        let mut decoder = decoder(kind, bytes)?;
        let (width, height) = check_size(kind, bytes, decoder.as_ref())?;
        let orientation = orientation(kind, bytes, decoder.as_mut());
        let sides = if swaps_sides(orientation) { [width, height] } else { [height, width] };
        let is_grey = is_grey(decoder.color_type()) || has_grey_palette(kind, bytes);
        Ok(Header { sides, is_grey, is_animated: is_animated(kind, bytes) })
    })
}

/// The pixels of a picture, or why it cannot be read.
pub(in crate::data) fn decode(bytes: &[u8]) -> Result<Picture, String> {
    guarded(bytes, |kind| {
        if kind == Kind::Jpeg {
            check_jpeg_end(bytes)?;
        }
        let mut decoder = decoder(kind, bytes)?;
        let (width, height) = check_size(kind, bytes, decoder.as_ref())?;
        static TURN: Mutex<()> = Mutex::new(());
        let is_large = u64::from(width) * u64::from(height) > LARGE;
        let _turn = is_large.then(|| TURN.lock().unwrap_or_else(PoisonError::into_inner));
        let orientation = orientation(kind, bytes, decoder.as_mut());
        let grey_palette = has_grey_palette(kind, bytes);
        let image = DynamicImage::from_decoder(decoder).map_err(|error| reason(&error))?;
        let mut picture = flattened(image, grey_palette);
        if orientation != Orientation::NoTransforms {
            picture.pixels = match picture.pixels {
                Pixels::Grey(grey) => Pixels::Grey(turned(grey, orientation).into_luma8()),
                Pixels::Color(rgb) => Pixels::Color(turned(rgb, orientation).into_rgb8()),
            };
        }
        Ok(picture)
    })
}

/// Runs `work` for a picture of a known kind; a decoder that panics is a damaged picture.
fn guarded<T>(bytes: &[u8], work: impl FnOnce(Kind) -> Result<T, String>) -> Result<T, String> {
    let kind = kind(bytes)?;
    caught(|| work(kind)).unwrap_or_else(|| Err("damaged: its decoder gave up".into()))
}

fn turned(image: impl Into<DynamicImage>, orientation: Orientation) -> DynamicImage {
    let mut image = image.into();
    image.apply_orientation(orientation);
    image
}

/// The format by the first bytes, or what the file is instead.
fn kind(bytes: &[u8]) -> Result<Kind, String> {
    let instead = match bytes {
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => return Ok(Kind::Png),
        [0xff, 0xd8, 0xff, ..] => return Ok(Kind::Jpeg),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => return Ok(Kind::WebP),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => return Ok(Kind::Gif),
        [b'B', b'M', ..] if bytes.len() >= 26 => return Ok(Kind::Bmp),
        [] => "is empty",
        _ if bytes.starts_with(b"version https://git-lfs") => {
            "is a Git LFS pointer, not the picture; `git lfs pull` gets it"
        }
        [b'I', b'I', 0x2a, 0, ..] | [b'M', b'M', 0, 0x2a, ..] => {
            "is a TIFF file, which is not read"
        }
        [_, _, _, _, b'f', b't', b'y', b'p', brand @ ..] => match brand.get(..4) {
            Some(b"avif" | b"avis") => "is an AVIF file, which is not read",
            Some(b"heic" | b"heix" | b"mif1" | b"hevc") => "is a HEIC file, which is not read",
            _ => "is a video or picture of the MP4 family, which is not read",
        },
        [b'8', b'B', b'P', b'S', ..] => "is a Photoshop file, which is not read",
        [b'P', b'1'..=b'7', b' ' | b'\n' | b'\r' | b'\t', ..] => {
            "is a Netpbm file (PPM, PGM), which is not read"
        }
        [0xff, 0x0a, ..] => "is a JPEG XL file, which is not read",
        [b'%', b'P', b'D', b'F', ..] => "is a PDF file, which is not read",
        [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => "is a NumPy array, not a picture",
        _ if is_text(bytes) => "is text, not a picture",
        _ => "is not a PNG, JPEG, WebP, BMP or GIF file",
    };
    Err(instead.into())
}

fn is_text(bytes: &[u8]) -> bool {
    let head = &bytes[..bytes.len().min(512)];
    let is_plain =
        |&byte: &u8| byte >= 0x20 && byte != 0x7f || matches!(byte, b'\n' | b'\r' | b'\t');
    head.iter().all(is_plain)
}

fn decoder(kind: Kind, bytes: &[u8]) -> Result<Box<dyn ImageDecoder + '_>, String> {
    let open = || -> ImageResult<Box<dyn ImageDecoder + '_>> {
        let input = Cursor::new(bytes);
        let mut decoder: Box<dyn ImageDecoder + '_> = match kind {
            Kind::Png => Box::new(png::decoder(bytes, limits())?),
            Kind::Jpeg => Box::new(JpegDecoder::new(input)?),
            Kind::WebP => Box::new(WebPDecoder::new(input)?),
            Kind::Bmp => Box::new(BmpDecoder::new(input)?),
            Kind::Gif => Box::new(GifDecoder::new(input)?),
        };
        decoder.set_limits(limits())?;
        Ok(decoder)
    };
    open().map_err(|error| reason(&error))
}

fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    // Memory of the decoders themselves; `check_size` bounds the pixels.
    limits.max_alloc = Some(1 << 30);
    limits
}

/// Columns and rows as stored, if there are not more pixels than are read, or than the bytes can
/// hold.
fn check_size(kind: Kind, bytes: &[u8], decoder: &dyn ImageDecoder) -> Result<(u32, u32), String> {
    let (width, height) = decoder.dimensions();
    let pixels = u64::from(width) * u64::from(height);
    if pixels == 0 {
        return Err("has no pixels".into());
    }
    if pixels > MAX_PIXELS || width.max(height) > MAX_SIDE {
        return Err(format!(
            "declares {height}×{width} pixels; at most {} million are read",
            MAX_PIXELS / 1_000_000
        ));
    }
    let length = bytes.len() as u64;
    let most = match kind {
        // At least one bit a pixel.
        Kind::Png => length.saturating_mul(8 * DEFLATE_BEST_RATIO),
        Kind::Jpeg => length.saturating_mul(JPEG_BEST_RATIO),
        Kind::WebP | Kind::Gif | Kind::Bmp => u64::MAX,
    };
    if pixels > most {
        return Err(format!(
            "declares {height}×{width} pixels, which its {length} bytes cannot hold"
        ));
    }
    Ok((width, height))
}

/// A reason in few words for an error of a decoder.
fn reason(error: &ImageError) -> String {
    match error {
        ImageError::Limits(_) => "declares more pixels than are read".into(),
        ImageError::Unsupported(error) => format!("cannot be read: {error}"),
        error => {
            let text = error.to_string();
            format!("damaged or truncated: {}", text.trim_start_matches("Format error decoding "))
        }
    }
}

/// The orientation of EXIF; one that does not exist is none.
fn orientation(kind: Kind, bytes: &[u8], decoder: &mut dyn ImageDecoder) -> Orientation {
    let found = match kind {
        Kind::Png => png::orientation(bytes),
        _ => decoder.orientation().ok(),
    };
    found.unwrap_or(Orientation::NoTransforms)
}

fn is_grey(color: ColorType) -> bool {
    !color.has_color()
}

/// Whether a BMP or GIF file has a palette of greys in order: neither format has another grey type.
fn has_grey_palette(kind: Kind, bytes: &[u8]) -> bool {
    let ramp = |palette: &[u8], entry: usize| {
        let count = palette.len() / entry;
        let value = |index: usize| if count == 2 { 255 * index } else { index };
        count >= 2
            && palette.chunks_exact(entry).enumerate().all(|(index, color)| {
                color[..3].iter().all(|&channel| usize::from(channel) == value(index))
            })
    };
    match kind {
        Kind::Gif => {
            let Some(&flags) = bytes.get(10) else { return false };
            let length = 3 << ((flags & 7) + 1);
            flags & 0x80 != 0 && bytes.get(13..13 + length).is_some_and(|palette| ramp(palette, 3))
        }
        Kind::Bmp => {
            let word = |at: usize| {
                let four = bytes.get(at..at + 4)?.try_into().ok()?;
                Some(u32::from_le_bytes(four) as usize)
            };
            let (Some(header), Some(bits)) = (word(14), word(28).map(|word| word & 0xffff)) else {
                return false;
            };
            if !(40..=1024).contains(&header) || !matches!(bits, 1 | 4 | 8) {
                return false;
            }
            let declared = word(46).unwrap_or(0);
            let count = if declared == 0 { 1 << bits } else { declared.min(1 << bits) };
            bytes.get(14 + header..14 + header + 4 * count).is_some_and(|palette| ramp(palette, 4))
        }
        _ => false,
    }
}

fn is_animated(kind: Kind, bytes: &[u8]) -> bool {
    match kind {
        Kind::Png => png::chunks(bytes, *b"acTL").next().is_some(),
        Kind::WebP => {
            bytes.get(12..16) == Some(b"VP8X") && bytes.get(20).is_some_and(|f| f & 2 != 0)
        }
        Kind::Gif => gif_frames(bytes) > 1,
        Kind::Jpeg | Kind::Bmp => false,
    }
}

/// The number of frames of a GIF file, at most 2.
fn gif_frames(bytes: &[u8]) -> usize {
    fn palette(flags: u8) -> usize {
        if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) }
    }
    let blocks = |mut at: usize| {
        while let Some(&length) = bytes.get(at).filter(|&&length| length > 0) {
            at += 1 + usize::from(length);
        }
        at + 1
    };
    let (mut at, mut frames) = (13 + palette(bytes.get(10).copied().unwrap_or(0)), 0);
    while frames < 2 {
        match bytes.get(at) {
            Some(0x21) => at = blocks(at + 2),
            Some(0x2c) => {
                frames += 1;
                at = blocks(at + 11 + palette(bytes.get(at + 9).copied().unwrap_or(0)));
            }
            _ => break,
        }
    }
    frames
}

/// The picture in 8 bits without alpha: values of 16 bits are rounded, colours of transparent
/// pixels are taken as they are.
fn flattened(image: DynamicImage, grey_palette: bool) -> Picture {
    let (width, height) = (image.width(), image.height());
    let grey =
        |values| Pixels::Grey(GrayImage::from_raw(width, height, values).unwrap_or_default());
    let color =
        |values| Pixels::Color(RgbImage::from_raw(width, height, values).unwrap_or_default());
    let mut picture = Picture {
        pixels: Pixels::Grey(GrayImage::default()),
        is_transparent: false,
        highest_of_16_bits: None,
    };
    let bytes = match image {
        DynamicImage::ImageLuma8(image) => (image.into_raw(), 1, false),
        DynamicImage::ImageLumaA8(image) => (image.into_raw(), 1, true),
        DynamicImage::ImageRgb8(image) => (image.into_raw(), 3, false),
        DynamicImage::ImageRgba8(image) => (image.into_raw(), 3, true),
        deep => {
            let (values, channels, alpha) = match deep {
                DynamicImage::ImageLuma16(image) => (image.into_raw(), 1, false),
                DynamicImage::ImageLumaA16(image) => (image.into_raw(), 1, true),
                DynamicImage::ImageRgb16(image) => (image.into_raw(), 3, false),
                DynamicImage::ImageRgba16(image) => (image.into_raw(), 3, true),
                other => (other.into_rgb16().into_raw(), 3, false),
            };
            let stride = channels + usize::from(alpha);
            let colors = values.chunks_exact(stride).flat_map(|pixel| &pixel[..channels]);
            picture.highest_of_16_bits = colors.max().copied();
            let narrow = |value: u16| ((u32::from(value) + 128) / 257) as u8;
            (values.into_iter().map(narrow).collect(), channels, alpha)
        }
    };
    let (mut values, channels, alpha): (Vec<u8>, usize, bool) = bytes;
    if alpha {
        let stride = channels + 1;
        let pixels = values.len() / stride;
        for pixel in 0..pixels {
            let from = pixel * stride;
            picture.is_transparent |= values[from + channels] != 255;
            values.copy_within(from..from + channels, pixel * channels);
        }
        values.truncate(pixels * channels);
    }
    picture.pixels = match channels {
        1 => grey(values),
        _ if grey_palette => grey(values.chunks_exact(3).map(|pixel| pixel[0]).collect()),
        _ => color(values),
    };
    picture
}

/// Walks through the segments of a JPEG file up to the marker of its end (ITU-T T.81, B.1.1): the
/// decoder fills what is missing of a truncated file with grey.
fn check_jpeg_end(bytes: &[u8]) -> Result<(), String> {
    let truncated = || Err("truncated: its end is missing".to_string());
    let mut at = 2;
    let mut in_scan = false;
    loop {
        if in_scan {
            let rest = bytes.get(at..).unwrap_or_default();
            match rest.iter().position(|&byte| byte == 0xff) {
                Some(offset) => at += offset,
                None => return truncated(),
            }
        }
        let Some(&[first, marker]) = bytes.get(at..at + 2).and_then(|two| two.first_chunk()) else {
            return truncated();
        };
        match (first, marker) {
            (0xff, 0xff) => at += 1,
            (0xff, 0xd9) => return Ok(()),
            // Stuffed bytes and restarts within a scan, markers without a length elsewhere.
            (0xff, 0x00) if in_scan => at += 2,
            (0xff, 0xd0..=0xd7 | 0x01) => at += 2,
            (0xff, _) => {
                let Some(&length) = bytes.get(at + 2..at + 4).and_then(|two| two.first_chunk())
                else {
                    return truncated();
                };
                at += 2 + usize::from(u16::from_be_bytes(length)).max(2);
                in_scan = marker == 0xda;
            }
            // Not a marker: the decoder judges.
            _ if in_scan => at += 1,
            _ => return Ok(()),
        }
    }
}
