//! Histograms of weights and activations before and after quantization, as SVG. Each tensor has a
//! panel with the float values above and the quantized values below, on the same axis, with the
//! quantization levels drawn over both.

use std::path::Path;

use plotters::{
    element::{PathElement, Polygon, Rectangle},
    prelude::{
        ChartBuilder, Color, DrawingBackend, IntoDrawingArea, IntoFont, SVGBackend, ShapeStyle,
        Text,
    },
    style::text_anchor::{HPos, Pos, VPos},
};

use super::{
    curves::{Axis, Range, linear_ticks},
    style::{Area, Drawn, EDGE, INK, UNIT, WIDTH, finish, font, placeholder, px},
    text::{self, Size},
    write_atomically,
};
use crate::{
    Error, Result,
    quant::{Histogram, TensorDistribution},
};

/// Number of bars of a float histogram.
const BARS: usize = 80;
/// With more levels than this, only the outermost two are drawn, because the others would form a
/// grey band.
const MOST_LINES: usize = 20;
const PANEL_HEIGHT: i32 = 266;
/// Space for the horizontal axis below the quantized stems, in pixels.
const AXIS_HEIGHT: i32 = 42;
const HEADING: i32 = 30;
/// Share of the values that is left out at each end of the horizontal axis, unless a level lies
/// there.
const TRIMMED: f64 = 0.0005;

/// A figure of such panels, two per row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DistributionChart {
    /// Heading; may be empty.
    pub title: String,
    panels: Vec<Panel>,
}

/// The panel of one tensor.
#[derive(Clone, Debug, Default, PartialEq)]
struct Panel {
    title: String,
    /// Label of the horizontal axis.
    label: &'static str,
    /// Left edge, width and height (share of the values) of every bar.
    bars: Vec<(f64, f64, f64)>,
    /// Value and share of every stem.
    stems: Vec<(f64, f64)>,
    levels: Vec<f64>,
    range: Option<Range>,
}

impl DistributionChart {
    /// The caption of such a figure.
    pub const CAPTION: &'static str = "Weights and activations of the quantized layers: above as \
                                       float, below as the quantized network computes with them, \
                                       on the same axis; heights are shares of all values. Dashed \
                                       lines are the quantization levels (the outermost two where \
                                       there are more than 20): all of an activation, those in use \
                                       of a weight. Activations that are exactly 0 are not drawn: \
                                       the heading has their share, before → after. The outermost \
                                       0.05 % of the float values are left out where no level \
                                       lies.";

    /// A panel for each of `tensors`.
    pub fn new(title: &str, tensors: &[TensorDistribution]) -> DistributionChart {
        DistributionChart { title: title.into(), panels: tensors.iter().map(Panel::new).collect() }
    }

    /// The figure as an `<svg>` element that is also a complete SVG file; see
    /// [`super::LineChart::to_svg`].
    ///
    /// # Errors
    /// [`Error::Data`] if plotters cannot draw it.
    pub fn to_svg(&self) -> Result<String> {
        let title_height = if self.title.is_empty() { 0 } else { 34 };
        let legend_height = 26;
        let rows = self.panels.len().div_ceil(2).max(1) as i32;
        let height = EDGE + title_height + legend_height + rows * PANEL_HEIGHT + EDGE;
        let mut svg = String::new();
        {
            let root = SVGBackend::with_string(&mut svg, (px(WIDTH) as u32, px(height) as u32))
                .into_drawing_area();
            self.draw(&root, title_height, legend_height).and_then(|()| root.present()).map_err(
                |error| {
                    Error::Data(format!("cannot draw the histograms {:?}: {error}", self.title))
                },
            )?;
        }
        Ok(finish(&svg, &self.title, height))
    }

    /// Writes the figure to `path` as SVG, atomically.
    ///
    /// # Errors
    /// Errors of [`Self::to_svg`], and [`Error::Io`].
    pub fn write(&self, path: impl AsRef<Path>) -> Result<()> {
        write_atomically(path.as_ref(), self.to_svg()?.as_bytes())
    }

