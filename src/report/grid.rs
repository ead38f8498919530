//! The image grid of Fig. 1: images, saliency maps and masked images of several models next to each
//! other.

use std::path::Path;

use image::RgbImage;

use super::canvas::{
    Canvas, Cell, FAINT, Frame, GAP, INK, MARGIN, MAX_ROWS, Surface, Svg, WRONG, channel_sum,
    class_name, encode_png, expect_images, nth,
};
use super::colormap::ColorMap;
use super::text::{self, Size};
use super::write_atomically;
use crate::Result;
use crate::config::Shape;

/// One model and method: three cells for every image.
#[derive(Clone, Debug)]
pub struct GridColumn<'a> {
    /// Name of the model, e.g. `(4,2)`.
    pub model: &'a str,
    /// Name of the saliency method.
    pub method: &'a str,
    /// Whether the maps are derivatives: they show the effect of a change of the pixels, not the
    /// contribution of their values.
    pub derivative: bool,
    /// Saliency of every image, N·C·H·W, any finite values.
    pub saliency: &'a [f32],
    /// The channel whose map is shown, on that channel of the image; else the sum over all of them.
    pub channel: Option<u32>,
    /// Every image with its features of low saliency replaced by noise, N·C·H·W in 0..=1.
    pub masked: &'a [f32],
    /// Predicted class of each (unmasked) image.
    pub predictions: &'a [u32],
    /// Probability of that prediction, 0..=1.
    pub probabilities: &'a [f32],
    /// Accuracy of the model, 0..=1, and its number of images, for the heading.
    pub accuracy: Option<(f32, u64)>,
}

/// One row per image: the image itself, then for every column its map, the map drawn over the
/// image, and the masked image.
#[derive(Clone, Debug)]
pub struct Grid<'a> {
    /// Heading of the whole figure; may be empty.
    pub title: &'a str,
    /// Shape of one image.
    pub shape: Shape,
    /// The images, N·C·H·W in 0..=1.
    pub images: &'a [f32],
    /// True class of each image, if it has one; their number is the number of rows (at most the
    /// first 200 are drawn).
    pub labels: &'a [Option<u32>],
    /// Names of the classes; a class without a name is shown by its number.
    pub class_names: &'a [String],
    /// The class whose score the maps explain, such as `the predicted class`.
    pub explained: &'a str,
    /// Models, left to right.
    pub columns: Vec<GridColumn<'a>>,
    /// Colours of the saliency maps.
    pub colormap: ColorMap,
}

const GROUP_GAP: u32 = 22;
/// Width for a prediction such as `✗ Ankle boot · 54.2 %`.
const MIN_GROUP: u32 = 168;

