//! Charts as SVG and PNG: lines for ordered data, dots with intervals for items without an order.

mod axis;
mod dots;
mod head;
mod line;
mod stack;

use std::path::Path;

use plotters::element::{PathElement, Polygon};
use plotters::prelude::{ChartBuilder, Color, DrawingBackend, IntoFont, ShapeStyle, Text};
use plotters::style::text_anchor::{HPos, Pos, VPos};

pub use axis::Quantity;
pub(super) use axis::{Axis, Range, linear_ticks};
pub use dots::{DotChart, Dots};
use head::{Head, Sample};
pub use line::Series;
use line::{LARGEST, Line, reduce};
use stack::Chart;
pub use stack::ChartStack;

use super::style::{
    Area, Drawn, EDGE, INK, UNIT, WIDTH, draw_interval, draw_marker, font, px, raw_placeholder,
    stroke,
};
use super::text::{self, Size};
use super::write_atomically;
use crate::Result;

/// A line chart, for data with an order, such as steps, shares or layers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LineChart {
    /// Heading; may be empty.
    pub title: String,
    /// Explanation below the heading; may be empty.
    pub note: String,
    /// Label of the horizontal axis, with its unit.
    pub x_label: String,
    /// Label of the vertical axis, with its unit.
    pub y_label: String,
    /// The kind of number on the vertical axis: the limits of its range and its smallest width.
    pub quantity: Quantity,
    /// Whether the vertical axis is logarithmic. Values of 0 and below then make gaps, and the axis
    /// is labelled as logarithmic.
    pub log_y: bool,
    /// The lines; a single one needs no legend if its name is empty.
    pub series: Vec<Series>,
    /// Labels at the positions 0, 1, 2, … of the horizontal axis, if it shows items instead of
    /// numbers.
    pub x_names: Vec<String>,
    /// A lower plot, for charts above one another.
    pub low: bool,
}

const PLOT_HEIGHT: i32 = 380;
const LOW_PLOT_HEIGHT: i32 = 240;
/// Height of the line that says where an axis is cut, in pixels.
const CUT_HEIGHT: i32 = 20;
/// Pixels between points that share the only position of a horizontal axis.
const APART: i32 = 12;

impl LineChart {
    /// The chart as an `<svg>` element that is also a complete SVG file.
    ///
    /// On its own it is drawn on a white panel. Inside a page, text and axes take the page's text
    /// colour if the page says `svg { color: inherit }`, and `.panel { fill: none }` removes the
    /// panel.
    ///
    /// # Errors
    /// [`crate::Error::Data`] when plotters cannot draw the chart.
    pub fn to_svg(&self) -> Result<String> {
        stack::svg(self)
    }

    /// The chart as the bytes of a PNG file, two pixels for each of the SVG's.
    ///
    /// # Errors
    /// [`crate::Error::Data`] when plotters cannot draw the chart.
    pub fn to_png(&self) -> Result<Vec<u8>> {
        stack::png(self)
    }

    /// Writes the chart to `path` as SVG, atomically.
    ///
    /// # Errors
    /// Errors of [`LineChart::to_svg`], and [`crate::Error::Io`].
    pub fn write(&self, path: impl AsRef<Path>) -> Result<()> {
        write_atomically(path.as_ref(), self.to_svg()?.as_bytes())
    }

    /// Whether any of its lines is smoothed; short lines are not.
    pub fn is_smoothed(&self) -> bool {
        self.lines().iter().any(|line| line.smooth.is_some())
    }

    fn lines(&self) -> Vec<Line> {
        self.series.iter().map(|series| Line::new(series, self.log_y)).collect()
    }

    fn plot_height(&self) -> i32 {
        if self.low { LOW_PLOT_HEIGHT } else { PLOT_HEIGHT }
    }

    fn head(&self, lines: &[Line]) -> Head {
        let entry = |(index, (series, line)): (usize, (&Series, &Line))| {
            let name = if line.raw.is_empty() {
                format!("{} (no data)", series.name)
            } else {
                series.name.clone()
            };
            (name, self.style(index), if series.thin { Sample::Thin } else { Sample::Line })
        };
        let single = matches!(self.series.as_slice(), [only] if only.name.is_empty());
        let entries: Vec<_> =
            self.series.iter().zip(lines).enumerate().filter(|_| !single).map(entry).collect();
        Head::new(&self.title, &self.note, &entries)
    }

    /// The vertical axis; `None` without values.
    fn y_axis(&self, lines: &[Line]) -> Option<Axis> {
        Axis::of(lines.iter().flat_map(|line| line.vertical_extent()), self.quantity, self.log_y)
    }

    fn x_axis(&self, lines: &[Line]) -> Axis {
        match self.x_names.len() {
            0 => Axis::along(
                &lines.iter().flat_map(Line::points).map(|point| point.0).collect::<Vec<_>>(),
            ),
            names => Axis {
                range: Range { low: -0.5, high: names as f64 - 0.5 },
                log: false,
                ticks: axis::named_ticks(&self.x_names, (WIDTH - 120) as u32 / names as u32),
            },
        }
    }