    fn draw<B: DrawingBackend>(
        &self,
        root: &Area<B>,
        title_height: i32,
        legend_height: i32,
    ) -> Drawn<B> {
        let ink = INK.to_rgba();
        if !self.title.is_empty() {
            let title =
                text::fit(&text::plain(&self.title), Size::LARGE, (WIDTH - 2 * EDGE) as u32);
            root.draw(&Text::new(title, (px(EDGE), px(EDGE)), font(18.0).into_font().color(&ink)))?;
        }
        self.draw_legend(root, EDGE + title_height)?;
        let top = EDGE + title_height + legend_height;
        let half = WIDTH / 2;
        for (index, panel) in self.panels.iter().enumerate() {
            let (column, row) = ((index % 2) as i32, (index / 2) as i32);
            let (x, y) = (column * half, top + row * PANEL_HEIGHT);
            let area = root.clone().shrink((px(x), px(y)), (px(half), px(PANEL_HEIGHT)));
            panel.draw(&area)?;
        }
        if self.panels.is_empty() {
            let style =
                font(16.0).into_font().color(&ink).pos(Pos::new(HPos::Center, VPos::Center));
            root.draw(&Text::new(
                "nothing is quantized",
                (px(WIDTH / 2), px(top + PANEL_HEIGHT / 2)),
                style,
            ))?;
        }
        Ok(())
    }

    fn draw_legend<B: DrawingBackend>(&self, root: &Area<B>, top: i32) -> Drawn<B> {
        let label = || font(13.5).into_font().color(&INK).pos(Pos::new(HPos::Left, VPos::Center));
        let y = top + 9;
        let swatch = |x: i32, series: usize, opacity: f64| {
            Rectangle::new([(px(x), px(y - 6)), (px(x + 20), px(y + 6))], filled(series, opacity))
        };
        root.draw(&swatch(EDGE, 0, FLOAT_OPACITY))?;
        root.draw(&Text::new("float", (px(EDGE + 26), px(y)), label()))?;
        root.draw(&swatch(EDGE + 84, 1, 1.0))?;
        root.draw(&Text::new("quantized", (px(EDGE + 110), px(y)), label()))?;
        let x = EDGE + 200;
        root.draw(&PathElement::new(vec![(px(x), px(y)), (px(x + 30), px(y))], level_line()))?;
        root.draw(&Text::new("quantization level", (px(x + 36), px(y)), label()))
    }
}

/// Light enough for the levels to be visible over it, also in greyscale.
const FLOAT_OPACITY: f64 = 0.45;

fn filled(series: usize, opacity: f64) -> ShapeStyle {
    ShapeStyle { color: placeholder(series).mix(opacity), filled: true, stroke_width: 0 }
}

/// The dashed line of a level, in the text's colour.
fn level_line() -> ShapeStyle {
    ShapeStyle { color: placeholder(5).to_rgba(), filled: false, stroke_width: UNIT as u32 }
}

/// A share as a percentage with at least two digits.
fn percent(share: f64) -> String {
    let percent = 100.0 * share;
    if percent >= 10.0 || percent == 0.0 {
        format!("{percent:.0} %")
    } else {
        format!("{percent:.1} %")
    }
}

impl Panel {
    fn new(tensor: &TensorDistribution) -> Panel {
        let is_weight = tensor.name.ends_with(".weight");
        let (before, after) =
            (Points::new(&tensor.before, is_weight), Points::new(&tensor.after, is_weight));
        let range = before.range(&tensor.levels);
        let bars = range.map_or(Vec::new(), |range| before.bars(range));
        let inside =
            |value: f64| range.is_some_and(|range| value >= range.low && value <= range.high);
        let stems = after.shares().into_iter().filter(|&(value, _)| inside(value)).collect();
        let count = 2u64.pow(tensor.bits);
        let levels = match (is_weight, tensor.levels.len()) {
            (_, 0) => "levels per output channel".to_string(),
            (true, used) => format!("{used} of {count} levels used"),
            (false, all) => format!("{all} levels"),
        };
        let unit = if tensor.bits == 1 { "bit" } else { "bits" };
        let zeros = match (before.zeros, after.zeros) {
            (Some(before), Some(after)) => format!("; 0: {} → {}", percent(before), percent(after)),
            _ => String::new(),
        };
        Panel {
            title: format!("{}, {} {unit}: {levels}{zeros}", tensor.name, tensor.bits),
            label: if is_weight { "value of a weight" } else { "value of an activation" },
            bars,
            stems,
            levels: tensor.levels.clone(),
            range,
        }
    }

