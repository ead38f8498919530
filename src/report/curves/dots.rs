//! Dot charts with intervals, for figures of items without an order, such as models; one row each.

use plotters::prelude::{ChartBuilder, Color, DrawingBackend, IntoFont, ShapeStyle, Text};
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::super::style::{
    Area, Drawn, EDGE, INK, UNIT, WIDTH, draw_interval, draw_marker, font, px,
};
use super::super::text::{self, Size};
use super::axis::{Axis, Quantity, Range, named_ticks};
use super::head::{Head, Sample};
use super::line::LARGEST;
use super::stack::{self, Chart};
use crate::Result;

/// Pixels between two dots of a row.
const DOT_HEIGHT: i32 = 16;
/// Widest column of names, in pixels.
const NAMES_WIDTH: u32 = 260;
/// Space below the plot: ticks, label, and the line that says where the axis is cut.
const BELOW: i32 = 54;
const ABOVE: i32 = 6;

/// The dots of one colour: one value with its interval per row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Dots {
    /// Name in the legend.
    pub name: String,
    /// Value, lower and upper end of its interval, for every row; `None` leaves a row out, and ends
    /// that are not finite are not drawn.
    pub values: Vec<Option<(f64, f64, f64)>>,
    /// Index of the colour and marker, from 0; `None`: that of the position in the chart. Related
    /// charts use the same index for the same item.
    pub style: Option<usize>,
}

/// A dot chart. No line joins the dots, because the rows have no order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DotChart {
    /// Heading; may be empty.
    pub title: String,
    /// Explanation below the heading; may be empty.
    pub note: String,
    /// Label of the horizontal axis, with its unit.
    pub label: String,
    /// The kind of number on that axis.
    pub quantity: Quantity,
    /// Names of the rows, from the top.
    pub names: Vec<String>,
    /// The dots; a single series needs no legend if its name is empty.
    pub dots: Vec<Dots>,
}

impl DotChart {
    /// The chart as an `<svg>` element that is also a complete SVG file; see
    /// [`super::LineChart::to_svg`].
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

    fn head(&self) -> Head {
        let entries: Vec<_> = self
            .dots
            .iter()
            .enumerate()
            .map(|(index, dots)| (dots.name.clone(), self.style(index), Sample::Dot))
            .collect();
        Head::new(&self.title, &self.note, &entries)
    }

    /// Style of the series at `index`.
    fn style(&self, index: usize) -> usize {
        self.dots[index].style.unwrap_or(index)
    }

    fn plot_height(&self) -> i32 {
        let row = (DOT_HEIGHT * self.dots.len() as i32 + 10).max(30);
        ABOVE + BELOW + row * self.names.len().max(1) as i32
    }

    /// The drawable dots: row, series, value, ends.
    fn shown(&self) -> impl Iterator<Item = (usize, usize, f64, Option<(f64, f64)>)> {
        let is_shown = |value: f64| value.abs() <= LARGEST;
        self.dots.iter().enumerate().flat_map(move |(series, dots)| {
            dots.values.iter().take(self.names.len()).enumerate().filter_map(move |(row, value)| {
                let (value, low, high) = (*value)?;
                let ends = (is_shown(low) && is_shown(high)).then_some((low, high));
                is_shown(value).then_some((row, series, value, ends))
            })
        })
    }

    /// The axis of the values; `None` without any.
    fn value_axis(&self) -> Option<Axis> {
        let values = self.shown().flat_map(|(.., value, ends)| {
            let (low, high) = ends.unwrap_or((value, value));
            [value, low, high]
        });
        Axis::of(values, self.quantity, false)
    }
}

impl Chart for DotChart {
    fn title(&self) -> &str {
        &self.title
    }

    fn height(&self) -> i32 {
        self.head().height + self.plot_height()
    }

    fn draw_on<B: DrawingBackend>(&self, root: &Area<B>) -> Drawn<B> {
        let head = self.head();
        head.draw(root)?;
        let (_, plot) = root.split_vertically(px(head.height));
        let values = self.value_axis();
        let is_empty = values.is_none();
        let values = values.unwrap_or_else(|| Axis::empty(false));
        let label = match values.cut(self.quantity) {
            Some(cut) => format!("{} ({cut})", text::plain(&self.label)),
            None => text::plain(&self.label),
        };
        let rows = self.names.len();
        // plotters counts upwards, so the first name has the highest position.
        let names: Vec<String> = self.names.iter().rev().cloned().collect();
        let places = Axis {
            range: Range { low: -0.5, high: rows.max(1) as f64 - 0.5 },
            log: false,
            ticks: named_ticks(&names, NAMES_WIDTH),
        };
        let widest =
            places.ticks.labels().map(|name| text::width(&name, Size::SMALL)).max().unwrap_or(0)
                as i32;
        let ink = INK.to_rgba();
        let mut chart = ChartBuilder::on(&plot)
            .margin_right(px(EDGE + 8))
            .margin_left(px(EDGE - 6))
            .margin_top(px(ABOVE))
            .x_label_area_size(px(BELOW - 6))
            // Labels are drawn a twelfth larger than measured.
            .y_label_area_size(px(widest * 13 / 12 + 16))
            .build_cartesian_2d(values, places)?;
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
            .x_desc(label)
            .draw()?;
        let (left, top) = plot.get_base_pixel();
        for (row, series, value, ends) in self.shown() {
            let below = px(DOT_HEIGHT) * (2 * series as i32 + 1 - self.dots.len() as i32) / 2;
            let at = |value: f64| {
                let (x, y) = chart.backend_coord(&(value, (rows - 1 - row) as f64));
                (x - left, y - top + below)
            };
            if let Some((low, high)) = ends {
                draw_interval(&plot, at(low), at(high), self.style(series))?;
            }
            draw_marker(&plot, at(value), self.style(series))?;
        }
        if is_empty {
            let style =
                font(16.0).into_font().color(&INK).pos(Pos::new(HPos::Center, VPos::Center));
            plot.draw(&Text::new(
                "no data",
                (px(WIDTH / 2), px((self.plot_height() - BELOW) / 2)),
                style,
            ))?;
        }
        Ok(())
    }
}
