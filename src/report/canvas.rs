//! Common parts of the image grids: cells, labels, a colour bar and captions, drawn as pixels or as
//! SVG.

use std::fmt::Write;

use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder, RgbImage};

use super::colormap::{ColorMap, Rgb, SaliencyScale};
use super::html::base64;
use super::text::{self, Size};
use crate::config::Shape;
use crate::{Error, Result};

/// Margin around the whole figure, in pixels.
pub(super) const MARGIN: u32 = 18;
/// Space between neighbouring cells.
pub(super) const GAP: u32 = 6;
/// Text colours; all have a contrast of at least 5:1 on white.
pub(super) const INK: Rgb = [0x1f, 0x23, 0x28];
pub(super) const FAINT: Rgb = [0x5f, 0x66, 0x6d];
pub(super) const WRONG: Rgb = [0xb4, 0x14, 0x28];
/// Colour of frames and rules.
const LINE: Rgb = [0xc4, 0xc8, 0xcc];
/// Largest number of rows drawn; a taller figure would be unreadable.
pub(super) const MAX_ROWS: usize = 200;
const MIN_WIDTH: u32 = 480;
const BAR: (u32, u32) = (240, 12);

/// How the pixels of an image fill a cell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Cell {
    shape: Shape,
    /// Every `stride`-th pixel is drawn (1 unless the image is larger than a cell may be) …
    stride: u32,
    /// … as a square of `scale` × `scale`.
    scale: u32,
}

impl Cell {
    /// About 84 pixels for the longer side: the smallest whole factor that reaches it.
    pub(super) fn of(shape: Shape) -> Cell {
        let side = shape.height.max(shape.width).max(1);
        Cell { shape, stride: side.div_ceil(256), scale: 84_u32.div_ceil(side) }
    }

    /// The same cell for pictures of `shape`, which have other channels.
    pub(super) fn with_shape(self, shape: Shape) -> Cell {
        Cell { shape, ..self }
    }

    pub(super) fn width(self) -> u32 {
        self.shape.width.div_ceil(self.stride) * self.scale
    }

    pub(super) fn height(self) -> u32 {
        self.shape.height.div_ceil(self.stride) * self.scale
    }
}

/// Values of the `index`-th image of `values` (N·C·H·W); empty where there are too few.
pub(super) fn nth(values: &[f32], shape: Shape, index: usize) -> &[f32] {
    let size = elements(shape);
    index
        .checked_mul(size)
        .and_then(|start| values.get(start..start.checked_add(size)?))
        .unwrap_or(&[])
}

fn elements(shape: Shape) -> usize {
    [shape.channels, shape.height, shape.width]
        .iter()
        .fold(1, |size: usize, &n| size.saturating_mul(n as usize))
}

/// Checks that `values` contains `images` images of `shape`.
///
/// # Errors
/// [`Error::Data`] with `what` and both counts.
pub(super) fn expect_images(what: &str, values: &[f32], images: usize, shape: Shape) -> Result<()> {
    let expected = images.saturating_mul(elements(shape));
    if values.len() == expected {
        return Ok(());
    }
    let Shape { channels, height, width } = shape;
    Err(Error::Data(format!(
        "cannot draw {what}: {} values where {images} images of {channels}×{height}×{width} need \
         {expected}",
        values.len()
    )))
}

/// Mean over the channels, H·W values. Missing values become NaN.
fn channel_mean(values: &[f32], shape: Shape) -> Vec<f32> {
    let channels = shape.channels as f32;
    channel_sum(values, shape).into_iter().map(|sum| sum / channels).collect()
}

/// Sum over the channels, H·W values, because a saliency map is shown as one image. Missing values
/// become NaN.
pub(super) fn channel_sum(values: &[f32], shape: Shape) -> Vec<f32> {
    let pixels = (shape.height as usize).saturating_mul(shape.width as usize);
    let channels = shape.channels as usize;
    (0..pixels)
        .map(|pixel| {
            (0..channels)
                .map(|c| values.get(c * pixels + pixel).copied().unwrap_or(f32::NAN))
                .sum::<f32>()
        })
        .collect()
}

/// The name of class `class`, or its number.
pub(super) fn class_name(names: &[String], class: usize) -> String {
    names.get(class).cloned().unwrap_or_else(|| class.to_string())
}

/// The interface of a drawing target.
pub(super) trait Surface {
    /// A white surface of `width` × `height` pixels.
    fn blank(width: u32, height: u32) -> Self;
    /// A filled rectangle.
    fn fill(&mut self, x: u32, y: u32, width: u32, height: u32, color: Rgb);
    /// A line of text with its top left corner at (`x`, `y`).
    fn text(&mut self, x: u32, y: u32, content: &str, size: Size, color: Rgb);
    /// `pixels` with its top left corner at (`x`, `y`), each as a square of `scale` × `scale`.
    fn pixels(&mut self, x: u32, y: u32, pixels: &RgbImage, scale: u32);
}