    fn draw<B: DrawingBackend>(&self, area: &Area<B>) -> Drawn<B> {
        let ink = INK.to_rgba();
        let title =
            text::fit(&text::plain(&self.title), Size::SMALL, (WIDTH / 2 - 3 * EDGE - 8) as u32);
        area.draw(&Text::new(title, (px(EDGE + 8), px(10)), font(14.0).into_font().color(&ink)))?;
        let Some(range) = self.range else {
            let style =
                font(14.0).into_font().color(&ink).pos(Pos::new(HPos::Center, VPos::Center));
            return area.draw(&Text::new(
                "no values",
                (px(WIDTH / 4), px(PANEL_HEIGHT / 2)),
                style,
            ));
        };
        let plots = (PANEL_HEIGHT - HEADING) / 2;
        for (index, top) in [HEADING, HEADING + plots - 16].into_iter().enumerate() {
            let is_float = index == 0;
            let height = if is_float { plots - 16 } else { plots + 16 };
            let half = area.clone().shrink((0, px(top)), (px(WIDTH / 2), px(height)));
            self.draw_half(&half, range, is_float)?;
        }
        Ok(())
    }

    /// The float bars, or the quantized stems with the horizontal axis.
    fn draw_half<B: DrawingBackend>(
        &self,
        area: &Area<B>,
        range: Range,
        is_float: bool,
    ) -> Drawn<B> {
        let ink = INK.to_rgba();
        let highest = if is_float {
            self.bars.iter().map(|bar| bar.2).fold(0.0, f64::max)
        } else {
            self.stems.iter().map(|stem| stem.1).fold(0.0, f64::max)
        };
        let shares = Range { low: 0.0, high: if highest > 0.0 { highest * 108.0 } else { 1.0 } };
        let mut y_ticks = linear_ticks(shares);
        // Two or three grid lines are enough for such a low plot.
        let keep = y_ticks.values.len().div_ceil(3).max(1);
        y_ticks.values = y_ticks.values.iter().step_by(keep).copied().collect();
        let x_axis = Axis { range, log: false, ticks: linear_ticks(range) };
        let y_axis = Axis { range: shares, log: false, ticks: y_ticks };
        let mut chart = ChartBuilder::on(area)
            .margin_right(px(EDGE))
            .margin_left(px(4))
            .margin_top(px(4))
            .x_label_area_size(if is_float { px(6) } else { px(AXIS_HEIGHT) })
            .y_label_area_size(px(52))
            .build_cartesian_2d(x_axis, y_axis)?;
        let mut mesh = chart.configure_mesh();
        mesh.max_light_lines(0)
            .disable_x_mesh()
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
            .set_all_tick_mark_size(px(4))
            .y_label_formatter(&|value| format!("{value} %"))
            .label_style(font(12.0).into_font().color(&ink));
        if is_float {
            mesh.x_label_formatter(&|_| String::new());
        } else {
            mesh.axis_desc_style(font(12.0).into_font().color(&ink)).x_desc(self.label);
        }
        mesh.draw()?;
        if is_float {
            chart.draw_series(self.bars.iter().map(|&(left, width, share)| {
                Rectangle::new(
                    [(left, 0.0), (left + width, 100.0 * share)],
                    filled(0, FLOAT_OPACITY),
                )
            }))?;
        }
        let last = self.levels.len().saturating_sub(1);
        let is_drawn = |index: usize| last < MOST_LINES || index == 0 || index == last;
        let shown = self.levels.iter().enumerate().filter(|(index, _)| is_drawn(*index));
        chart.draw_series(shown.map(|(_, &level)| {
            PathElement::new(vec![(level, 0.0), (level, shares.high)], level_line())
        }))?;
        if !is_float {
            // Bars are a few pixels wide, or as wide as the distance of the levels.
            let smallest = self
                .stems
                .windows(2)
                .map(|pair| pair[1].0 - pair[0].0)
                .fold(f64::INFINITY, f64::min);
            let width = ((range.high - range.low) / 60.0)
                .min(0.8 * smallest)
                .max((range.high - range.low) / 600.0);
            chart.draw_series(self.stems.iter().map(|&(value, share)| {
                let (left, right, top) = (value - width / 2.0, value + width / 2.0, 100.0 * share);
                Polygon::new(
                    vec![(left, 0.0), (left, top), (right, top), (right, 0.0)],
                    filled(1, 1.0),
                )
            }))?;
        }
        Ok(())
    }
}

/// The points of a histogram as shares of all values; zeros are separate if they are not drawn.
struct Points {
    points: Vec<(f64, u64)>,
    total: f64,
    zeros: Option<f64>,
}

