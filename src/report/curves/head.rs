//! The part of a chart above its plot: title, note and legend.

use plotters::element::PathElement;
use plotters::prelude::{DrawingBackend, IntoFont, Text};
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::super::style::{
    Area, Drawn, EDGE, INK, WIDTH, draw_interval, draw_marker, font, px, stroke,
};
use super::super::text::{self, Size};

/// Line height of a note, in pixels.
const NOTE_LINE: i32 = 18;

/// How an entry of the legend shows its series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Sample {
    /// A line with a marker.
    Line,
    /// A thin line without one.
    Thin,
    /// A marker on its interval.
    Dot,
}

/// A position in the legend, in pixels from the head's upper left corner.
struct Entry {
    style: usize,
    sample: Sample,
    text: String,
    x: i32,
    y: i32,
}

/// Title, note and legend, each of which may be absent.
pub(super) struct Head {
    title: String,
    note: Vec<String>,
    legend: Vec<Entry>,
    /// Height in pixels, including the upper margin.
    pub height: i32,
}

impl Head {
    /// `series` are the name, style and sample of each series; a single one without a name needs no
    /// legend.
    pub fn new(title: &str, note: &str, series: &[(String, usize, Sample)]) -> Head {
        let room = (WIDTH - 2 * EDGE) as u32;
        let title = text::fit(&text::plain(title), Size::LARGE, room);
        // Its letters are drawn a twelfth larger than measured.
        let note = text::wrap(&text::plain(note), Size::SMALL, room * 11 / 12);
        let mut height = EDGE + if title.is_empty() { 0 } else { 30 };
        if !note.is_empty() {
            height += NOTE_LINE * note.len() as i32 + 6;
        }
        let mut legend: Vec<Entry> = Vec::new();
        let (mut x, mut y) = (EDGE, height);
        let single = matches!(series, [(only, ..)] if only.is_empty());
        for (name, style, sample) in series.iter().filter(|_| !single) {
            let text = text::fit(&text::plain(name), Size::NORMAL, room - 40);
            let width = 40 + text::width(&text, Size::NORMAL) as i32;
            if x > EDGE && x + width > WIDTH - EDGE {
                (x, y) = (EDGE, y + 22);
            }
            legend.push(Entry { style: *style, sample: *sample, text, x, y });
            x += width + 22;
        }
        if let Some(last) = legend.last() {
            height = last.y + 26;
        }
        Head { title, note, legend, height }
    }

    pub fn draw<B: DrawingBackend>(&self, root: &Area<B>) -> Drawn<B> {
        let text = |size: f64| font(size).into_font().color(&INK);
        if !self.title.is_empty() {
            root.draw(&Text::new(self.title.clone(), (px(EDGE), px(EDGE)), text(18.0)))?;
        }
        let first = EDGE + if self.title.is_empty() { 0 } else { 30 };
        for (line, y) in self.note.iter().zip((first..).step_by(NOTE_LINE as usize)) {
            root.draw(&Text::new(line.clone(), (px(EDGE), px(y)), text(13.0)))?;
        }
        for entry in &self.legend {
            let (x, y) = (px(entry.x), px(entry.y + 9));
            match entry.sample {
                Sample::Line => root.draw(&PathElement::new(
                    vec![(x, y), (x + px(34), y)],
                    stroke(entry.style, 2.2),
                ))?,
                Sample::Thin => root.draw(&PathElement::new(
                    vec![(x, y), (x + px(34), y)],
                    stroke(entry.style, 1.0),
                ))?,
                Sample::Dot => draw_interval(root, (x + px(4), y), (x + px(30), y), entry.style)?,
            }
            if entry.sample != Sample::Thin {
                draw_marker(root, (x + px(17), y), entry.style)?;
            }
            let style = text(13.5).pos(Pos::new(HPos::Left, VPos::Center));
            root.draw(&Text::new(entry.text.clone(), (x + px(40), y), style))?;
        }
        Ok(())
    }
}