impl Surface for RgbImage {
    fn blank(width: u32, height: u32) -> Self {
        RgbImage::from_pixel(width, height, image::Rgb([255; 3]))
    }

    fn fill(&mut self, x: u32, y: u32, width: u32, height: u32, color: Rgb) {
        for py in y..y.saturating_add(height).min(self.height()) {
            for px in x..x.saturating_add(width).min(self.width()) {
                self.put_pixel(px, py, image::Rgb(color));
            }
        }
    }

    fn text(&mut self, x: u32, y: u32, content: &str, size: Size, color: Rgb) {
        text::draw(self, x, y, content, size, color);
    }

    fn pixels(&mut self, x: u32, y: u32, pixels: &RgbImage, scale: u32) {
        for (column, row, pixel) in pixels.enumerate_pixels() {
            self.fill(x + column * scale, y + row * scale, scale, scale, pixel.0);
        }
    }
}

/// An SVG file being drawn.
pub(super) struct Svg(String);

impl Svg {
    /// The finished file.
    pub(super) fn finish(self) -> String {
        self.0 + "</svg>\n"
    }
}

impl Surface for Svg {
    fn blank(width: u32, height: u32) -> Self {
        Svg(format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\" font-family=\"DejaVu Sans, system-ui, \
             sans-serif\"><rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>"
        ))
    }

    fn fill(&mut self, x: u32, y: u32, width: u32, height: u32, [red, green, blue]: Rgb) {
        // Writing to a string cannot fail.
        let _ = write!(
            self.0,
            "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" \
             fill=\"#{red:02x}{green:02x}{blue:02x}\"/>"
        );
    }

    fn text(&mut self, x: u32, y: u32, content: &str, size: Size, color: Rgb) {
        if !content.is_empty() {
            self.0 += &text::svg(x, y, content, size, color);
        }
    }

    fn pixels(&mut self, x: u32, y: u32, pixels: &RgbImage, scale: u32) {
        let (width, height) = (pixels.width() * scale, pixels.height() * scale);
        // A cell has at least one pixel, because its shape has.
        let png = encode_png(pixels).map_or(String::new(), |png| base64(&png));
        let _ = write!(
            self.0,
            "<image x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" \
             style=\"image-rendering:pixelated\" href=\"data:image/png;base64,{png}\"/>"
        );
    }
}

/// A white figure being drawn.
pub(super) struct Canvas<S> {
    surface: S,
}

impl<S: Surface> Canvas<S> {
    pub(super) fn new(width: u32, height: u32) -> Canvas<S> {
        Canvas { surface: S::blank(width, height) }
    }

    pub(super) fn finish(self) -> S {
        self.surface
    }

    fn fill(&mut self, x: u32, y: u32, width: u32, height: u32, color: Rgb) {
        self.surface.fill(x, y, width, height, color);
    }

    pub(super) fn text(&mut self, x: u32, y: u32, content: &str, size: Size, color: Rgb) {
        self.surface.text(x, y, content, size, color);
    }

    /// Lines of text from (`x`, `y`) down; returns the y below them.
    pub(super) fn lines(
        &mut self,
        x: u32,
        mut y: u32,
        lines: &[String],
        size: Size,
        color: Rgb,
    ) -> u32 {
        for line in lines {
            self.text(x, y, line, size, color);
            y += size.line();
        }
        y
    }

    /// A thin horizontal line.
    pub(super) fn rule(&mut self, x: u32, y: u32, width: u32) {
        self.fill(x, y, width, 1, LINE);
    }

    fn cell(&mut self, x: u32, y: u32, cell: Cell, color: impl Fn(usize) -> Rgb) {
        // The frame is needed because zero is white in signed maps, as is the background of some
        // images.
        self.fill(x - 1, y - 1, cell.width() + 2, cell.height() + 2, LINE);
        let [columns, rows] = [cell.width(), cell.height()].map(|length| length / cell.scale);
        let pixels = RgbImage::from_fn(columns, rows, |column, row| {
            let pixel = (row * cell.stride) as usize * cell.shape.width as usize
                + (column * cell.stride) as usize;
            image::Rgb(color(pixel))
        });
        self.surface.pixels(x, y, &pixels, cell.scale);
    }

    /// An image with values 0..=1 (clamped): three channels in colour, any other number as grey,
    /// from their mean.
    pub(super) fn picture(&mut self, x: u32, y: u32, cell: Cell, values: &[f32]) {
        if cell.shape.channels == 3 {
            let pixels = cell.shape.height as usize * cell.shape.width as usize;
            let at = |channel: usize, pixel: usize| {
                values.get(channel * pixels + pixel).copied().unwrap_or(f32::NAN)
            };
            self.cell(x, y, cell, |pixel| {
                let rgb = [at(0, pixel), at(1, pixel), at(2, pixel)];
                if rgb.iter().any(|v| v.is_nan()) {
                    return ColorMap::Gray.at(f32::NAN);
                }
                rgb.map(|v| (v.clamp(0.0, 1.0) * 255.0).round() as u8)
            });
        } else {
            let gray = channel_mean(values, cell.shape);
            self.cell(x, y, cell, |pixel| ColorMap::Gray.at(gray[pixel]));
        }
    }