    fn draw_plot<B: DrawingBackend>(
        &self,
        area: &Area<B>,
        lines: &[Line],
        x_axis: Axis,
        y_axis: Axis,
    ) -> Drawn<B> {
        let ink = INK.to_rgba();
        let widest =
            y_axis.ticks.labels().map(|label| text::width(&label, Size::SMALL)).max().unwrap_or(0)
                as i32;
        let cut = y_axis.cut(self.quantity);
        if let Some(cut) = &cut {
            let style = font(12.5).into_font().color(&ink);
            area.draw(&Text::new(cut.clone(), (px(EDGE), px(2)), style))?;
        }
        let x_cut = if self.x_names.is_empty() { x_axis.far_cut() } else { None };
        let x_label = match x_cut {
            Some(cut) => format!("{} ({cut})", text::plain(&self.x_label)),
            None => text::plain(&self.x_label),
        };
        let logarithmic = if self.log_y { " (logarithmic)" } else { "" };
        let mut chart = ChartBuilder::on(area)
            .margin_right(px(EDGE + 8))
            .margin_left(px(EDGE - 6))
            .margin_top(px(if cut.is_some() { CUT_HEIGHT } else { 6 }))
            .x_label_area_size(px(48))
            .y_label_area_size(px(widest + 38))
            .build_cartesian_2d(x_axis, y_axis)?;
        chart
            .configure_mesh()
            .max_light_lines(0)
            .bold_line_style(ShapeStyle {
                color: INK.mix(0.13),
                filled: false,
                stroke_width: UNIT as u32,
            })
            .axis_style(ShapeStyle {
                color: INK.mix(0.55),
                filled: false,
                stroke_width: UNIT as u32,
            })
            .set_all_tick_mark_size(px(5))
            .label_style(font(13.0).into_font().color(&ink))
            .axis_desc_style(font(14.0).into_font().color(&ink))
            .x_desc(x_label)
            .y_desc(format!("{}{logarithmic}", text::plain(&self.y_label)))
            .draw()?;
        // `backend_coord` counts from the corner of the whole drawing, `area` from its own.
        let (left, top) = area.get_base_pixel();
        let alone =
            lines.iter().flat_map(Line::points).map(|point| point.0).try_fold(None, |only, x| {
                match only {
                    Some(only) if only != x => Err(()),
                    _ => Ok(Some(x)),
                }
            });
        // If all points share one position, they are drawn next to each other.
        let aside = |index: usize| match alone {
            Ok(_) if lines.len() > 1 => px(APART) * (2 * index as i32 + 1 - lines.len() as i32) / 2,
            _ => 0,
        };
        for (index, series) in self.series.iter().enumerate() {
            let shown = |&&(x, low, high): &&(f64, f64, f64)| {
                [x, low, high].iter().all(|v| v.abs() <= LARGEST)
                    && (!self.log_y || low > 1.0 / LARGEST)
            };
            let band: Vec<_> = series.band.iter().filter(shown).collect();
            let lower = band.iter().map(|&&(x, low, _)| (x, low));
            let outline: Vec<_> =
                lower.chain(band.iter().rev().map(|&&(x, _, high)| (x, high))).collect();
            if let [from, to] = outline.as_slice() {
                let at = |point| {
                    let (x, y) = chart.backend_coord(point);
                    (x - left + aside(index), y - top)
                };
                draw_interval(area, at(from), at(to), self.style(index))?;
            } else if outline.len() > 2 {
                let strength = if series.thin { 0.08 } else { 0.18 };
                let fill = ShapeStyle {
                    color: raw_placeholder(self.style(index)).mix(strength),
                    filled: true,
                    stroke_width: 0,
                };
                chart.draw_series([Polygon::new(outline, fill)])?;
            }
        }
        let faint = |index| ShapeStyle {
            color: raw_placeholder(index).mix(0.3),
            filled: false,
            stroke_width: UNIT as u32,
        };
        for (index, line) in lines.iter().enumerate() {
            for part in line.raw.iter().filter(|_| line.smooth.is_some()) {
                chart.draw_series([PathElement::new(reduce(part), faint(self.style(index)))])?;
            }
        }
        for (index, (series, line)) in self.series.iter().zip(lines).enumerate() {
            for part in line.main() {
                let width = if series.thin { 1.0 } else { 2.2 };
                chart.draw_series([PathElement::new(
                    reduce(part),
                    stroke(self.style(index), width),
                )])?;
            }
        }
        for (index, (series, line)) in self.series.iter().zip(lines).enumerate() {
            // Only the marker of a single point is visible.
            let is_marked = !series.thin || line.points().count() == 1;
            for point in line.marked(index, lines.len()).into_iter().filter(|_| is_marked) {
                let (x, y) = chart.backend_coord(&point);
                draw_marker(area, (x - left + aside(index), y - top), self.style(index))?;
            }
        }
        Ok(())
    }

    /// Style of the series at `index`.
    fn style(&self, index: usize) -> usize {
        self.series[index].style.unwrap_or(index)
    }
}

impl Chart for LineChart {
    fn title(&self) -> &str {
        &self.title
    }

    fn height(&self) -> i32 {
        let lines = self.lines();
        let is_cut = self.y_axis(&lines).is_some_and(|axis| axis.cut(self.quantity).is_some());
        self.head(&lines).height + self.plot_height() + if is_cut { CUT_HEIGHT - 6 } else { 0 }
    }

    fn draw_on<B: DrawingBackend>(&self, root: &Area<B>) -> Drawn<B> {
        let lines = self.lines();
        let head = self.head(&lines);
        head.draw(root)?;
        let (_, plot) = root.split_vertically(px(head.height));
        let y_axis = self.y_axis(&lines);
        let empty = y_axis.is_none();
        let y_axis = y_axis.unwrap_or_else(|| Axis::empty(self.log_y));
        self.draw_plot(&plot, &lines, self.x_axis(&lines), y_axis)?;
        if empty {
            let style =
                font(16.0).into_font().color(&INK).pos(Pos::new(HPos::Center, VPos::Center));
            plot.draw(&Text::new(
                "no data",
                (px(WIDTH / 2), px(self.plot_height() / 2 - 20)),
                style,
            ))?;
        }
        Ok(())
    }
}
