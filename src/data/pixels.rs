//! Arithmetic on pixels: luminance, and images cut to a size.

use image::{
    GrayImage, RgbImage,
    imageops::{self, FilterType},
    metadata::Orientation,
};

use crate::{
    Error, Result,
    config::{ImageSize, Shape},
    error::phrase,
};

/// Largest number of bytes of pixels of a part of a data set, 8 GiB.
pub(super) const MAX_BYTES: u64 = 8 << 30;

/// The grey of a colour, bit for bit as Pillow's `convert("L")`: 0.299 R + 0.587 G + 0.114 B (ITU-R
/// BT.601-7, 2.5.1) with 16 fractional bits.
pub fn luminance(rgb: [u8; 3]) -> u8 {
    let [red, green, blue] = rgb.map(u32::from);
    // At most 255: the weights add up to 2^16.
    ((19_595 * red + 38_470 * green + 7_471 * blue + 0x8000) >> 16) as u8
}

/// Whether the orientation exchanges rows and columns.
pub(crate) fn swaps_sides(orientation: Orientation) -> bool {
    use Orientation::{Rotate90, Rotate90FlipH, Rotate270, Rotate270FlipH};
    matches!(orientation, Rotate90 | Rotate270 | Rotate90FlipH | Rotate270FlipH)
}

/// Returns an error if `count` images of `shape` do not fit in memory within [`MAX_BYTES`].
pub(super) fn check_bytes(name: &str, count: usize, shape: Shape) -> Result<()> {
    let [channels, height, width]: [u32; 3] = shape.into();
    let bytes = [channels, height, width]
        .iter()
        .try_fold(count as u64, |product, &size| product.checked_mul(size.into()));
    match bytes {
        Some(bytes) if bytes <= MAX_BYTES && usize::try_from(bytes).is_ok() => Ok(()),
        _ => Err(Error::Settings(phrase!(
            "{}: {} images of {}×{}×{} are more than {} GiB of pixels; a smaller <image-size> \
             needs less",
            name,
            count,
            channels,
            height,
            width,
            MAX_BYTES >> 30
        ))),
    }
}

/// Size after the shorter side is resized so that `size` is covered, and the first row and column
/// of the centre. As torchvision's Resize and CenterCrop: the longer side is rounded down, the
/// margin is rounded half to even.
fn covering([height, width]: [u32; 2], size: ImageSize) -> ([u32; 2], [u32; 2]) {
    let (h, w) = (u64::from(height.max(1)), u64::from(width.max(1)));
    let (to_h, to_w) = (u64::from(size.height), u64::from(size.width));
    let scaled = if to_h * w >= to_w * h {
        [to_h, (to_h * w / h).max(to_w)]
    } else {
        [(to_w * h / w).max(to_h), to_w]
    };
    let margin = |side: u64, to: u64| {
        let rest = side - to;
        (rest / 2 + u64::from(rest % 4 == 3)) as u32
    };
    // Sides are below 2^28 each: pictures have at most that many pixels.
    (scaled.map(|side| side as u32), [margin(scaled[0], to_h), margin(scaled[1], to_w)])
}

/// A plane of bytes, resized and cut to `size`; bilinear, antialiased.
pub(super) fn fit_plane(plane: &[u8], sides: [u32; 2], size: ImageSize) -> Vec<u8> {
    let image = GrayImage::from_raw(sides[1], sides[0], plane.to_vec()).unwrap_or_default();
    fit_grey(image, size).into_raw()
}

macro_rules! fit {
    ($name:ident, $kind:ty) => {
        /// An image, resized and cut to `size`; bilinear, antialiased.
        pub(super) fn $name(image: $kind, size: ImageSize) -> $kind {
            let sides = [image.height(), image.width()];
            if sides == [size.height, size.width] {
                return image;
            }
            // What lies outside the centre is cut off before resizing as far as it has no effect:
            // a line of 1 × 100,000 pixels is no large image.
            let image = inner(image, size);
            let sides = [image.height(), image.width()];
            let ([height, width], [top, left]) = covering(sides, size);
            let scaled = if [height, width] == sides {
                image
            } else {
                imageops::resize(&image, width, height, FilterType::Triangle)
            };
            imageops::crop_imm(&scaled, left, top, size.width, size.height).to_image()
        }
    };
}

fit!(fit_grey, GrayImage);
fit!(fit_rgb, RgbImage);

/// The middle of an image so long that its scaled form would be large.
fn inner<P: image::Pixel<Subpixel = u8> + 'static>(
    image: image::ImageBuffer<P, Vec<u8>>,
    size: ImageSize,
) -> image::ImageBuffer<P, Vec<u8>> {
    const MOST: u64 = 1 << 26;
    let (width, height) = image.dimensions();
    let ([to_h, to_w], _) = covering([height, width], size);
    if u64::from(to_h) * u64::from(to_w) <= MOST {
        return image;
    }
    let (h, w) =
        if u64::from(size.height) * u64::from(width) >= u64::from(size.width) * u64::from(height) {
            let most = (u64::from(height) * u64::from(size.width)).div_ceil(size.height.into()) + 8;
            (height, width.min(most as u32))
        } else {
            let most = (u64::from(width) * u64::from(size.height)).div_ceil(size.width.into()) + 8;
            (height.min(most as u32), width)
        };
    imageops::crop_imm(&image, (width - w) / 2, (height - h) / 2, w, h).to_image()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shorter_side_is_resized_and_the_centre_is_cut() {
        let size = |height, width| ImageSize { height, width };
        // Nothing to resize: columns 6 to 13 of 20.
        assert_eq!(covering([8, 20], size(8, 8)), ([8, 20], [0, 6]));
        // Margins of 1.5 and 2.5 are rounded to the even 2.
        assert_eq!(covering([8, 11], size(8, 8)), ([8, 11], [0, 2]));
        assert_eq!(covering([8, 13], size(8, 8)), ([8, 13], [0, 2]));
        // int(8 · 17 / 31) of torchvision, the other way round.
        assert_eq!(covering([31, 17], size(8, 8)), ([14, 8], [3, 0]));
        assert_eq!(covering([1, 1], size(8, 4)), ([8, 8], [0, 2]));
        let row: Vec<u8> = (0..20).collect();
        assert_eq!(fit_plane(&row, [1, 20], size(1, 4)), [8, 9, 10, 11]);
        let long = vec![9; 200_000];
        assert_eq!(fit_plane(&long, [1, 200_000], size(600, 500)), vec![9; 300_000]);
    }

    #[test]
    fn more_pixels_than_memory_are_refused() {
        let shape = Shape::new(3, 4096, 4096);
        assert!(check_bytes("x", 100, shape).is_ok());
        for count in [1000, usize::MAX] {
            let text = check_bytes("x", count, shape).unwrap_err().to_string();
            assert!(text.contains("image-size"), "{text}");
        }
    }
}
