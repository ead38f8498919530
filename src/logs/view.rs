//! The view of `saliq watch`: a run as text, with its loss as a curve and its newest maps.

use std::{
    fs::{self, File},
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    time::SystemTime,
};

use serde::Serialize;

use super::maps::NewestMaps;
use crate::{
    Error, Result,
    model::MODEL_FILE,
    report::{ColorMap, SaliencyScale},
    train::{EpochLine, RunFolder, StepLine},
};

/// The end of `metrics.jsonl` that is read, in bytes.
const MOST: u64 = 1 << 24;
/// Columns of a map at most.
const MAP_SIDE: usize = 32;

/// What a run's folder says about it.
#[derive(Clone, Debug, Serialize)]
pub struct RunView {
    /// The run folder.
    pub folder: PathBuf,
    /// Whether its model is written and nothing came after it.
    pub finished: bool,
    /// Steps taken.
    pub step: u64,
    /// Seconds since the last line was written.
    pub seconds_since: f64,
    /// The last step line.
    pub last_step: Option<StepLine>,
    /// The last epoch line.
    pub last_epoch: Option<EpochLine>,
    /// Step of the newest maps.
    pub maps_step: Option<u64>,
    #[serde(skip)]
    losses: Vec<f64>,
    #[serde(skip)]
    maps: Option<NewestMaps>,
}

/// How a view is drawn.
#[derive(Clone, Copy, Debug)]
pub struct ViewOptions {
    /// Columns of the terminal.
    pub columns: usize,
    /// Rows of the curve.
    pub rows: usize,
    /// Whether maps are drawn in colours.
    pub color: bool,
}

impl RunView {
    /// Reads the run in `folder`, which may be going on.
    ///
    /// # Errors
    /// [`Error::Io`] where there is no run.
    pub fn read(folder: &Path) -> Result<RunView> {
        let path = RunFolder::metrics_of(folder);
        let problem = |error| Error::io("cannot read the metrics of a run in", &path)(error);
        let mut file = File::open(&path).map_err(problem)?;
        let metadata = file.metadata().map_err(problem)?;
        let skipped = metadata.len().saturating_sub(MOST);
        file.seek(SeekFrom::Start(skipped)).map_err(problem)?;
        let mut bytes = Vec::new();
        file.take(MOST).read_to_end(&mut bytes).map_err(problem)?;
        let text = String::from_utf8_lossy(&bytes);
        let (mut steps, mut epochs): (Vec<StepLine>, Vec<EpochLine>) = (Vec::new(), Vec::new());
        for line in text.lines() {
            // The first line may be cut, and the last one may be on its way.
            let _ = RunFolder::read_line(line, &mut steps, &mut epochs);
        }
        let modified = metadata.modified().ok();
        let model = fs::metadata(folder.join(MODEL_FILE)).and_then(|model| model.modified()).ok();
        let since = modified.and_then(|at| SystemTime::now().duration_since(at).ok());
        let losses = match steps.len() {
            0 => epochs.iter().map(|line| line.train_loss).collect(),
            _ => steps.iter().map(|line| line.loss).collect(),
        };
        let maps = NewestMaps::read(folder);
        let (last_step, last_epoch) = (steps.pop(), epochs.pop());
        let taken = [last_step.as_ref().map(|line| line.step), last_epoch.as_ref().map(|l| l.step)];
        Ok(RunView {
            folder: folder.into(),
            finished: model.zip(modified).is_some_and(|(model, metrics)| model >= metrics),
            step: taken.into_iter().flatten().max().unwrap_or(0),
            seconds_since: since.map_or(0.0, |since| since.as_secs_f64()),
            last_step,
            last_epoch,
            maps_step: maps.as_ref().map(|maps| maps.step),
            losses,
            maps,
        })
    }

