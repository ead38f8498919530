//! Line charts as SVG and PNG.
//!
//! Every series has its own colour (Okabe and Ito's palette, told apart under all common colour blindnesses), dash pattern and
//! marker, so that charts survive a greyscale print.

mod axis;
mod line;

use std::path::Path;

use plotters::coord::Shift;
use plotters::element::{Circle, PathElement, Polygon};
use plotters::prelude::{
    ChartBuilder, Color, DrawingArea, DrawingAreaErrorKind, DrawingBackend, IntoDrawingArea, IntoFont, RGBColor, SVGBackend,
    ShapeStyle, Text, WHITE,
};
use plotters::style::text_anchor::{HPos, Pos, VPos};

pub(super) use axis::{Axis, Range, linear_ticks};
use axis::{Ticks, log_ticks};
use line::{LARGEST, Line, reduce};

use super::canvas::encode_png;
use super::raster::Raster;
use super::text::{self, Size};
use super::write_atomically;
use crate::{Error, Result};

/// One line of a chart.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    /// Name in the legend.
    pub name: String,
    /// Points in the order in which they are joined. A value that is not finite makes a gap.
    pub points: Vec<(f64, f64)>,
    /// Draw a centred moving average over about 3 % of the points, with the raw line faint behind it.
    pub smooth: bool,
    /// A shaded band behind the line, such as a spread: (x, low, high) in the order of x.
    pub band: Vec<(f64, f64, f64)>,
    /// Which colour and marker it has, from 0; `None`: those of its place in the chart. Charts that stand together give the same thing the same ones.
    pub style: Option<usize>,
}

/// A line chart.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LineChart {
    /// Heading; may be empty.
    pub title: String,
    /// What the horizontal axis shows, with its unit.
    pub x_label: String,
    /// What the vertical axis shows, with its unit.
    pub y_label: String,
    /// Logarithmic vertical axis; values of 0 and below then make gaps.
    pub log_y: bool,
    /// The lines; a single one needs no legend if its name is empty.
    pub series: Vec<Series>,
    /// Names of the places 0, 1, 2, … of the horizontal axis, where it shows things instead of numbers.
    pub x_names: Vec<String>,
    /// Not as high, for charts above one another.
    pub low: bool,
}

/// plotters computes in whole units: this many of them make a pixel, for smooth curves.
pub(super) const UNIT: i32 = 10;
pub(super) const WIDTH: i32 = 760;
const PLOT_HEIGHT: i32 = 380;
const LOW_PLOT_HEIGHT: i32 = 240;
pub(super) const EDGE: i32 = 14;

/// Stroke or fill colour and dash pattern (in pixels) of the n-th series; `currentColor` is the colour of the text around.
const STYLES: [(&str, &str); 7] = [
    ("#0072B2", ""),
    ("#D55E00", "7 4"),
    ("#009E73", "2 3"),
    ("#CC79A7", "9 3 2 3"),
    ("#E69F00", "12 4"),
    ("currentColor", "4 2"),
    ("#56B4E9", "5 3 2 3 2 3"),
];

pub(super) type Area<B> = DrawingArea<B, Shift>;
pub(super) type Drawn<B> = std::result::Result<(), DrawingAreaErrorKind<<B as DrawingBackend>::ErrorType>>;

/// What a stand-in colour is drawn as: hexadecimal or `currentColor`, dash pattern.
pub(super) fn style_of((red, green, blue): (u8, u8, u8)) -> Option<(&'static str, &'static str)> {
    match (red, green, blue) {
        (1, 1, 1) => Some(("currentColor", "")),
        (1, 2, index @ 3..) => STYLES.get(usize::from(index - 3)).copied(),
        (1, 3, index @ 3..) => STYLES.get(usize::from(index - 3)).map(|(color, _)| (*color, "")),
        _ => None,
    }
}

