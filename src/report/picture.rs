//! Reads a user's own pictures as images for a network.

use std::path::Path;

use image::{
    DynamicImage, GrayImage, ImageDecoder, ImageError, ImageResult, Limits, Rgba,
    error::{LimitError, LimitErrorKind},
    imageops::FilterType,
    metadata::Orientation,
};

use crate::{
    Error, Result,
    config::Shape,
    data::{luminance, png, swaps_sides},
    files::{DEFLATE_BEST_RATIO, read_bounded},
};

/// Largest file in bytes.
const MOST_BYTES: u64 = 64 << 20;
/// Largest side in pixels.
const MOST_SIDE: u32 = 16_384;
/// Largest total number of pixels.
const MOST_PIXELS: u64 = 1 << 26;

/// The ground that transparent pixels are drawn on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ground {
    /// White, for dark visible pixels.
    White,
    /// Black, for light visible pixels.
    Black,
}

/// A picture in the form that a network takes, with the conversions that were applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Bytes [channel, row, column] of the requested shape.
    pub pixels: Vec<u8>,
    /// The ground of its transparent pixels; `None` if every pixel is opaque.
    pub ground: Option<Ground>,
    /// Whether it was rotated or mirrored by the file's EXIF orientation.
    pub is_turned: bool,
    /// Whether every pixel of the file is fully transparent.
    pub is_transparent: bool,
}

impl Picture {
    /// Whether all pixels have the same colour, so that nothing is visible.
    pub fn is_blank(&self, shape: Shape) -> bool {
        let plane = (shape.pixels() as usize).max(1);
        plane > 1
            && self.pixels.chunks(plane).all(|plane| plane.iter().all(|value| *value == plane[0]))
    }
}

/// The PNG picture at `path` for a network that takes images of `shape`. It is rotated by its EXIF
/// orientation. Transparent pixels are drawn on the ground that contrasts with the visible pixels.
/// It becomes grey ([`luminance`]) for one channel and stays in colour for three, and is scaled to
/// the shape whatever its proportions. `invert` swaps dark and light.
///
/// # Errors
/// [`Error::Io`] for a file that cannot be read; [`Error::Format`] for a file that is not a PNG, or
/// has more than 16,384 pixels per side or 2^26 pixels; [`Error::Model`] for images with neither
/// one nor three channels.
pub fn read_picture(path: &Path, shape: Shape, invert: bool) -> Result<Picture> {
    parse_picture(path, &read_bounded(path, MOST_BYTES)?, shape, invert)
}

/// [`read_picture`] from the bytes of a PNG file; `path` only names them in errors. Declared sizes
/// are limited by the number of bytes: memory is at most 34 kB per byte, and 0.8 GB in total.
///
/// # Errors
/// As [`read_picture`].
pub fn parse_picture(path: &Path, bytes: &[u8], shape: Shape, invert: bool) -> Result<Picture> {
    if shape.channels != 1 && shape.channels != 3 {
        return Err(Error::Model(format!(
            "a picture has 1 channel or 3, the model takes {}",
            shape.channels
        )));
    }
    let picture = decode(bytes).map_err(|error| {
        Error::format(
            path,
            format!(
                "not a PNG picture of at most {MOST_SIDE} pixels a side and {MOST_PIXELS} in all: \
                                     {error}"
            ),
        )
    })?;
    // Done before scaling, which would mix in the colours of transparent pixels.
    let (opaque, ground, is_transparent) = on_ground(picture);
    let orientation = png::orientation(bytes).unwrap_or(Orientation::NoTransforms);
    let (width, height) = if swaps_sides(orientation) {
        (shape.height, shape.width)
    } else {
        (shape.width, shape.height)
    };
    let colored = if shape.channels == 1 { grey(opaque).into() } else { opaque };
    let mut scaled = colored.resize_exact(width, height, FilterType::Triangle);
    scaled.apply_orientation(orientation);
    let mut pixels: Vec<u8> = if shape.channels == 1 {
        scaled.into_luma8().into_raw()
    } else {
        let rgb = scaled.into_rgb8();
        (0..3)
            .flat_map(|channel| rgb.pixels().map(move |pixel| pixel[channel]).collect::<Vec<u8>>())
            .collect()
    };
    if invert {
        pixels.iter_mut().for_each(|value| *value = 255 - *value);
    }
    Ok(Picture {
        pixels,
        ground,
        is_turned: orientation != Orientation::NoTransforms,
        is_transparent,
    })
}