impl Points {
    fn new(histogram: &Histogram, draw_zeros: bool) -> Points {
        let total = histogram.count() as f64;
        let points = histogram
            .points()
            .into_iter()
            .filter(|&(value, _)| draw_zeros || value != 0.0)
            .collect();
        let zeros = (!draw_zeros && total > 0.0).then(|| histogram.zeros() as f64 / total);
        Points { points, total: total.max(1.0), zeros }
    }

    fn shares(&self) -> Vec<(f64, f64)> {
        self.points.iter().map(|&(value, count)| (value, count as f64 / self.total)).collect()
    }

    /// All but the outermost values, and all levels; `None` without values.
    fn range(&self, levels: &[f64]) -> Option<Range> {
        let drawn: u64 = self.points.iter().map(|point| point.1).sum();
        let cut = (TRIMMED * drawn as f64) as u64;
        let end = |mut points: Box<dyn Iterator<Item = &(f64, u64)> + '_>| {
            let mut seen = 0;
            points
                .find(|point| {
                    seen += point.1;
                    seen > cut
                })
                .map(|point| point.0)
        };
        let ends = [end(Box::new(self.points.iter())), end(Box::new(self.points.iter().rev()))];
        Range::of(ends.into_iter().flatten().chain(levels.iter().copied())).map(|range| {
            let pad = 0.02 * (range.high - range.low);
            Range { low: range.low - pad, high: range.high + pad }
        })
    }

    /// (left edge, width, share) of the bars across `range`.
    fn bars(&self, range: Range) -> Vec<(f64, f64, f64)> {
        let width = (range.high - range.low) / BARS as f64;
        let mut shares = vec![0.0; BARS];
        for (value, share) in self.shares() {
            let bar = ((value - range.low) / width).floor();
            if bar >= 0.0 && (bar as usize) < BARS {
                shares[bar as usize] += share;
            }
        }
        let filled = shares.into_iter().enumerate().filter(|(_, share)| *share > 0.0);
        filled.map(|(index, share)| (range.low + width * index as f64, width, share)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(
        name: &str,
        bits: u32,
        before: &[f32],
        after: &[f32],
        levels: &[f64],
    ) -> TensorDistribution {
        TensorDistribution {
            name: name.into(),
            bits,
            before: Histogram::of(before),
            after: Histogram::of(after),
            levels: levels.into(),
        }
    }

    #[test]
    fn shares_add_up_and_zeros_are_told_apart() {
        let before = [0.0, 0.0, 0.0, 0.25, 0.5, 0.75, 1.0, 1.0];
        let after = [0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0];
        let panel = Panel::new(&tensor("act1", 1, &before, &after, &[0.0, 1.0]));
        let sum = |shares: Vec<f64>| shares.iter().sum::<f64>();
        assert!((sum(panel.bars.iter().map(|bar| bar.2).collect()) - 0.625).abs() < 1e-12);
        assert_eq!(panel.stems, [(1.0, 0.5)]);
        assert_eq!(panel.title, "act1, 1 bit: 2 levels; 0: 38 % → 50 %");

        let weights = Panel::new(&tensor(
            "conv1.weight",
            2,
            &[-0.4, 0.1, 0.3],
            &[-0.5, 0.0, 0.5],
            &[-0.5, 0.0, 0.5],
        ));
        assert_eq!(weights.stems.len(), 3);
        assert_eq!(weights.title, "conv1.weight, 2 bits: 3 of 4 levels used");
        let range = weights.range.unwrap();
        assert!(range.low < -0.5 && range.high > 0.5);
    }

    #[test]
    fn any_distribution_can_be_drawn() {
        let many: Vec<f64> = (0..256).map(f64::from).collect();
        let cases = [
            tensor("conv1.weight", 8, &[1.0], &[1.0], &[]),
            tensor("act1", 8, &[], &[], &[]),
            tensor("act2", 8, &[0.0; 5], &[0.0; 5], &many),
            tensor("fc<&>.weight", 2, &[f32::MAX, f32::MIN], &[f32::NAN], &[1e30, -1e30]),
        ];
        for count in 0..=cases.len() {
            let svg = DistributionChart::new("a < b", &cases[..count]).to_svg().unwrap();
            assert!(
                svg.starts_with("<svg")
                    && svg.trim_end().ends_with("</svg>")
                    && svg.contains("a &lt; b")
            );
            assert!(!svg.contains("NaN") && !svg.contains("#010"), "a stand-in colour was left");
        }
    }
}