    /// A saliency map (C·H·W values) in the colours of `map`, with its own scale.
    pub(super) fn saliency(
        &mut self,
        x: u32,
        y: u32,
        cell: Cell,
        values: &[f32],
        map: ColorMap,
        signed: bool,
    ) {
        let values = channel_sum(values, cell.shape);
        let scale = SaliencyScale { signed, ..SaliencyScale::of(&values) };
        self.cell(x, y, cell, |pixel| scale.color(map, values[pixel]));
    }

    /// The map drawn over its image (mean of the channels, in grey from dark to white). A more
    /// salient pixel has more of the map's colour.
    pub(super) fn overlay(
        &mut self,
        (x, y): (u32, u32),
        cell: Cell,
        [image, values]: [&[f32]; 2],
        map: ColorMap,
        signed: bool,
    ) {
        const DARKEST: f32 = 0.3;
        let (values, gray) = (channel_sum(values, cell.shape), channel_mean(image, cell.shape));
        let scale = SaliencyScale { signed, ..SaliencyScale::of(&values) };
        self.cell(x, y, cell, |pixel| {
            let color = scale.color(map, values[pixel]);
            let below = DARKEST + (1.0 - DARKEST) * gray[pixel].clamp(0.0, 1.0);
            let share = (values[pixel].abs() / scale.limit).min(1.0).sqrt() * 0.9;
            if share.is_nan() || below.is_nan() {
                return ColorMap::Gray.at(f32::NAN);
            }
            color.map(|channel| {
                (f32::from(channel) * share + 255.0 * below * (1.0 - share)).round() as u8
            })
        });
    }

    /// The colour bar with its labels from (`x`, `y`) down, and the caption lines below it.
    pub(super) fn footer(
        &mut self,
        x: u32,
        y: u32,
        map: ColorMap,
        signed: bool,
        caption: &[String],
    ) {
        let (width, height) = BAR;
        self.fill(x - 1, y - 1, width + 2, height + 2, LINE);
        for column in 0..width {
            let share = column as f32 / (width - 1) as f32;
            // An unsigned map in diverging colours uses only their positive half.
            let position =
                if !signed && map == ColorMap::Diverging { 0.5 + 0.5 * share } else { share };
            self.fill(x + column, y, 1, height, map.at(position));
        }
        let labels: &[(&str, u32)] = if signed {
            &[("negative", 0), ("0", 1), ("positive", 2)]
        } else {
            &[("0", 0), ("most salient", 2)]
        };
        for &(label, place) in labels {
            let room = width - text::width(label, Size::SMALL);
            self.text(x + room * place / 2, y + height + 3, label, Size::SMALL, INK);
        }
        self.lines(x, y + BAR_SPACE, caption, Size::SMALL, FAINT);
    }
}

/// Height of the colour bar with its labels and the space below.
const BAR_SPACE: u32 = 44;

/// Sizes of the parts above and below the cells.
pub(super) struct Frame {
    /// Width of the whole figure.
    pub(super) width: u32,
    pub(super) title: Vec<String>,
    pub(super) caption: Vec<String>,
}

impl Frame {
    /// A frame for cells and headings that are `content` pixels wide.
    pub(super) fn new(content: u32, title: &str, caption: &str) -> Frame {
        let width = (content + 2 * MARGIN).max(MIN_WIDTH);
        let room = width - 2 * MARGIN;
        // Long lines are hard to read, even in a wide figure.
        let caption = text::wrap(caption, Size::SMALL, room.min(900));
        Frame { width, title: text::wrap(title, Size::LARGE, room), caption }
    }

    /// y of the first heading.
    pub(super) fn top(&self) -> u32 {
        let title = self.title.len() as u32 * Size::LARGE.line();
        MARGIN + if title == 0 { 0 } else { title + 10 }
    }

    /// Height of colour bar, caption and lower margin.
    pub(super) fn footer(&self) -> u32 {
        BAR_SPACE + self.caption.len() as u32 * Size::SMALL.line() + MARGIN
    }
}

/// `image` as PNG.
///
/// # Errors
/// [`Error::Data`] when the image has no pixels or is too large for the format.
pub(super) fn encode_png(image: &RgbImage) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    PngEncoder::new_with_quality(&mut bytes, CompressionType::Best, FilterType::NoFilter)
        .write_image(image.as_raw(), image.width(), image.height(), ExtendedColorType::Rgb8)
        .map_err(|error| Error::Data(format!("cannot make a PNG picture: {error}")))?;
    Ok(bytes)
}