fn grey(picture: DynamicImage) -> GrayImage {
    let (width, height) = (picture.width(), picture.height());
    let values = match picture {
        DynamicImage::ImageLuma8(grey) => return grey,
        DynamicImage::ImageRgba8(rgba) => rgba
            .pixels()
            .map(|&Rgba([red, green, blue, _])| luminance([red, green, blue]))
            .collect(),
        other => other.into_rgb8().pixels().map(|pixel| luminance(pixel.0)).collect(),
    };
    GrayImage::from_raw(width, height, values).unwrap_or_default() // a value a pixel
}

/// The picture without transparency, the ground of its transparent pixels, and whether all pixels
/// are transparent. It is changed in place, so that a large picture takes no more memory than its
/// decoder gave it.
fn on_ground(picture: DynamicImage) -> (DynamicImage, Option<Ground>, bool) {
    let mut picture = match picture {
        DynamicImage::ImageLuma8(_) | DynamicImage::ImageLuma16(_) => {
            return (picture.into_luma8().into(), None, false);
        }
        opaque if !opaque.color().has_alpha() => return (opaque.into_rgb8().into(), None, false),
        other => other.into_rgba8(),
    };
    // Each pixel counts in proportion to its opacity.
    let (mut visible, mut light) = (0u64, 0u64);
    let mut is_opaque = true;
    for &Rgba([red, green, blue, alpha]) in picture.pixels() {
        is_opaque &= alpha == 255;
        visible += u64::from(alpha);
        light += u64::from(alpha) * u64::from(luminance([red, green, blue]));
    }
    let ground = if 2 * light < 255 * visible { Ground::White } else { Ground::Black };
    let below = if ground == Ground::White { 255 } else { 0 };
    for Rgba([red, green, blue, alpha]) in picture.pixels_mut() {
        let share = u32::from(*alpha);
        for value in [red, green, blue] {
            *value = ((u32::from(*value) * share + below * (255 - share) + 127) / 255) as u8;
        }
        *alpha = 255;
    }
    (picture.into(), (!is_opaque).then_some(ground), visible == 0)
}

fn decode(bytes: &[u8]) -> ImageResult<DynamicImage> {
    let mut limits = Limits::default();
    limits.max_image_width = Some(MOST_SIDE);
    limits.max_image_height = Some(MOST_SIDE);
    // Enough for a few rows and for the content of other chunks; the pixels have their own bound.
    limits.max_alloc = Some(1 << 22);
    let decoder = png::decoder(bytes, limits)?;
    let (width, height) = decoder.dimensions();
    let packed =
        (u64::from(width) * u64::from(bits_per_pixel(bytes))).div_ceil(8) * u64::from(height);
    if u64::from(width) * u64::from(height) > MOST_PIXELS
        || packed > bytes.len() as u64 * DEFLATE_BEST_RATIO
    {
        return Err(ImageError::Limits(LimitError::from_kind(LimitErrorKind::DimensionError)));
    }
    DynamicImage::from_decoder(decoder)
}

