//! Charts as pixels: draws the shapes of plotters antialiased, in the styles of the SVG.

use std::convert::Infallible;

use ab_glyph_rasterizer::{Point, Rasterizer, point};
use image::RgbImage;
use plotters_backend::text_anchor::{HPos, VPos};
use plotters_backend::{
    BackendColor, BackendCoord, BackendStyle, BackendTextStyle, DrawingBackend, DrawingErrorKind,
    FontTransform,
};

use super::canvas::INK;
use super::colormap::Rgb;
use super::style::{UNIT, style_of};
use super::text;
use crate::{Error, Result};

/// Pixels that shapes may extend beyond the picture.
const BEYOND: f32 = 32.0;
/// Largest width of a picture in pixels.
const LARGEST: f32 = 16_384.0;
/// Number of corners of a polygon that stands for a circle.
const CORNERS: u32 = 32;

/// A white picture that plotters draws on.
pub(super) struct Raster {
    size: (u32, u32),
    /// Pixels per unit of plotters.
    scale: f32,
    image: RgbImage,
}

impl Raster {
    /// A picture for a drawing of `size` units.
    ///
    /// # Errors
    /// [`Error::Data`] for a picture with no pixels or too many.
    pub fn new(size: (u32, u32), scale: f32) -> Result<Raster> {
        let [width, height] = [size.0, size.1].map(|units| (units as f32 * scale).round());
        if !(1.0..=LARGEST).contains(&width) || !(1.0..=LARGEST).contains(&height) {
            return Err(Error::Data(format!("cannot draw a chart of {width} × {height} pixels")));
        }
        Ok(Raster {
            size,
            scale,
            image: RgbImage::from_pixel(width as u32, height as u32, image::Rgb([255; 3])),
        })
    }

    pub fn into_image(self) -> RgbImage {
        self.image
    }

    fn point(&self, (x, y): BackendCoord) -> Point {
        let inside = |units: i32, pixels: u32| {
            (units as f32 * self.scale).clamp(-BEYOND, pixels as f32 + BEYOND)
        };
        point(inside(x, self.image.width()), inside(y, self.image.height()))
    }

    fn points(&self, points: impl IntoIterator<Item = BackendCoord>) -> Vec<Point> {
        points.into_iter().map(|at| self.point(at)).collect()
    }

    /// Fills the union of `shapes`, so that overlaps do not get darker.
    fn fill(&mut self, shapes: &[Vec<Point>], color: BackendColor) {
        let all = || shapes.iter().flatten();
        let extent = |of: fn(&Point) -> f32| {
            all()
                .map(of)
                .fold((f32::MAX, f32::MIN), |(low, high), value| (low.min(value), high.max(value)))
        };
        let ((left, right), (top, bottom)) = (extent(|p| p.x), extent(|p| p.y));
        if left > right {
            return;
        }
        let (left, top) = (left.floor() - 1.0, top.floor() - 1.0);
        let size = [right - left, bottom - top].map(|length| length.ceil() as usize + 2);
        let mut rasterizer = Rasterizer::new(size[0], size[1]);
        for shape in shapes {
            let edges = || shape.iter().zip(shape.iter().cycle().skip(1));
            let area: f32 = edges().map(|(from, to)| from.x * to.y - to.x * from.y).sum();
            // All shapes have the same orientation, so that coverages add up instead of cancelling.
            for (&from, &to) in edges() {
                let (from, to) = (from - point(left, top), to - point(left, top));
                if area < 0.0 {
                    rasterizer.draw_line(from, to)
                } else {
                    rasterizer.draw_line(to, from)
                }
            }
        }
        let (ink, alpha) = (resolve(color.rgb), color.alpha.clamp(0.0, 1.0) as f32);
        let image = &mut self.image;
        rasterizer.for_each_pixel_2d(|x, y, coverage| {
            blend(
                image,
                x as i64 + left as i64,
                y as i64 + top as i64,
                ink,
                alpha * coverage.abs().min(1.0),
            );
        });
    }

