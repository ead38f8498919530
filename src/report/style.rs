//! Styles of series in SVG and as pixels: colours, dashes, markers, intervals.
//!
//! Every series has its own colour (Okabe and Ito's palette, distinguishable with all common colour
//! blindnesses), dash pattern and marker, so that charts stay readable in a greyscale print.

use plotters::coord::Shift;
use plotters::element::{Circle, PathElement, Polygon};
use plotters::prelude::{
    Color, DrawingArea, DrawingAreaErrorKind, DrawingBackend, RGBColor, ShapeStyle, WHITE,
};

use super::text;

/// plotters computes in whole units. This number of units makes a pixel, which gives smooth curves.
pub(super) const UNIT: i32 = 10;
pub(super) const WIDTH: i32 = 760;
pub(super) const EDGE: i32 = 14;
/// Half the length of the stroke at the end of an interval, in pixels.
const CAP: i32 = 4;

/// Stroke or fill colour and dash pattern (in pixels) of the n-th series; `currentColor` is the
/// colour of the surrounding text.
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
pub(super) type Drawn<B> =
    std::result::Result<(), DrawingAreaErrorKind<<B as DrawingBackend>::ErrorType>>;

/// The style of a placeholder colour: hexadecimal or `currentColor`, dash pattern.
pub(super) fn style_of((red, green, blue): (u8, u8, u8)) -> Option<(&'static str, &'static str)> {
    match (red, green, blue) {
        (1, 1, 1) => Some(("currentColor", "")),
        (1, 2, index @ 3..) => STYLES.get(usize::from(index - 3)).copied(),
        (1, 3, index @ 3..) => STYLES.get(usize::from(index - 3)).map(|(color, _)| (*color, "")),
        _ => None,
    }
}

/// A placeholder colour for the n-th series. The finished SVG has the real style instead, because
/// SVG has styles that plotters lacks (dashes, the text's colour).
pub(super) fn placeholder(index: usize) -> RGBColor {
    RGBColor(1, 2, 3 + (index % STYLES.len()) as u8)
}

/// The placeholder of parts that are never dashed: raw lines, bands, intervals.
pub(super) fn raw_placeholder(index: usize) -> RGBColor {
    RGBColor(1, 3, 3 + (index % STYLES.len()) as u8)
}

/// The placeholder of text and axes.
pub(super) const INK: RGBColor = RGBColor(1, 1, 1);

pub(super) fn px(pixels: i32) -> i32 {
    pixels * UNIT
}

/// plotters' font size for `pixels`; its SVG backend divides the size by 1.24.
pub(super) fn font(pixels: f64) -> (&'static str, f64) {
    ("system-ui, sans-serif", pixels * 1.24 * f64::from(UNIT))
}

/// A line of `width` pixels in the style of the n-th series.
pub(super) fn stroke(series: usize, width: f64) -> ShapeStyle {
    ShapeStyle {
        color: placeholder(series).to_rgba(),
        filled: false,
        stroke_width: (width * f64::from(UNIT)) as u32,
    }
}

/// An interval of the n-th series between two points of the drawing, with a short stroke across
/// each end.
pub(super) fn draw_interval<B: DrawingBackend>(
    area: &Area<B>,
    from: (i32, i32),
    to: (i32, i32),
    series: usize,
) -> Drawn<B> {
    let style = ShapeStyle {
        color: raw_placeholder(series).mix(0.85),
        filled: false,
        stroke_width: INTERVAL_WIDTH,
    };
    let (across, along) = if from.0 == to.0 { (px(CAP), 0) } else { (0, px(CAP)) };
    area.draw(&PathElement::new(vec![from, to], style))?;
    for (x, y) in [from, to] {
        area.draw(&PathElement::new(
            vec![(x - across, y - along), (x + across, y + along)],
            style,
        ))?;
    }
    Ok(())
}

/// Stroke width of an interval in plotters' units; it is unique to intervals.
pub(super) const INTERVAL_WIDTH: u32 = 15;

/// A filled shape, a different one for each of seven series.
pub(super) fn draw_marker<B: DrawingBackend>(
    area: &Area<B>,
    (x, y): (i32, i32),
    series: usize,
) -> Drawn<B> {
    let fill = ShapeStyle { color: placeholder(series).to_rgba(), filled: true, stroke_width: 0 };
    let at = |offsets: &[(i32, i32)]| {
        offsets.iter().map(|&(dx, dy)| (x + px(dx) / 10, y + px(dy) / 10)).collect::<Vec<_>>()
    };
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

/// Converts plotters' SVG: adds a size in pixels, a name for screen readers and the panel, and
/// inserts the real styles.
pub(super) fn finish(svg: &str, title: &str, height: i32) -> String {
    let body = svg.split_once('>').map_or("", |(_, body)| body).trim_start();
    let label = escape(if title.is_empty() { "chart" } else { title });
    let (full_width, full_height) = (px(WIDTH), px(height));
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         viewBox=\"0 0 {full_width} {full_height}\" color=\"#1f2328\" role=\"img\" \
         aria-label=\"{label}\">\n\
         <title>{label}</title>\n\
         <rect class=\"panel\" width=\"{full_width}\" height=\"{full_height}\" rx=\"{}\" \
         fill=\"#ffffff\"/>\n{body}",
        px(8)
    );
    let hex = |color: RGBColor| format!("\"#{:02X}{:02X}{:02X}\"", color.0, color.1, color.2);
    out = out.replace(&hex(INK), "\"currentColor\"");
    for (index, (color, dashes)) in STYLES.iter().enumerate() {
        let from = hex(placeholder(index));
        let dashes: Vec<String> = dashes
            .split_whitespace()
            .filter_map(|n| n.parse::<i32>().ok())
            .map(|n| px(n).to_string())
            .collect();
        let dash = if dashes.is_empty() {
            String::new()
        } else {
            format!(" stroke-dasharray=\"{}\"", dashes.join(" "))
        };
        out = out.replace(
            &format!("stroke={from}"),
            &format!("stroke=\"{color}\" stroke-linejoin=\"round\"{dash}"),
        );
        out = out.replace(&format!("fill={from}"), &format!("fill=\"{color}\""));
        out = out.replace(&hex(raw_placeholder(index)), &format!("\"{color}\""));
    }
    out
}

pub(super) fn escape(content: &str) -> String {
    text::plain(content)
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
