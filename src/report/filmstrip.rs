//! Saliency maps of a few images during training: the paper's "real-time explanations during the
//! training phase".

use std::path::Path;

use image::RgbImage;

use super::canvas::{
    Canvas, Cell, FAINT, Frame, GAP, INK, MARGIN, MAX_ROWS, channel_sum, class_name, encode_png,
    expect_images, nth,
};
use super::colormap::ColorMap;
use super::grid::meaning;
use super::text::{self, Size};
use super::write_atomically;
use crate::Result;
use crate::config::Shape;

/// One row per image, one column per training step.
#[derive(Clone, Debug)]
pub struct Filmstrip<'a> {
    /// Heading of the whole figure; may be empty.
    pub title: &'a str,
    /// Shape of one image.
    pub shape: Shape,
    /// The images, N·C·H·W in 0..=1.
    pub images: &'a [f32],
    /// True class of each; their number is the number of rows (at most the first 200 are drawn).
    pub labels: &'a [u32],
    /// Names of the classes; a class without a name is shown by its number.
    pub class_names: &'a [String],
    /// Pairs of the number of steps and the gradients of the true class's score for all images,
    /// N·C·H·W, in order. Of more than 12, the first, the last and ten evenly spaced between them
    /// are drawn.
    pub frames: Vec<(u64, Vec<f32>)>,
    /// Colours of the maps.
    pub colormap: ColorMap,
}

const MAX_FRAMES: usize = 12;

impl Filmstrip<'_> {
    /// Draws the strip. Missing values are drawn in magenta; [`Filmstrip::png`] checks the arrays
    /// first.
    pub fn render(&self) -> RgbImage {
        let cell = Cell::of(self.shape);
        let rows = self.labels.len().min(MAX_ROWS);
        let frames = self.chosen();
        let any_negative =
            |values: &[f32]| channel_sum(values, self.shape).iter().any(|&v| v < 0.0);
        let signed = frames
            .iter()
            .any(|(_, maps)| (0..rows).any(|row| any_negative(nth(maps, self.shape, row))));
        let headings: Vec<String> = frames.iter().map(|(step, _)| format!("step {step}")).collect();
        let widest =
            headings.iter().map(|heading| text::width(heading, Size::SMALL)).max().unwrap_or(0);
        let (first, pitch_x) = (cell.width().max(84) + 16, cell.width().max(widest + 2) + GAP);
        let frame =
            Frame::new(first + frames.len() as u32 * pitch_x, self.title, &self.caption(signed));

        let rows_y = frame.top() + Size::SMALL.line() + 4;
        let pitch_y = cell.height() + Size::SMALL.line() + 10;
        let footer_y = rows_y + rows as u32 * pitch_y + 10;
        let mut canvas = Canvas::new(frame.width, footer_y + frame.footer());
        canvas.lines(MARGIN, MARGIN, &frame.title, Size::LARGE, INK);
        canvas.text(MARGIN, frame.top(), "image", Size::SMALL, FAINT);
        for (column, (heading, (_, maps))) in headings.iter().zip(&frames).enumerate() {
            let x = MARGIN + first + column as u32 * pitch_x;
            canvas.text(x, frame.top(), heading, Size::SMALL, FAINT);
            for row in 0..rows {
                let y = rows_y + row as u32 * pitch_y;
                canvas.saliency(x, y, cell, nth(maps, self.shape, row), self.colormap, signed);
            }
        }
        for row in 0..rows {
            let y = rows_y + row as u32 * pitch_y;
            canvas.picture(MARGIN, y, cell, nth(self.images, self.shape, row));
            let class = class_name(self.class_names, self.labels[row] as usize);
            canvas.text(
                MARGIN,
                y + cell.height() + 3,
                &text::fit(&class, Size::SMALL, first - 4),
                Size::SMALL,
                INK,
            );
        }
        canvas.footer(MARGIN, footer_y, self.colormap, signed, &frame.caption);
        canvas.finish()
    }

    /// The strip as the bytes of a PNG file.
    ///
    /// # Errors
    /// [`crate::Error::Data`] if the length of an array does not match the shape and the number of
    /// labels.
    pub fn png(&self) -> Result<Vec<u8>> {
        let rows = self.labels.len();
        expect_images("the images of a filmstrip", self.images, rows, self.shape)?;
        for (step, maps) in &self.frames {
            expect_images(&format!("the saliency maps at step {step}"), maps, rows, self.shape)?;
        }
        encode_png(&self.render())
    }

    /// Writes the strip to `path` as PNG, atomically.
    ///
    /// # Errors
    /// Errors of [`Filmstrip::png`], and [`crate::Error::Io`].
    pub fn write(&self, path: impl AsRef<Path>) -> Result<()> {
        write_atomically(path.as_ref(), &self.png()?)
    }

    fn chosen(&self) -> Vec<&(u64, Vec<f32>)> {
        let count = self.frames.len();
        if count <= MAX_FRAMES {
            return self.frames.iter().collect();
        }
        (0..MAX_FRAMES).map(|i| &self.frames[i * (count - 1) / (MAX_FRAMES - 1)]).collect()
    }

    fn caption(&self, signed: bool) -> String {
        let colors = meaning(std::iter::once(true), signed, self.colormap, "the true class");
        let shown = self.chosen().len();
        let left_out = match self.frames.len() {
            n if n > shown => format!(" {shown} of {n} snapshots are shown."),
            _ => String::new(),
        };
        format!(
            "Saliency after the given number of training steps: {colors}; each map has its own \
             scale, the 99.5th percentile of its |values|. Below each image its true \
             class.{left_out}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_and_last_frame_are_always_chosen() {
        for count in [0, 1, 11, 12, 13, 40, 1000] {
            let strip = Filmstrip {
                title: "",
                shape: Shape::new(1, 1, 1),
                images: &[],
                labels: &[],
                class_names: &[],
                frames: (0..count).map(|step| (step, Vec::new())).collect(),
                colormap: ColorMap::Diverging,
            };
            let steps: Vec<u64> = strip.chosen().iter().map(|(step, _)| *step).collect();
            assert_eq!(steps.len() as u64, count.min(12));
            assert_eq!(steps.first().copied(), (count > 0).then_some(0));
            assert_eq!(steps.last().copied(), count.checked_sub(1));
            assert!(steps.windows(2).all(|pair| pair[0] < pair[1]), "{steps:?}");
        }
    }
}