    /// The view as lines of text.
    pub fn to_text(&self, options: &ViewOptions) -> String {
        let state = match self.finished {
            true => "finished".to_string(),
            false => format!("last line {:.0} s ago", self.seconds_since),
        };
        let folder = crate::plain(&self.folder.display().to_string());
        let mut text = format!("{folder}: {} steps, {state}\n", self.step);
        if let Some(line) = &self.last_step {
            text += &format!(
                "step {}: loss {:.4} (ce {:.4}, kl {:.4}), accuracy {:.1} %, lr {:.4}\n",
                line.step,
                line.loss,
                line.ce,
                line.kl,
                100.0 * line.accuracy,
                line.lr
            );
        }
        if let Some(line) = &self.last_epoch {
            text += &format!(
                "epoch {}: train loss {:.4}, test accuracy {:.2} %, test loss {:.4}, \
                 {:.0} images/s\n",
                line.epoch,
                line.train_loss,
                100.0 * line.test_accuracy,
                line.test_loss,
                line.images_per_second
            );
        }
        text += &curve(&self.losses, options.columns.clamp(20, 120) - 10, options.rows.max(2));
        if let Some(maps) = &self.maps {
            text += &format!("saliency after step {}\n", maps.step);
            text += &self::maps(maps, options);
        }
        text
    }
}

/// A curve in dots of Braille, `columns` wide, with the highest and the lowest value at its side.
fn curve(values: &[f64], columns: usize, rows: usize) -> String {
    let finite: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    if finite.is_empty() {
        return "no losses yet\n".into();
    }
    let (wide, high) = (2 * columns, 4 * rows);
    // The mean of the values that share a column.
    let count = wide.min(finite.len());
    let means: Vec<f64> = (0..count)
        .map(|at| {
            let part = &finite[at * finite.len() / count..(at + 1) * finite.len() / count];
            part.iter().sum::<f64>() / part.len() as f64
        })
        .collect();
    // Few values are joined by lines over the whole width.
    let between = |x: usize| {
        let place = x as f64 * (count - 1) as f64 / (wide - 1) as f64;
        let (left, share) = (place.floor() as usize, place.fract());
        let right = (left + 1).min(count - 1);
        means[left] * (1.0 - share) + means[right] * share
    };
    let means: Vec<f64> = if count > 1 { (0..wide).map(between).collect() } else { means.clone() };
    let low = means.iter().copied().fold(f64::INFINITY, f64::min);
    let top = means.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let span = if top > low { top - low } else { 1.0 };
    let place = |value: f64| ((top - value) / span * (high - 1) as f64).round() as usize;
    let mut cells = vec![0_u8; columns * rows];
    // The bits of a character's dots, by column and row.
    const DOTS: [[u8; 4]; 2] = [[0x01, 0x02, 0x04, 0x40], [0x08, 0x10, 0x20, 0x80]];
    let mut before = place(means[0]);
    for (x, &value) in means.iter().enumerate() {
        let y = place(value);
        let (from, to) = (before.min(y), before.max(y));
        // A steep piece has its dots in one column.
        for y in if x == 0 { y..=y } else { from..=to } {
            cells[y / 4 * columns + x / 2] |= DOTS[x % 2][y % 4];
        }
        before = y;
    }
    let mut text = String::new();
    for (row, cells) in cells.chunks(columns).enumerate() {
        let label = match row {
            0 => format!("{top:>8.3} "),
            _ if row + 1 == rows => format!("{low:>8.3} "),
            _ => " ".repeat(9),
        };
        let drawn = cells.iter().map(|&dots| char::from_u32(0x2800 + u32::from(dots)));
        let line: String = drawn.map(|dots| dots.unwrap_or(' ')).collect();
        text += &format!("{label}{}\n", line.trim_end_matches('\u{2800}'));
    }
    text
}