/// A stand-in colour for the n-th series, replaced by its real style in the finished SVG, where there is more choice than
/// plotters has (dashes, the text's colour).
pub(super) fn placeholder(index: usize) -> RGBColor {
    RGBColor(1, 2, 3 + (index % STYLES.len()) as u8)
}

/// Likewise for its raw line, which is never dashed.
fn raw_placeholder(index: usize) -> RGBColor {
    RGBColor(1, 3, 3 + (index % STYLES.len()) as u8)
}

/// Likewise for text and axes.
pub(super) const INK: RGBColor = RGBColor(1, 1, 1);

pub(super) fn px(pixels: i32) -> i32 {
    pixels * UNIT
}

/// plotters' font size for `pixels`: its SVG backend divides by 1.24.
pub(super) fn font(pixels: f64) -> (&'static str, f64) {
    ("system-ui, sans-serif", pixels * 1.24 * f64::from(UNIT))
}

impl LineChart {
    /// The chart as an `<svg>` element that is also a complete SVG file.
    ///
    /// On its own it is drawn on a white panel. Inside a page, text and axes take the page's text colour if the page says
    /// `svg { color: inherit }`, and `.panel { fill: none }` removes the panel.
    ///
    /// # Errors
    /// [`Error::Data`] when plotters cannot draw the chart.
    pub fn to_svg(&self) -> Result<String> {
        let layout = self.layout();
        let mut svg = String::new();
        {
            let size = (px(WIDTH) as u32, px(layout.height) as u32);
            self.present(&SVGBackend::with_string(&mut svg, size).into_drawing_area(), &layout)?;
        }
        Ok(finish(&svg, &self.title, layout.height))
    }

    /// The chart as the bytes of a PNG file, two pixels for each of the SVG's.
    ///
    /// # Errors
    /// [`Error::Data`] when plotters cannot draw the chart.
    pub fn to_png(&self) -> Result<Vec<u8>> {
        encode_png(&self.render()?)
    }

    fn render(&self) -> Result<image::RgbImage> {
        let layout = self.layout();
        let mut raster = Raster::new((px(WIDTH) as u32, px(layout.height) as u32), 2.0 / UNIT as f32)?;
        self.present(&(&mut raster).into_drawing_area(), &layout)?;
        Ok(raster.into_image())
    }

    fn plot_height(&self) -> i32 {
        if self.low { LOW_PLOT_HEIGHT } else { PLOT_HEIGHT }
    }

    fn layout(&self) -> Layout {
        let lines: Vec<Line> = self.series.iter().map(|series| Line::new(series, self.log_y)).collect();
        let legend = self.legend(&lines);
        let title_height = if self.title.is_empty() { 0 } else { 30 };
        let legend_height = legend.last().map_or(0, |entry| entry.y + 26);
        let height = EDGE + title_height + legend_height + self.plot_height();
        Layout { lines, legend, title_height, legend_height, height }
    }

    fn present<B: DrawingBackend>(&self, root: &Area<B>, layout: &Layout) -> Result<()> {
        self.draw(root, &layout.lines, &layout.legend, layout.title_height, layout.legend_height)
            .and_then(|()| root.present())
            .map_err(|error| Error::Data(format!("cannot draw the chart {:?}: {error}", self.title)))
    }

    /// Writes the chart to `path` as SVG, whole or not at all.
    ///
    /// # Errors
    /// Those of [`LineChart::to_svg`], and [`Error::Io`].
    pub fn write(&self, path: impl AsRef<Path>) -> Result<()> {
        write_atomically(path.as_ref(), self.to_svg()?.as_bytes())
    }