    fn stroke(&mut self, line: &[Point], color: BackendColor, width: u32) {
        let dashes = style_of(color.rgb).map_or("", |style| style.1).split_whitespace();
        let dashes: Vec<f32> = dashes
            .filter_map(|length| length.parse::<f32>().ok())
            .map(|length| UNIT as f32 * self.scale * length)
            .collect();
        let half = width as f32 * self.scale / 2.0;
        let mut shapes = Vec::new();
        for piece in dashed(line, &dashes) {
            for pair in piece.windows(2) {
                let (dx, dy) = (pair[1].x - pair[0].x, pair[1].y - pair[0].y);
                let length = dx.hypot(dy);
                if length > 0.0 {
                    let side = point(-dy / length * half, dx / length * half);
                    shapes.push(vec![
                        pair[0] + side,
                        pair[1] + side,
                        pair[1] - side,
                        pair[0] - side,
                    ]);
                }
            }
            // Round joints between the segments.
            shapes.extend(
                piece
                    .iter()
                    .skip(1)
                    .take(piece.len().saturating_sub(2))
                    .map(|&corner| circle(corner, half)),
            );
        }
        self.fill(&shapes, color);
    }
}

/// `line` cut into dashes; unchanged without a pattern.
fn dashed(line: &[Point], pattern: &[f32]) -> Vec<Vec<Point>> {
    if pattern.iter().sum::<f32>() <= 0.0 {
        return vec![line.to_vec()];
    }
    let mut pieces = Vec::new();
    let mut piece: Vec<Point> = line.first().copied().into_iter().collect();
    let (mut entry, mut left) = (0, pattern[0]);
    for pair in line.windows(2) {
        let (dx, dy) = (pair[1].x - pair[0].x, pair[1].y - pair[0].y);
        let length = dx.hypot(dy);
        let mut done = 0.0;
        while length - done > left {
            done += left;
            let at = point(pair[0].x + dx * done / length, pair[0].y + dy * done / length);
            piece.push(at);
            if entry % 2 == 0 {
                pieces.push(std::mem::take(&mut piece));
            }
            piece = vec![at];
            entry = (entry + 1) % pattern.len();
            left = pattern[entry];
        }
        left -= length - done;
        piece.push(pair[1]);
    }
    if entry % 2 == 0 {
        pieces.push(piece);
    }
    pieces
}

fn circle(center: Point, radius: f32) -> Vec<Point> {
    let corner = |index: u32| {
        let (sin, cos) = (std::f32::consts::TAU * index as f32 / CORNERS as f32).sin_cos();
        point(center.x + radius * cos, center.y + radius * sin)
    };
    (0..CORNERS).map(corner).collect()
}

/// Paints one pixel, if it is in the picture.
fn blend(image: &mut RgbImage, x: i64, y: i64, ink: Rgb, strength: f32) {
    if strength <= 0.0 || x < 0 || y < 0 {
        return;
    }
    if let Some(pixel) = image.get_pixel_mut_checked(x as u32, y as u32) {
        for (old, new) in pixel.0.iter_mut().zip(ink) {
            let before = f32::from(*old);
            *old = (before + (f32::from(new) - before) * strength).round() as u8;
        }
    }
}

/// The colour that a placeholder stands for.
fn resolve(rgb: (u8, u8, u8)) -> Rgb {
    let hex = style_of(rgb).map(|style| style.0);
    match hex
        .and_then(|hex| hex.strip_prefix('#'))
        .and_then(|digits| u32::from_str_radix(digits, 16).ok())
    {
        Some(color) => {
            let [_, red, green, blue] = color.to_be_bytes();
            [red, green, blue]
        }
        None if hex.is_some() => INK,
        None => [rgb.0, rgb.1, rgb.2],
    }
}

type Drawn = Result<(), DrawingErrorKind<Infallible>>;

impl DrawingBackend for &mut Raster {
    type ErrorType = Infallible;

    fn get_size(&self) -> (u32, u32) {
        self.size
    }

    fn ensure_prepared(&mut self) -> Drawn {
        Ok(())
    }

    fn present(&mut self) -> Drawn {
        Ok(())
    }

    fn draw_pixel(&mut self, (x, y): BackendCoord, color: BackendColor) -> Drawn {
        let shape = self.points([(x, y), (x + 1, y), (x + 1, y + 1), (x, y + 1)]);
        self.fill(&[shape], color);
        Ok(())
    }

    fn draw_line<S: BackendStyle>(
        &mut self,
        from: BackendCoord,
        to: BackendCoord,
        style: &S,
    ) -> Drawn {
        self.draw_path([from, to], style)
    }

