//! Charts as files: one chart, or several below one another.

use plotters::prelude::{DrawingBackend, IntoDrawingArea, SVGBackend};

use super::super::style::{Area, Drawn, UNIT, WIDTH, escape, finish, px};
use super::super::{canvas::encode_png, raster::Raster};
use crate::{Error, Result};

/// A chart that can be drawn alone or with others.
pub trait Chart {
    /// Its heading; may be empty.
    fn title(&self) -> &str;

    /// Its height in pixels; all charts have the same width.
    fn height(&self) -> i32;

    /// Draws it.
    #[doc(hidden)]
    fn draw_on<B: DrawingBackend>(&self, root: &Area<B>) -> Drawn<B>;
}

fn present<B: DrawingBackend>(chart: &impl Chart, root: &Area<B>) -> Result<()> {
    let drawn = chart.draw_on(root).and_then(|()| root.present());
    drawn
        .map_err(|error| Error::Data(format!("cannot draw the chart {:?}: {error}", chart.title())))
}

/// `chart` as an `<svg>` element that is also a complete SVG file.
pub(super) fn svg(chart: &impl Chart) -> Result<String> {
    let height = chart.height();
    let mut svg = String::new();
    present(
        chart,
        &SVGBackend::with_string(&mut svg, (px(WIDTH) as u32, px(height) as u32))
            .into_drawing_area(),
    )?;
    Ok(finish(&svg, chart.title(), height))
}

/// `chart` as pixels, two for each of the SVG's.
fn render(chart: &impl Chart) -> Result<image::RgbImage> {
    let mut raster = Raster::new((px(WIDTH) as u32, px(chart.height()) as u32), 2.0 / UNIT as f32)?;
    present(chart, &(&mut raster).into_drawing_area())?;
    Ok(raster.into_image())
}

/// `chart` as the bytes of a PNG file.
pub(super) fn png(chart: &impl Chart) -> Result<Vec<u8>> {
    encode_png(&render(chart)?)
}

/// Charts of one width below one another, as one figure.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChartStack<C>(pub Vec<C>);

impl<C: Chart> ChartStack<C> {
    /// The figure as an `<svg>` element that is also a complete SVG file.
    ///
    /// # Errors
    /// Errors of [`super::LineChart::to_svg`].
    pub fn to_svg(&self) -> Result<String> {
        let mut body = String::new();
        let mut height = 0;
        for chart in &self.0 {
            body += &svg(chart)?.replacen("<svg ", &format!("<svg y=\"{height}\" "), 1);
            height += chart.height();
        }
        let labels: Vec<String> = self.0.iter().map(|chart| escape(chart.title())).collect();
        Ok(format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
             viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{}\">\n{body}</svg>\n",
            labels.join("; ")
        ))
    }

    /// The figure as the bytes of a PNG file.
    ///
    /// # Errors
    /// Errors of [`super::LineChart::to_png`].
    pub fn to_png(&self) -> Result<Vec<u8>> {
        let parts = self.0.iter().map(render).collect::<Result<Vec<_>>>()?;
        let height = parts.iter().map(image::RgbImage::height).sum();
        let width = parts.iter().map(image::RgbImage::width).max().unwrap_or(0);
        let mut whole = image::RgbImage::from_pixel(width, height, image::Rgb([255; 3]));
        let mut y = 0;
        for part in parts {
            image::imageops::replace(&mut whole, &part, 0, y);
            y += i64::from(part.height());
        }
        encode_png(&whole)
    }
}
