//! Figures of a sweep: a metric against a key, with intervals over seeds.

use std::path::{Path, PathBuf};

use super::groups::{Point, SEED, mean, quantity_of};
use crate::{
    Result,
    files::write_atomically,
    report::{LineChart, Quantity, Series},
};

/// Lines of a figure at most; with more, the mean over the other keys is shown.
const MOST_LINES: usize = 6;

/// A figure of `metric` against `key`.
#[derive(Clone, Debug)]
pub struct Figure {
    chart: LineChart,
}

impl Figure {
    /// The figure of some runs; `None` where fewer than two values of `key` have the metric.
    pub fn new(points: &[Point], metric: &str, key: &str) -> Option<Figure> {
        let has =
            |point: &&Point| point.metrics.contains_key(metric) && point.settings.contains_key(key);
        let points: Vec<&Point> = points.iter().filter(has).collect();
        let mut values: Vec<String> = Vec::new();
        for point in &points {
            let own = &point.settings[key];
            if !values.contains(own) {
                values.push(own.clone());
            }
        }
        if values.len() < 2 {
            return None;
        }
        let numbers: Option<Vec<f64>> =
            values.iter().map(|value| value.parse::<f64>().ok()).collect();
        let evenly = numbers.as_deref().is_some_and(is_even);
        if let Some(numbers) = &numbers {
            let mut order: Vec<usize> = (0..values.len()).collect();
            order.sort_by(|&a, &b| numbers[a].total_cmp(&numbers[b]));
            values = order.into_iter().map(|index| values[index].clone()).collect();
        }
        let mut lines = lines(&points, key);
        let mut note = "Bars and bands: 95 % intervals".to_string();
        note += match points.iter().any(|point| point.settings.contains_key(SEED)) {
            true => " over seeds.",
            false => ".",
        };
        if lines.len() > MOST_LINES {
            note += " Means over all other keys.";
            lines = vec![(String::new(), points.clone())];
        }
        let series = lines.into_iter().map(|(name, own)| {
            let at = |(index, value): (usize, &String)| {
                let here: Vec<&Point> =
                    own.iter().copied().filter(|point| point.settings[key] == *value).collect();
                let x = if evenly { value.parse().ok()? } else { index as f64 };
                Some((x, mean(metric, &here)?))
            };
            let found: Vec<_> = values.iter().enumerate().filter_map(at).collect();
            let band = found.iter().filter(|(_, own)| own.low.is_finite());
            Series {
                name,
                points: found.iter().map(|(x, own)| (*x, own.mean)).collect(),
                band: band.map(|(x, own)| (*x, own.low, own.high)).collect(),
                ..Series::default()
            }
        });
        let chart = LineChart {
            title: format!("{} by {key}", metric.replace('_', " ")),
            note,
            x_label: key.into(),
            y_label: match quantity_of(metric) {
                Quantity::Share => format!("{} (share)", metric.replace('_', " ")),
                _ => metric.replace('_', " "),
            },
            quantity: quantity_of(metric),
            series: series.collect(),
            x_names: if evenly { Vec::new() } else { values },
            ..LineChart::default()
        };
        Some(Figure { chart })
    }

    /// Writes the figure: PNG or, for any other ending, SVG.
    ///
    /// # Errors
    /// [`crate::Error::Io`]; [`crate::Error::Data`] where it cannot be drawn.
    pub fn write(&self, path: &Path) -> Result<()> {
        let is_png = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("png"));
        match is_png {
            true => write_atomically(path, &self.chart.to_png()?),
            false => write_atomically(path, self.chart.to_svg()?.as_bytes()),
        }
    }
}

/// Whether the distances of numbers are about alike, so that a linear axis shows all of them.
fn is_even(numbers: &[f64]) -> bool {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    let gaps: Vec<f64> = sorted.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let widest = gaps.iter().copied().fold(0.0, f64::max);
    let narrowest = gaps.iter().copied().fold(f64::INFINITY, f64::min);
    narrowest > 0.0 && widest <= 5.0 * narrowest
}

/// The points by what they have besides `key` and the seed.
fn lines<'a>(points: &[&'a Point], key: &str) -> Vec<(String, Vec<&'a Point>)> {
    let mut found: Vec<(String, Vec<&Point>)> = Vec::new();
    for point in points {
        let others = point.settings.iter().filter(|(own, _)| *own != key && *own != SEED);
        let name =
            others.map(|(key, value)| format!("{key} {value}")).collect::<Vec<_>>().join(", ");
        match found.iter_mut().find(|(own, _)| *own == name) {
            Some((_, own)) => own.push(point),
            None => found.push((name, vec![point])),
        }
    }
    found
}

/// Writes `METRIC-by-KEY.svg` into `root` for every key; returns their paths.
///
/// # Errors
/// As [`Figure::write`].
pub fn write_figures(
    points: &[Point],
    metric: &str,
    keys: &[String],
    root: &Path,
) -> Result<Vec<PathBuf>> {
    let mut written = Vec::new();
    for key in keys.iter().filter(|key| *key != SEED) {
        if let Some(figure) = Figure::new(points, metric, key) {
            let path = root.join(format!("{metric}-by-{key}.svg"));
            figure.write(&path)?;
            written.push(path);
        }
    }
    Ok(written)
}