impl Grid<'_> {
    /// Draws the grid. Missing values are drawn in magenta, missing predictions as `?`;
    /// [`Grid::png`] checks the arrays first.
    pub fn render(&self) -> RgbImage {
        self.draw()
    }

    fn draw<S: Surface>(&self) -> S {
        let cell = Cell::of(self.shape);
        let rows = self.labels.len().min(MAX_ROWS);
        let signed = self.signed();
        let first = cell.width().max(84);
        let group = (3 * cell.width() + 2 * GAP).max(MIN_GROUP);
        let content = first + self.columns.len() as u32 * (GROUP_GAP + group);
        let frame = Frame::new(content, self.title, &self.caption(signed));

        // Headings differ in their number of lines; the names of all models start at the same
        // height.
        let models: Vec<_> =
            self.columns.iter().map(|column| heading(column.model, Size::NORMAL, group)).collect();
        let methods: Vec<_> = self.columns.iter().map(|column| details(column, group)).collect();
        let tallest = |lines: &[Vec<String>]| lines.iter().map(Vec::len).max().unwrap_or(0) as u32;
        let models_height = tallest(&models) * Size::NORMAL.line();
        let methods_height = tallest(&methods) * Size::SMALL.line();
        let names_y = frame.top() + models_height + methods_height + 8;
        let rows_y = names_y + Size::SMALL.line() + 4;
        let pitch = cell.height() + Size::SMALL.line() + 14;
        let footer_y = rows_y + rows as u32 * pitch + 8;

        let mut canvas = Canvas::new(frame.width, footer_y + frame.footer());
        canvas.lines(MARGIN, MARGIN, &frame.title, Size::LARGE, INK);
        canvas.text(MARGIN, names_y, "image", Size::SMALL, FAINT);
        for (index, (model, method)) in models.iter().zip(&methods).enumerate() {
            let x = MARGIN + first + GROUP_GAP + index as u32 * (group + GROUP_GAP);
            canvas.lines(x, frame.top(), model, Size::NORMAL, INK);
            canvas.lines(x, frame.top() + models_height, method, Size::SMALL, FAINT);
            canvas.rule(x, names_y - 4, group);
            canvas.text(x, names_y, "saliency", Size::SMALL, FAINT);
            canvas.text(x + cell.width() + GAP, names_y, "overlay", Size::SMALL, FAINT);
            canvas.text(x + 2 * (cell.width() + GAP), names_y, "masked", Size::SMALL, FAINT);
        }
        for row in 0..rows {
            let y = rows_y + row as u32 * pitch;
            let label = self.labels[row];
            canvas.picture(MARGIN, y, cell, nth(self.images, self.shape, row));
            let name =
                label.map_or(String::new(), |class| class_name(self.class_names, class as usize));
            let name = text::fit(&name, Size::SMALL, first + GROUP_GAP - 4);
            canvas.text(MARGIN, y + cell.height() + 3, &name, Size::SMALL, INK);
            for (index, column) in self.columns.iter().enumerate() {
                let x = MARGIN + first + GROUP_GAP + index as u32 * (group + GROUP_GAP);
                let (image, map) = (self.shown(column, self.images, row), self.map(column, row));
                let own = cell.with_shape(self.shown_shape(column));
                canvas.saliency(x, y, own, map, self.colormap, signed);
                canvas.overlay(
                    (x + cell.width() + GAP, y),
                    own,
                    [image, map],
                    self.colormap,
                    signed,
                );
                canvas.picture(
                    x + 2 * (cell.width() + GAP),
                    y,
                    cell,
                    nth(column.masked, self.shape, row),
                );
                let (verdict, color) = self.verdict(column, row, label, group);
                canvas.text(x, y + cell.height() + 3, &verdict, Size::SMALL, color);
            }
        }
        canvas.footer(MARGIN, footer_y, self.colormap, signed, &frame.caption);
        canvas.finish()
    }

    /// The grid as the bytes of a PNG file.
    ///
    /// # Errors
    /// [`crate::Error::Data`] if the length of an array does not match the shape and the number of
    /// labels.
    pub fn png(&self) -> Result<Vec<u8>> {
        self.check()?;
        encode_png(&self.render())
    }

    /// The grid as an SVG file with text as text and images as pixels.
    ///
    /// # Errors
    /// As [`Grid::png`].
    pub fn svg(&self) -> Result<String> {
        self.check()?;
        Ok(self.draw::<Svg>().finish())
    }

    fn check(&self) -> Result<()> {
        let rows = self.labels.len();
        expect_images("the images of a grid", self.images, rows, self.shape)?;
        for column in &self.columns {
            expect_images(
                &format!("the saliency maps of {}", column.model),
                column.saliency,
                rows,
                self.shape,
            )?;
            expect_images(
                &format!("the masked images of {}", column.model),
                column.masked,
                rows,
                self.shape,
            )?;
            let (predictions, probabilities) =
                (column.predictions.len(), column.probabilities.len());
            if predictions != rows || probabilities != rows {
                return Err(crate::Error::Data(format!(
                    "cannot draw the predictions of {}: {predictions} predictions and \
                     {probabilities} probabilities for {rows} images",
                    column.model
                )));
            }
        }
        Ok(())
    }

    /// Writes the grid to `path` as PNG, atomically.
    ///
    /// # Errors
    /// Errors of [`Grid::png`], and [`crate::Error::Io`].
    pub fn write(&self, path: impl AsRef<Path>) -> Result<()> {
        write_atomically(path.as_ref(), &self.png()?)
    }

    /// Whether any map has a value below 0; the colours then mean the same in all maps.
    fn signed(&self) -> bool {
        let rows = self.labels.len().min(MAX_ROWS);
        let is_signed = |column: &GridColumn| {
            let shape = self.shown_shape(column);
            let any_negative = |values: &[f32]| channel_sum(values, shape).iter().any(|&v| v < 0.0);
            (0..rows).any(|row| any_negative(self.map(column, row)))
        };
        self.columns.iter().any(is_signed)
    }

    /// The map of an image that `column` shows.
    fn map<'v>(&self, column: &GridColumn<'v>, row: usize) -> &'v [f32] {
        self.shown(column, column.saliency, row)
    }

    /// The channels of an image of `values` that `column` shows.
    fn shown<'v>(&self, column: &GridColumn, values: &'v [f32], row: usize) -> &'v [f32] {
        let all = nth(values, self.shape, row);
        nth(all, self.shown_shape(column), column.channel.unwrap_or(0) as usize)
    }

    /// The shape of what `column` shows of an image.
    fn shown_shape(&self, column: &GridColumn) -> Shape {
        match column.channel {
            Some(_) => Shape { channels: 1, ..self.shape },
            None => self.shape,
        }
    }

    fn verdict(
        &self,
        column: &GridColumn,
        row: usize,
        label: Option<u32>,
        room: u32,
    ) -> (String, super::colormap::Rgb) {
        let Some(&class) = column.predictions.get(row) else { return ("?".into(), INK) };
        let (mark, right) = match label {
            None => ("", true),
            Some(label) if label == class => ("✓ ", true),
            Some(_) => ("✗ ", false),
        };
        let probability = column
            .probabilities
            .get(row)
            .map_or(String::new(), |&p| format!(" · {}", percent(p, 1)));
        // The class name is shortened, never the number.
        let room = room.saturating_sub(text::width(&probability, Size::SMALL));
        let class = text::fit(
            &format!("{mark}{}", class_name(self.class_names, class as usize)),
            Size::SMALL,
            room,
        );
        (class + &probability, if right { INK } else { WRONG })
    }

    fn caption(&self, signed: bool) -> String {
        let scored = meaning(
            self.columns.iter().map(|column| column.derivative),
            signed,
            self.colormap,
            self.explained,
        );
        let limit = if signed { "±" } else { "0 to" };
        let ranked = if signed { " (by the signed value: the most negative go first)" } else { "" };
        let apart = self.columns.iter().any(|column| column.channel.is_some());
        let sum = match self.shape.channels {
            1 => "",
            _ if apart => ", of each colour channel, on that channel of the image",
            _ => ", summed over the colour channels",
        };
        let cut = match self.labels.len() {
            n if n > MAX_ROWS => format!(" The first {MAX_ROWS} of {n} images."),
            _ => String::new(),
        };
        let known = self.labels.iter().take(MAX_ROWS).any(Option::is_some);
        let (class, wrong) = if known {
            ("Below the image its true class; below", ", ✗ (red) where it is wrong")
        } else {
            ("Below", "")
        };
        format!(
            "Saliency: {scored}{sum}; each map has its own scale, {limit} the 99.5th percentile \
             of its |values|. Overlay: the map on the image. Masked: the image with its least \
             salient pixels{ranked} replaced by noise. {class} each group the model's prediction \
             for the unmasked image and its probability{wrong}.{cut}"
        )
    }
}