    fn draw_rect<S: BackendStyle>(
        &mut self,
        (left, top): BackendCoord,
        (right, bottom): BackendCoord,
        style: &S,
        fill: bool,
    ) -> Drawn {
        let mut corners = self.points([(left, top), (right, top), (right, bottom), (left, bottom)]);
        if fill {
            self.fill(&[corners], style.color());
        } else {
            corners.push(corners[0]);
            self.stroke(&corners, style.color(), style.stroke_width());
        }
        Ok(())
    }

    fn draw_path<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(
        &mut self,
        path: I,
        style: &S,
    ) -> Drawn {
        let line = self.points(path);
        self.stroke(&line, style.color(), style.stroke_width());
        Ok(())
    }

    fn draw_circle<S: BackendStyle>(
        &mut self,
        center: BackendCoord,
        radius: u32,
        style: &S,
        fill: bool,
    ) -> Drawn {
        let mut corners = circle(self.point(center), radius as f32 * self.scale);
        if fill {
            self.fill(&[corners], style.color());
        } else {
            corners.push(corners[0]);
            self.stroke(&corners, style.color(), style.stroke_width());
        }
        Ok(())
    }

    fn fill_polygon<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(
        &mut self,
        corners: I,
        style: &S,
    ) -> Drawn {
        let shape = self.points(corners);
        self.fill(&[shape], style.color());
        Ok(())
    }

    fn draw_text<S: BackendTextStyle>(
        &mut self,
        content: &str,
        style: &S,
        (x, y): BackendCoord,
    ) -> Drawn {
        // plotters' SVG backend divides the font size by 1.24; this code does the same.
        let em = style.size() as f32 / 1.24 * self.scale;
        let height = em * text::LINE_IN_EMS;
        let width = text::advance(content, height);
        let left = match style.anchor().h_pos {
            HPos::Left => 0.0,
            HPos::Center => -width / 2.0,
            HPos::Right => -width,
        };
        let baseline = match style.anchor().v_pos {
            VPos::Top => 0.76 * em,
            VPos::Center => 0.27 * em,
            VPos::Bottom => -0.27 * em,
        };
        let turn = style.transform();
        let (x, y) =
            ((x as f32 * self.scale).round() as i64, (y as f32 * self.scale).round() as i64);
        let ink = resolve(style.color().rgb);
        let image = &mut self.image;
        text::cover(content, height, (left, baseline), |dx, dy, coverage| {
            let (dx, dy) = match turn {
                FontTransform::Rotate90 => (-dy, dx),
                FontTransform::Rotate180 => (-dx, -dy),
                FontTransform::Rotate270 => (dy, -dx),
                _ => (dx, dy),
            };
            blend(image, x + dx, y + dy, ink, coverage);
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLACK: BackendColor = BackendColor { alpha: 1.0, rgb: (0, 0, 0) };

    #[test]
    fn overlapping_shapes_of_either_orientation_are_filled_once() {
        let mut raster = Raster::new((100, 100), 0.2).unwrap();
        let square = |low: f32, high: f32| {
            vec![point(low, low), point(high, low), point(high, high), point(low, high)]
        };
        let reversed = square(8.0, 16.0).into_iter().rev().collect();
        raster.fill(&[square(4.0, 12.0), reversed], BackendColor { alpha: 0.5, ..BLACK });
        let image = raster.into_image();
        assert_eq!(
            [(5, 5), (10, 10), (14, 14), (2, 2)].map(|(x, y)| image.get_pixel(x, y).0[0]),
            [128, 128, 128, 255]
        );
    }

    #[test]
    fn dashes_go_round_corners() {
        let line = [point(0.0, 0.0), point(10.0, 0.0), point(10.0, 10.0)];
        let pieces = dashed(&line, &[4.0, 4.0]);
        assert_eq!(pieces.len(), 3);
        assert_eq!(pieces[1], [point(8.0, 0.0), point(10.0, 0.0), point(10.0, 2.0)]);
        assert_eq!(dashed(&line, &[]), [line.to_vec()]);
    }

    #[test]
    fn shapes_outside_are_cut_off_and_sizes_bounded() {
        let mut raster = Raster::new((100, 100), 0.1).unwrap();
        let beyond = raster.points([(-1_000_000, -5), (1_000_000, 7), (3, i32::MAX)]);
        raster.fill(&[beyond], BLACK);
        assert!(Raster::new((0, 10), 1.0).is_err() && Raster::new((1 << 20, 10), 1.0).is_err());
    }
}
