//! Prepares series for drawing: gaps, smoothing, fewer points.

/// Largest number of points of a line, which limits the size of the file.
const MAX_POINTS: usize = 800;
/// Beyond this, differences of values could overflow.
pub(super) const LARGEST: f64 = 1e100;

/// One line of a chart.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    /// Name in the legend.
    pub name: String,
    /// Points in the order in which they are joined. A value that is not finite makes a gap.
    pub points: Vec<(f64, f64)>,
    /// Draw a centred moving average over about 3 % of the points, in front of the faint raw line.
    pub smooth: bool,
    /// A shaded band behind the line, such as a 95 % interval: (x, low, high) in the order of x.
    /// For a single point it is drawn as a bar.
    pub band: Vec<(f64, f64, f64)>,
    /// Index of the colour and marker, from 0; `None`: that of the position in the chart. Related
    /// charts use the same index for the same item.
    pub style: Option<usize>,
    /// Draws a thin line without markers, as the reference of another line of the same style.
    pub thin: bool,
}

pub(super) type Part = Vec<(f64, f64)>;

/// A prepared series, split at gaps and smoothed.
pub(super) struct Line {
    /// Lowest and highest value of its band.
    pub(super) band: Vec<f64>,
    pub(super) raw: Vec<Part>,
    pub(super) smooth: Option<Vec<Part>>,
}

impl Line {
    pub(super) fn new(series: &Series, log: bool) -> Line {
        let shown = |&(x, y): &(f64, f64)| {
            x.abs() <= LARGEST && y.abs() <= LARGEST && (!log || y > 1.0 / LARGEST)
        };
        let raw: Vec<Part> = series
            .points
            .split(|point| !shown(point))
            .filter(|part| !part.is_empty())
            .map(<[_]>::to_vec)
            .collect();
        let count: usize = raw.iter().map(Vec::len).sum();
        // A shorter line is not smoothed.
        let smooth = (series.smooth && count >= 20).then(|| {
            let reach = (count / 70).clamp(1, 500);
            raw.iter().map(|part| moving_average(part, reach)).collect()
        });
        let finite = |value: &f64| value.abs() <= LARGEST && (!log || *value > 1.0 / LARGEST);
        let band =
            series.band.iter().flat_map(|&(_, low, high)| [low, high]).filter(finite).collect();
        Line { band, raw, smooth }
    }

    /// The parts drawn at full strength.
    pub(super) fn main(&self) -> &[Part] {
        self.smooth.as_deref().unwrap_or(&self.raw)
    }

    pub(super) fn points(&self) -> impl Iterator<Item = (f64, f64)> {
        self.main().iter().flatten().copied()
    }

    /// Values that the vertical axis must contain: the whole main line, and all but the most
    /// extreme hundredth of a raw one.
    pub(super) fn vertical_extent(&self) -> Vec<f64> {
        let mut values: Vec<f64> =
            self.points().map(|p| p.1).chain(self.band.iter().copied()).collect();
        if self.smooth.is_some() {
            let mut raw: Vec<f64> = self.raw.iter().flatten().map(|p| p.1).collect();
            raw.sort_unstable_by(f64::total_cmp);
            let cut = raw.len() / 200;
            values.extend([raw[cut], raw[raw.len() - 1 - cut]]);
        }
        values
    }

    /// Points with a marker: all points of a short line, else about ten. They are shifted from
    /// series to series so that the markers of close lines stay apart. A single point always has
    /// one, because only its marker is visible.
    pub(super) fn marked(&self, index: usize, lines: usize) -> Vec<(f64, f64)> {
        let points: Vec<_> = self.points().collect();
        if points.len() <= 24 {
            return points;
        }
        let mut marked: Vec<_> = self
            .main()
            .iter()
            .filter(|part| part.len() == 1)
            .take(MAX_POINTS)
            .map(|part| part[0])
            .collect();
        let spacing = points.len() as f64 / 10.0;
        let shift = spacing * (index as f64 + 0.5) / lines.max(1) as f64;
        marked.extend(
            (0..10).filter_map(|i| points.get((i as f64 * spacing + shift) as usize)).copied(),
        );
        marked
    }
}

/// Mean of each value with up to `reach` neighbours on each side.
fn moving_average(part: &[(f64, f64)], reach: usize) -> Part {
    (0..part.len())
        .map(|i| {
            let window = &part[i.saturating_sub(reach)..(i + reach + 1).min(part.len())];
            (part[i].0, window.iter().map(|p| p.1).sum::<f64>() / window.len() as f64)
        })
        .collect()
}

/// At most about [`MAX_POINTS`] points: the lowest and highest of each segment in their order, so
/// that peaks stay.
pub(super) fn reduce(part: &[(f64, f64)]) -> Part {
    if part.len() <= MAX_POINTS {
        return part.to_vec();
    }
    let stretch = part.len().div_ceil(MAX_POINTS / 2);
    let mut out = vec![part[0]];
    for chunk in part.chunks(stretch) {
        let (mut low, mut high) = (0, 0);
        for (i, point) in chunk.iter().enumerate() {
            if point.1 < chunk[low].1 {
                low = i;
            }
            if point.1 > chunk[high].1 {
                high = i;
            }
        }
        out.push(chunk[low.min(high)]);
        if low != high {
            out.push(chunk[low.max(high)]);
        }
    }
    out.push(part[part.len() - 1]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moving_average_keeps_lines_and_flattens_noise() {
        let line: Part = (0..50).map(|i| (f64::from(i), 2.0 * f64::from(i))).collect();
        for (smooth, raw) in moving_average(&line, 5).iter().zip(&line).skip(5).take(40) {
            assert!((smooth.1 - raw.1).abs() < 1e-9);
        }
        let noise: Part = (0..51).map(|i| (f64::from(i), f64::from(i % 2))).collect();
        assert!(moving_average(&noise, 10).iter().all(|p| (p.1 - 0.5).abs() < 0.06));
    }

    #[test]
    fn reduction_keeps_ends_and_peaks() {
        let mut points: Part =
            (0..100_000).map(|i| (f64::from(i), (f64::from(i) / 1000.0).sin())).collect();
        points[54_321].1 = 9.0;
        points[54_400].1 = -9.0;
        let reduced = reduce(&points);
        assert!(reduced.len() <= MAX_POINTS + 2, "{}", reduced.len());
        assert!(reduced.contains(&(54_321.0, 9.0)) && reduced.contains(&(54_400.0, -9.0)));
        assert_eq!((reduced.first(), reduced.last()), (points.first(), points.last()));
        assert!(reduced.windows(2).all(|pair| pair[0].0 <= pair[1].0));
    }

    #[test]
    fn values_that_cannot_be_shown_make_gaps() {
        let points = vec![(0.0, 1.0), (1.0, f64::NAN), (2.0, 0.0), (3.0, 2.0), (4.0, 3.0)];
        let series = Series { points, ..Series::default() };
        assert_eq!(Line::new(&series, false).raw.len(), 2);
        assert_eq!(Line::new(&series, true).raw, [vec![(0.0, 1.0)], vec![(3.0, 2.0), (4.0, 3.0)]]);
    }
}