/// The meaning of the colours of maps for the score of `explained`; `derivatives` as
/// [`GridColumn::derivative`].
pub(super) fn meaning(
    derivatives: impl Iterator<Item = bool> + Clone,
    signed: bool,
    colormap: ColorMap,
    explained: &str,
) -> String {
    if !signed {
        return format!("how strongly the score of {explained} depends on each pixel");
    }
    let (up, down) =
        if colormap == ColorMap::Diverging { ("red", "blue") } else { ("positive", "negative") };
    let change = format!("whether brightening a pixel raises ({up}) or lowers ({down}) the score");
    let share = format!("whether a pixel contributes for ({up}) or against ({down})");
    match (derivatives.clone().any(|is| is), derivatives.clone().any(|is| !is)) {
        (true, true) => {
            format!("{change} of {explained} (gradient methods), or {share} it (the others)")
        }
        (false, true) => format!("{share} {explained}"),
        _ => format!("{change} of {explained}"),
    }
}

/// At most two lines.
fn heading(content: &str, size: Size, room: u32) -> Vec<String> {
    let mut lines = text::wrap(content, size, room);
    if lines.len() > 2 {
        let rest = lines.split_off(1).join(" ");
        lines.push(text::fit(&rest, size, room));
    }
    lines
}

fn details(column: &GridColumn, room: u32) -> Vec<String> {
    let mut lines = heading(column.method, Size::SMALL, room);
    let accuracy = column
        .accuracy
        .map(|(accuracy, images)| format!("accuracy {} of {images} images", percent(accuracy, 2)));
    lines.extend(accuracy.map(|line| text::fit(&line, Size::SMALL, room)));
    lines
}

/// A fraction as a percentage, never rounded up to 100 or down to 0.
fn percent(fraction: f32, decimals: usize) -> String {
    let value = f64::from(fraction) * 100.0;
    let step = 10.0_f64.powi(-(decimals as i32));
    if value < 100.0 && value > 100.0 - step / 2.0 {
        return format!(">{:.decimals$} %", 100.0 - step);
    }
    if value > 0.0 && value < step / 2.0 {
        return format!("<{step:.decimals$} %");
    }
    format!("{value:.decimals$} %")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_are_never_rounded_to_certainty() {
        assert_eq!(percent(1.0, 1), "100.0 %");
        assert_eq!(percent(0.9999, 1), ">99.9 %");
        assert_eq!(percent(0.5421, 1), "54.2 %");
        assert_eq!(percent(0.0, 1), "0.0 %");
        assert_eq!(percent(1e-9, 1), "<0.1 %");
        assert_eq!(percent(0.9825, 2), "98.25 %");
    }

    #[test]
    fn colours_mean_what_the_method_says() {
        let said = |derivatives: &[bool], signed| {
            meaning(derivatives.iter().copied(), signed, ColorMap::Diverging, "the true class")
        };
        let gradient =
            "whether brightening a pixel raises (red) or lowers (blue) the score of the true class";
        assert_eq!(said(&[true, true], true), gradient);
        assert_eq!(
            said(&[false], true),
            "whether a pixel contributes for (red) or against (blue) the true class"
        );
        assert!(said(&[true, false], true).ends_with("(blue) it (the others)"));
        assert_eq!(
            said(&[false], false),
            "how strongly the score of the true class depends on each pixel"
        );
    }

    #[test]
    fn long_headings_take_two_lines() {
        let lines = heading(
            "a very long name of a model that goes on for ever and ever",
            Size::NORMAL,
            120,
        );
        assert_eq!(lines.len(), 2);
        assert!(lines[1].ends_with('…'), "{lines:?}");
    }
}