/// As many maps as fit beside one another, two rows of pixels in one of characters.
fn maps(maps: &NewestMaps, options: &ViewOptions) -> String {
    let (height, width) = (maps.shape.height as usize, maps.shape.width as usize);
    let shrink = height.max(width).div_ceil(MAP_SIDE).max(1);
    let (rows, columns) = (height.div_ceil(shrink), width.div_ceil(shrink));
    let count = maps.count().min((options.columns / (columns + 2)).max(1));
    let planes: Vec<(Vec<f32>, SaliencyScale)> = (0..count)
        .map(|index| {
            let plane = shrunk(&maps.plane(index), [height, width], shrink);
            let scale = SaliencyScale::of(&plane);
            (plane, scale)
        })
        .collect();
    let mut text = String::new();
    for row in (0..rows).step_by(2) {
        for (plane, scale) in &planes {
            for column in 0..columns {
                let value = |row: usize| {
                    if row < rows { plane.get(row * columns + column).copied() } else { None }
                };
                let (upper, lower) = (value(row).unwrap_or(0.0), value(row + 1).unwrap_or(0.0));
                text += &match options.color {
                    true => colored(*scale, upper, lower),
                    false => shade((upper.abs() + lower.abs()) / 2.0 / scale.limit).to_string(),
                };
            }
            text += if options.color { "\x1b[0m  " } else { "  " };
        }
        text.truncate(text.trim_end_matches(' ').len());
        text.push('\n');
    }
    text
}

/// The means of squares of `shrink` pixels.
fn shrunk(plane: &[f32], [height, width]: [usize; 2], shrink: usize) -> Vec<f32> {
    let mut small = Vec::new();
    for top in (0..height).step_by(shrink) {
        for left in (0..width).step_by(shrink) {
            let rows = top..(top + shrink).min(height);
            let columns = left..(left + shrink).min(width);
            let count = (rows.len() * columns.len()) as f32;
            let values = rows.flat_map(|row| columns.clone().map(move |column| (row, column)));
            let sum: f32 = values.filter_map(|(row, column)| plane.get(row * width + column)).sum();
            small.push(sum / count);
        }
    }
    small
}

fn colored(scale: SaliencyScale, upper: f32, lower: f32) -> String {
    let [[r, g, b], [s, h, c]] =
        [upper, lower].map(|value| scale.color(ColorMap::Diverging, value));
    format!("\x1b[38;2;{r};{g};{b};48;2;{s};{h};{c}m▀")
}

fn shade(share: f32) -> char {
    const SHADES: [char; 10] = [' ', '.', ':', '-', '=', '+', '*', '#', '%', '@'];
    SHADES[((share * 9.0).round() as usize).min(9)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Shape;

    #[test]
    fn curves_fall_from_the_upper_left() {
        let values: Vec<f64> = (0..100).map(|step| 2.0 - 0.01 * f64::from(step)).collect();
        let text = curve(&values, 20, 4);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4);
        assert!(lines[0].starts_with("   1.9"), "{text}");
        assert!(lines[3].starts_with("   1.0"), "{text}");
        let first = |line: &str| line.chars().skip(9).position(|c| c != '\u{2800}');
        assert!(first(lines[0]) < first(lines[3]), "{text}");
        assert_eq!(curve(&[f64::NAN], 20, 4), "no losses yet\n");
        assert_eq!(curve(&[1.0], 20, 2).lines().count(), 2);
    }

    #[test]
    fn maps_are_drawn_with_and_without_colours() {
        let mut values = vec![0.0; 2 * 40 * 36];
        values[0] = 1.0;
        let newest = NewestMaps { step: 3, shape: Shape::new(1, 40, 36), maps: values };
        let options = ViewOptions { columns: 60, rows: 4, color: false };
        let text = maps(&newest, &options);
        assert_eq!(text.lines().count(), 10);
        assert!(text.starts_with(['%', '@', '#', '*', '+', '=', '-', ':']), "{text}");
        let color = maps(&newest, &ViewOptions { color: true, ..options });
        assert_eq!(color.lines().count(), 10);
        assert!(color.contains("\x1b[38;2;"));
    }
}
