//! Text in PNG figures, in an embedded font.

use std::sync::LazyLock;

use ab_glyph::{Font, FontRef, GlyphId, PxScale, ScaleFont};
use image::RgbImage;

use super::colormap::Rgb;
pub(super) use crate::plain;

static FONT: LazyLock<FontRef<'static>> = LazyLock::new(|| {
    FontRef::try_from_slice(include_bytes!("../../assets/fonts/DejaVuSans-subset.ttf"))
        .expect("the embedded font is valid")
});

/// A font size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Size(f32);

impl Size {
    /// Cell annotations and captions.
    pub(super) const SMALL: Size = Size(14.0);
    /// Column headings.
    pub(super) const NORMAL: Size = Size(16.0);
    /// The title.
    pub(super) const LARGE: Size = Size(22.0);

    /// Height of a line of text, in pixels.
    pub(super) fn line(self) -> u32 {
        (self.0 * 1.15).ceil() as u32
    }

    fn scale(self) -> PxScale {
        PxScale::from(self.0)
    }
}

/// Width of `text` on one line, in pixels.
pub(super) fn width(text: &str, size: Size) -> u32 {
    advance(text, size.0).ceil() as u32
}

/// Control characters would show as boxes. Characters that the font lacks do show as boxes, which
/// tells the reader that they exist.
fn glyph(c: char) -> GlyphId {
    FONT.glyph_id(if c.is_control() { ' ' } else { c })
}

/// `text`, shortened with an ellipsis if it is wider than `room` pixels.
pub(super) fn fit(text: &str, size: Size, room: u32) -> String {
    if width(text, size) <= room {
        return text.to_owned();
    }
    let mut kept: Vec<char> = text.chars().take(room as usize).collect();
    loop {
        let short: String = kept.iter().collect::<String>().trim_end().to_owned() + "…";
        if kept.is_empty() || width(&short, size) <= room {
            return short;
        }
        kept.pop();
    }
}

/// `text` broken at spaces into lines of at most `room` pixels; a single longer word is shortened.
pub(super) fn wrap(text: &str, size: Size, room: u32) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if width(&format!("{line} {word}"), size) <= room => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(fit(word, size, room)),
        }
    }
    lines
}

/// Draws `text` on one line with its top left corner at (`x`, `y`); the part outside the image is
/// cut off.
pub(super) fn draw(image: &mut RgbImage, x: u32, y: u32, text: &str, size: Size, color: Rgb) {
    let baseline = y as f32 + FONT.as_scaled(size.scale()).ascent();
    cover(text, size.0, (x as f32, baseline), |px, py, coverage| {
        if px < 0 || py < 0 {
            return;
        }
        if let Some(pixel) = image.get_pixel_mut_checked(px as u32, py as u32) {
            for (old, new) in pixel.0.iter_mut().zip(color) {
                let (before, ink) = (f32::from(*old), f32::from(new));
                *old = (before + (ink - before) * coverage).round() as u8;
            }
        }
    });
}

/// As [`draw`], as an element of an SVG file. It uses the reader's font, stretched to the width of
/// the embedded font.
pub(super) fn svg(x: u32, y: u32, text: &str, size: Size, [red, green, blue]: Rgb) -> String {
    let baseline = y as f32 + FONT.as_scaled(size.scale()).ascent();
    maud::html! {
        text x=(x) y=(format!("{baseline:.1}"))
            font-size=(format!("{:.1}", size.0 / LINE_IN_EMS))
            textLength=(width(text, size))
            lengthAdjust="spacingAndGlyphs"
            fill=(format!("#{red:02x}{green:02x}{blue:02x}")) { (plain(text)) }
    }
    .into_string()
}

/// Calls `pixel` with the position and coverage, 0..=1, of every pixel that `text` touches. Its
/// baseline starts at `start`; `height` is that of a line in pixels.
pub(super) fn cover(
    text: &str,
    height: f32,
    start: (f32, f32),
    mut pixel: impl FnMut(i64, i64, f32),
) {
    let font = FONT.as_scaled(PxScale::from(height));
    let mut at = ab_glyph::point(start.0, start.1);
    for c in text.chars() {
        let id = glyph(c);
        let mut glyph = id.with_scale(PxScale::from(height));
        glyph.position = at;
        at.x += font.h_advance(id);
        let Some(outline) = FONT.outline_glyph(glyph) else { continue };
        let bounds = outline.px_bounds();
        outline.draw(|dx, dy, coverage| {
            pixel(
                bounds.min.x as i64 + i64::from(dx),
                bounds.min.y as i64 + i64::from(dy),
                coverage.min(1.0),
            );
        });
    }
}

/// Width of `text` on one line of `height` pixels.
pub(super) fn advance(text: &str, height: f32) -> f32 {
    let font = FONT.as_scaled(PxScale::from(height));
    text.chars().map(|c| font.h_advance(glyph(c))).sum()
}

/// Line height of this font in ems.
pub(super) const LINE_IN_EMS: f32 = 1.164;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_font_has_every_character_the_figures_use() {
        for c in (' '..='~').chain("éß×·–—…−✓✗≥≤αβλσΔ→←±°".chars()) {
            assert_ne!(FONT.glyph_id(c).0, 0, "{c:?}");
        }
    }

    #[test]
    fn text_is_shortened_and_wrapped_to_its_room() {
        let long = "a rather long model name, quantized to (2,2)";
        let short = fit(long, Size::SMALL, 80);
        assert!(short.ends_with('…') && width(&short, Size::SMALL) <= 80, "{short}");
        assert_eq!(fit("7", Size::SMALL, 80), "7");
        let lines = wrap(long, Size::SMALL, 120);
        assert!(
            lines.len() > 1 && lines.iter().all(|line| width(line, Size::SMALL) <= 120),
            "{lines:?}"
        );
        assert_eq!(lines.join(" "), long);
        assert!(wrap("  ", Size::SMALL, 10).is_empty());
        assert_eq!(fit("W", Size::LARGE, 0), "…");
    }

    #[test]
    fn drawing_beyond_the_edge_is_cut_off() {
        let mut image = RgbImage::from_pixel(10, 10, image::Rgb([255; 3]));
        draw(&mut image, 8, 8, "W\u{7}✗", Size::LARGE, [0; 3]);
        draw(&mut image, 4_000_000_000, 0, "W", Size::LARGE, [0; 3]);
        let before = image.clone();
        draw(&mut image, 0, 0, "W", Size::LARGE, [0; 3]);
        assert_ne!(image, before);
    }
}