    fn draw<B: DrawingBackend>(
        &self,
        root: &Area<B>,
        lines: &[Line],
        legend: &[Entry],
        title_height: i32,
        legend_height: i32,
    ) -> Drawn<B> {
        let ink = INK.to_rgba();
        if !self.title.is_empty() {
            let title = text::fit(&text::plain(&self.title), Size::LARGE, (WIDTH - 2 * EDGE) as u32);
            root.draw(&Text::new(title, (px(EDGE), px(EDGE)), font(18.0).into_font().color(&ink)))?;
        }
        for entry in legend {
            let (x, y) = (px(entry.x), px(EDGE + title_height + entry.y + 9));
            let sample = PathElement::new(vec![(x, y), (x + px(34), y)], stroke(entry.series, 2.2));
            root.draw(&sample)?;
            draw_marker(root, (x + px(17), y), entry.series)?;
            let style = font(13.5).into_font().color(&ink).pos(Pos::new(HPos::Left, VPos::Center));
            root.draw(&Text::new(entry.text.clone(), (x + px(40), y), style))?;
        }
        let (_, plot) = root.split_vertically(px(EDGE + title_height + legend_height));
        let xs = match self.x_names.len() {
            0 => Range::of(lines.iter().flat_map(|line| line.points()).map(|p| p.0), false),
            names => Some(Range { low: -0.5, high: names as f64 - 0.5 }),
        };
        let xs = xs.unwrap_or(Range { low: 0.0, high: 1.0 });
        let ys = Range::of(lines.iter().flat_map(|line| line.vertical_extent()), self.log_y);
        let empty = ys.is_none();
        let ys = ys.unwrap_or(Range { low: if self.log_y { 0.1 } else { 0.0 }, high: 1.0 }).padded(self.log_y);
        let (x_axis, y_axis) = (
            Axis { range: xs, log: false, ticks: if self.x_names.is_empty() { linear_ticks(xs) } else { self.named_ticks() } },
            Axis { range: ys, log: self.log_y, ticks: if self.log_y { log_ticks(ys) } else { linear_ticks(ys) } },
        );
        self.draw_plot(&plot, lines, x_axis, y_axis)?;
        if empty {
            let style = font(16.0).into_font().color(&ink).pos(Pos::new(HPos::Center, VPos::Center));
            plot.draw(&Text::new("no data", (px(WIDTH / 2), px(self.plot_height() / 2 - 20)), style))?;
        }
        Ok(())
    }

    fn draw_plot<B: DrawingBackend>(&self, area: &Area<B>, lines: &[Line], x_axis: Axis, y_axis: Axis) -> Drawn<B> {
        let ink = INK.to_rgba();
        let widest = y_axis.ticks.labels().map(|label| text::width(&label, Size::SMALL)).max().unwrap_or(0) as i32;
        let mut chart = ChartBuilder::on(area)
            .margin_right(px(EDGE + 8))
            .margin_left(px(EDGE - 6))
            .margin_top(px(6))
            .x_label_area_size(px(48))
            .y_label_area_size(px(widest + 38))
            .build_cartesian_2d(x_axis, y_axis)?;
        chart
            .configure_mesh()
            .max_light_lines(0)
            .bold_line_style(ShapeStyle { color: INK.mix(0.13), filled: false, stroke_width: UNIT as u32 })
            .axis_style(ShapeStyle { color: INK.mix(0.55), filled: false, stroke_width: UNIT as u32 })
            .set_all_tick_mark_size(px(5))
            .label_style(font(13.0).into_font().color(&ink))
            .axis_desc_style(font(14.0).into_font().color(&ink))
            .x_desc(text::plain(&self.x_label))
            .y_desc(text::plain(&self.y_label))
            .draw()?;
        for (index, series) in self.series.iter().enumerate() {
            let shown = |&&(x, low, high): &&(f64, f64, f64)| {
                [x, low, high].iter().all(|v| v.abs() <= LARGEST) && (!self.log_y || low > 1.0 / LARGEST)
            };
            let band: Vec<_> = series.band.iter().filter(shown).collect();
            let lower = band.iter().map(|&&(x, low, _)| (x, low));
            let outline: Vec<_> = lower.chain(band.iter().rev().map(|&&(x, _, high)| (x, high))).collect();
            if outline.len() > 2 {
                let fill = ShapeStyle { color: raw_placeholder(self.style(index)).mix(0.18), filled: true, stroke_width: 0 };
                chart.draw_series([Polygon::new(outline, fill)])?;
            }
        }
        let faint = |index| ShapeStyle { color: raw_placeholder(index).mix(0.3), filled: false, stroke_width: UNIT as u32 };
        for (index, line) in lines.iter().enumerate() {
            for part in line.raw.iter().filter(|_| line.smooth.is_some()) {
                chart.draw_series([PathElement::new(reduce(part), faint(self.style(index)))])?;
            }
        }
        for (index, line) in lines.iter().enumerate() {
            for part in line.main() {
                chart.draw_series([PathElement::new(reduce(part), stroke(self.style(index), 2.2))])?;
            }
        }
        // `backend_coord` counts from the corner of the whole drawing, `area` from its own.
        let (left, top) = area.get_base_pixel();
        for (index, line) in lines.iter().enumerate() {
            for point in line.marked(index, lines.len()) {
                let (x, y) = chart.backend_coord(&point);
                draw_marker(area, (x - left, y - top), self.style(index))?;
            }
        }
        Ok(())
    }