/// Bits per pixel from the file's header, which a decoder has accepted (PNG specification, 11.2.1).
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
    use std::io::Cursor;

    use image::{ImageEncoder, ImageFormat, LumaA, Rgb, RgbImage};

    use super::*;

    const NAME: &str = "a.png";

    fn parsed(bytes: &[u8], shape: Shape, invert: bool) -> Picture {
        parse_picture(Path::new(NAME), bytes, shape, invert).expect("a picture")
    }

    fn encoded(picture: impl Into<DynamicImage>) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        picture.into().write_to(&mut bytes, ImageFormat::Png).expect("encoded");
        bytes.into_inner()
    }

    /// A chunk of a PNG file.
    fn chunk(kind: [u8; 4], data: &[u8]) -> Vec<u8> {
        let mut crc = flate2::Crc::new();
        crc.update(&[&kind[..], data].concat());
        [&(data.len() as u32).to_be_bytes()[..], &kind, data, &crc.sum().to_be_bytes()].concat()
    }

    /// A PNG file of 4 × 1 pixels with this depth, colour type, chunks before the pixels, and bytes
    /// of the row.
    fn written_out(depth: u8, color: u8, chunks: &[Vec<u8>], row: &[u8]) -> Vec<u8> {
        use std::io::Write;
        let header =
            [&4u32.to_be_bytes()[..], &1u32.to_be_bytes(), &[depth, color, 0, 0, 0]].concat();
        let mut packed = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(&[&[0], row].concat()).expect("packed");
        let pixels = chunk(*b"IDAT", &packed.finish().expect("packed"));
        [
            b"\x89PNG\r\n\x1a\n".to_vec(),
            chunk(*b"IHDR", &header),
            chunks.concat(),
            pixels,
            chunk(*b"IEND", &[]),
        ]
        .concat()
    }

    #[test]
    fn pictures_are_scaled_and_converted() {
        // Red on the left, transparent on the right.
        let picture = image::RgbaImage::from_fn(8, 4, |x, _| {
            if x < 4 { Rgba([255, 0, 0, 255]) } else { Rgba([9, 9, 9, 0]) }
        });
        let color = parsed(&encoded(picture), Shape::new(3, 2, 2), false);
        assert_eq!(color.ground, Some(Ground::White));
        assert_eq!(color.pixels[..4], [255; 4]);
        assert!(color.pixels[4] < 55 && color.pixels[5] > 200, "{color:?}");
        assert!(matches!(
            parse_picture(Path::new(NAME), &[], Shape::new(2, 2, 2), false),
            Err(Error::Model(_))
        ));
        let palette = include_bytes!("../../fuzz/crashes/picture/palette-of-a-third-of-a-colour");
        assert_eq!(
            png::chunks(palette, *b"PLTE").map(|(length, _)| length).collect::<Vec<_>>(),
            [49]
        );
        let cut = parse_picture(
            Path::new(NAME),
            b"\x89PNG\r\n\x1a\nnothing more",
            Shape::new(1, 2, 2),
            false,
        );
        assert!(matches!(cut, Err(Error::Format { .. })));
    }

    /// Expected values are those of Pillow, `Image.new("RGB", (1, 1), rgb).convert("L")`.
    #[test]
    fn greys_are_those_of_pillow() {
        for (rgb, expected) in [
            ([255, 0, 0], 76),
            ([0, 255, 0], 150),
            ([0, 0, 255], 29),
            ([255, 255, 0], 226),
            ([200, 30, 90], 88),
            ([12, 200, 77], 130),
            ([1, 2, 3], 2),
            ([255, 255, 255], 255),
            ([128, 128, 128], 128),
        ] {
            assert_eq!(luminance(rgb), expected, "{rgb:?}");
            let picture = RgbImage::from_pixel(3, 2, Rgb(rgb));
            assert_eq!(
                parsed(&encoded(picture), Shape::new(1, 2, 3), false).pixels,
                [expected; 6],
                "{rgb:?}"
            );
        }
    }

    /// Ink on transparent pixels, in every way that PNG encodes transparency: the ink must contrast
    /// with the ground.
    #[test]
    fn ink_stands_out_from_what_is_transparent() {
        let row = Shape::new(1, 1, 4);
        let rgba =
            |ink: [u8; 4], alpha: u8| {
                image::RgbaImage::from_fn(4, 1, |x, _| {
                    if x == 1 { Rgba(ink) } else { Rgba([0, 0, 0, alpha]) }
                })
            };
        let grey_alpha = |ink: u8| {
            image::GrayAlphaImage::from_fn(4, 1, |x, _| {
                LumaA(if x == 1 { [ink, 255] } else { [ink, 0] })
            })
        };
        let deep = image::ImageBuffer::from_fn(4, 1, |x, _| {
            Rgba(if x == 1 { [257u16 * 250, 257 * 250, 257 * 250, 65535] } else { [0u16; 4] })
        });
        let palette = |ink: u8| {
            let (colors, transparency) =
                (chunk(*b"PLTE", &[ink, ink, ink, 7, 7, 7]), chunk(*b"tRNS", &[255, 0]));
            written_out(8, 3, &[colors, transparency], &[1, 0, 1, 1])
        };
        let color_key = |ink: u8| {
            written_out(
                8,
                2,
                &[chunk(*b"tRNS", &[0, 9, 0, 9, 0, 9])],
                &[9, 9, 9, ink, ink, ink, 9, 9, 9, 9, 9, 9],
            )
        };
        let grey_key = |ink: u8| written_out(8, 0, &[chunk(*b"tRNS", &[0, 9])], &[9, ink, 9, 9]);
        let white = Some(Ground::White);
        let black = Some(Ground::Black);
        for (what, bytes, ground, expected) in [
            ("opaque", encoded(rgba([90, 90, 90, 255], 255)), None, [0, 90, 0, 0]),
            ("dark", encoded(rgba([10, 10, 10, 255], 0)), white, [255, 10, 255, 255]),
            ("light", encoded(rgba([240, 240, 240, 255], 0)), black, [0, 240, 0, 0]),
            ("half", encoded(rgba([0, 0, 0, 128], 0)), white, [255, 127, 255, 255]),
            ("grey and alpha, dark", encoded(grey_alpha(0)), white, [255, 0, 255, 255]),
            ("grey and alpha, light", encoded(grey_alpha(255)), black, [0, 255, 0, 0]),
            ("16 bit", encoded(DynamicImage::ImageRgba16(deep)), black, [0, 250, 0, 0]),
            ("palette, dark", palette(3), white, [255, 3, 255, 255]),
            ("palette, light", palette(200), black, [0, 200, 0, 0]),
            ("colour key, dark", color_key(0), white, [255, 0, 255, 255]),
            ("colour key, light", color_key(255), black, [0, 255, 0, 0]),
            ("grey key", grey_key(0), white, [255, 0, 255, 255]),
        ] {
            let picture = parsed(&bytes, row, false);
            assert_eq!((picture.ground, &picture.pixels[..]), (ground, &expected[..]), "{what}");
            assert!(!picture.is_blank(row) && !picture.is_transparent, "{what}");
            let inverted = expected.map(|value| 255 - value);
            assert_eq!(parsed(&bytes, row, true).pixels, inverted, "{what}");
        }
        let nothing = parsed(&encoded(rgba([0, 0, 0, 0], 0)), row, false);
        assert!(nothing.is_transparent && nothing.is_blank(row));
        let flat = parsed(
            &encoded(RgbImage::from_pixel(4, 1, Rgb([7, 90, 200]))),
            Shape::new(3, 1, 4),
            false,
        );
        assert!(
            flat.is_blank(Shape::new(3, 1, 4)) && !flat.is_transparent && flat.ground.is_none()
        );
        // An image of one pixel always has one colour.
        assert!(
            !parsed(&encoded(rgba([0, 0, 0, 255], 255)), Shape::new(1, 1, 1), false)
                .is_blank(Shape::new(1, 1, 1))
        );
    }

    /// The four pixels 10, 20 over 30, 40, stored in each orientation, with the EXIF data before or
    /// after the pixels.
    #[test]
    fn orientations_of_exif_are_applied() {
        let (width, shape) = (2, Shape::new(1, 2, 2));
        for (orientation, expected) in [
            (1, [10, 20, 30, 40]),
            (2, [20, 10, 40, 30]),
            (3, [40, 30, 20, 10]),
            (4, [30, 40, 10, 20]),
            (5, [10, 30, 20, 40]),
            (6, [30, 10, 40, 20]),
            (7, [40, 20, 30, 10]),
            (8, [20, 40, 10, 30]),
        ] {
            let exif = [
                &b"MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0"[..],
                &[orientation],
                &[0; 6],
            ]
            .concat();
            let mut bytes = Vec::new();
            let mut encoder = image::codecs::png::PngEncoder::new(&mut bytes);
            encoder.set_exif_metadata(exif.clone()).expect("metadata");
            encoder
                .write_image(&[10, 20, 30, 40], width, 2, image::ExtendedColorType::L8)
                .expect("encoded");
            let picture = parsed(&bytes, shape, false);
            assert_eq!(
                (&picture.pixels[..], picture.is_turned),
                (&expected[..], orientation != 1),
                "{orientation}"
            );
            let plain =
                encoded(GrayImage::from_raw(width, 2, vec![10, 20, 30, 40]).expect("four pixels"));
            let end = plain.len() - 12;
            let behind = [&plain[..end], &chunk(*b"eXIf", &exif), &plain[end..]].concat();
            assert_eq!(parsed(&behind, shape, false), picture, "{orientation} behind the pixels");
        }
    }
}