    /// Style of the series at `index`.
    fn style(&self, index: usize) -> usize {
        self.series[index].style.unwrap_or(index)
    }

    fn named_ticks(&self) -> Ticks {
        let room = (WIDTH - 120) as u32 / self.x_names.len().max(1) as u32;
        Ticks {
            values: (0..self.x_names.len()).map(|place| place as f64).collect(),
            decimals: None,
            names: self.x_names.iter().map(|name| text::fit(&text::plain(name), Size::SMALL, room)).collect(),
        }
    }

    fn legend(&self, lines: &[Line]) -> Vec<Entry> {
        let single = matches!(self.series.as_slice(), [only] if only.name.is_empty());
        let mut entries: Vec<Entry> = Vec::new();
        let (mut x, mut y) = (EDGE, 0);
        for (index, (series, line)) in self.series.iter().zip(lines).enumerate().filter(|_| !single) {
            let name = if line.raw.is_empty() { format!("{} (no data)", series.name) } else { series.name.clone() };
            let text = text::fit(&text::plain(&name), Size::NORMAL, (WIDTH - 2 * EDGE - 40) as u32);
            let width = 40 + text::width(&text, Size::NORMAL) as i32;
            if x > EDGE && x + width > WIDTH - EDGE {
                (x, y) = (EDGE, y + 22);
            }
            entries.push(Entry { series: self.style(index), text, x, y });
            x += width + 22;
        }
        entries
    }
}

/// plotters' SVG with a size in pixels, a name for screen readers, the panel, and the real styles.
pub(super) fn finish(svg: &str, title: &str, height: i32) -> String {
    let body = svg.split_once('>').map_or("", |(_, body)| body).trim_start();
    let label = escape(if title.is_empty() { "chart" } else { title });
    let (full_width, full_height) = (px(WIDTH), px(height));
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         viewBox=\"0 0 {full_width} {full_height}\" color=\"#1f2328\" role=\"img\" aria-label=\"{label}\">\n\
         <title>{label}</title>\n\
         <rect class=\"panel\" width=\"{full_width}\" height=\"{full_height}\" rx=\"{}\" fill=\"#ffffff\"/>\n{body}",
        px(8)
    );
    let hex = |color: RGBColor| format!("\"#{:02X}{:02X}{:02X}\"", color.0, color.1, color.2);
    out = out.replace(&hex(INK), "\"currentColor\"");
    for (index, (color, dashes)) in STYLES.iter().enumerate() {
        let from = hex(placeholder(index));
        let dashes: Vec<String> =
            dashes.split_whitespace().filter_map(|n| n.parse::<i32>().ok()).map(|n| px(n).to_string()).collect();
        let dash = if dashes.is_empty() { String::new() } else { format!(" stroke-dasharray=\"{}\"", dashes.join(" ")) };
        out = out.replace(&format!("stroke={from}"), &format!("stroke=\"{color}\" stroke-linejoin=\"round\"{dash}"));
        out = out.replace(&format!("fill={from}"), &format!("fill=\"{color}\""));
        out = out.replace(&hex(raw_placeholder(index)), &format!("\"{color}\""));
    }
    out
}

fn escape(content: &str) -> String {
    text::plain(content).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn stroke(series: usize, width: f64) -> ShapeStyle {
    ShapeStyle { color: placeholder(series).to_rgba(), filled: false, stroke_width: (width * f64::from(UNIT)) as u32 }
}

/// A filled shape with a thin light edge, a different one for each of seven series.
fn draw_marker<B: DrawingBackend>(area: &Area<B>, (x, y): (i32, i32), series: usize) -> Drawn<B> {
    let fill = ShapeStyle { color: placeholder(series).to_rgba(), filled: true, stroke_width: 0 };
    let at = |offsets: &[(i32, i32)]| offsets.iter().map(|&(dx, dy)| (x + px(dx) / 10, y + px(dy) / 10)).collect::<Vec<_>>();
    match series % STYLES.len() {
        0 => area.draw(&Circle::new((x, y), px(44) / 10, fill)),
        1 => area.draw(&Polygon::new(at(&[(-40, -40), (40, -40), (40, 40), (-40, 40)]), fill)),
        2 => area.draw(&Polygon::new(at(&[(0, -55), (50, 37), (-50, 37)]), fill)),
        3 => area.draw(&Polygon::new(at(&[(0, -58), (58, 0), (0, 58), (-58, 0)]), fill)),
        4 => area.draw(&Polygon::new(at(&[(0, 55), (50, -37), (-50, -37)]), fill)),
        5 => area.draw(&Polygon::new(
            at(&[
                (-15, -52),
                (15, -52),
                (15, -15),
                (52, -15),
                (52, 15),
                (15, 15),
                (15, 52),
                (-15, 52),
                (-15, 15),
                (-52, 15),
                (-52, -15),
                (-15, -15),
            ]),
            fill,
        )),
        _ => {
            area.draw(&Circle::new((x, y), px(48) / 10, fill))?;
            area.draw(&Circle::new((x, y), px(24) / 10, WHITE.filled()))
        }
    }
}

/// A place in the legend, in pixels from its upper left corner.
struct Entry {
    series: usize,
    text: String,
    x: i32,
    y: i32,
}

/// A chart before it is drawn: heights in pixels.
struct Layout {
    lines: Vec<Line>,
    legend: Vec<Entry>,
    title_height: i32,
    legend_height: i32,
    height: i32,
}

/// Charts below one another, of one width: one figure.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChartStack(pub Vec<LineChart>);

impl ChartStack {
    /// The figure as an `<svg>` element that is also a complete SVG file.
    ///
    /// # Errors
    /// Those of [`LineChart::to_svg`].
    pub fn to_svg(&self) -> Result<String> {
        let mut body = String::new();
        let mut height = 0;
        for chart in &self.0 {
            body += &chart.to_svg()?.replacen("<svg ", &format!("<svg y=\"{height}\" "), 1);
            height += chart.layout().height;
        }
        let labels: Vec<String> = self.0.iter().map(|chart| escape(&chart.title)).collect();
        Ok(format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{}\">\n{body}</svg>\n",
            labels.join("; ")
        ))
    }

    /// The figure as the bytes of a PNG file.
    ///
    /// # Errors
    /// Those of [`LineChart::to_png`].
    pub fn to_png(&self) -> Result<Vec<u8>> {
        let parts = self.0.iter().map(LineChart::render).collect::<Result<Vec<_>>>()?;
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
