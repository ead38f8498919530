//! Axes: ranges, ticks, and the format of numbers at them.

use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, ValueFormatter};
use plotters::prelude::Ranged;

use super::super::text::{self, Size};

/// The kind of number on an axis. It limits the range from above, and from below so that rounding
/// errors are not magnified.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Quantity {
    /// Any number. The axis spans at least a tenth of the largest magnitude.
    #[default]
    Number,
    /// Any number, with 0 on the axis.
    WithZero,
    /// Any number from 0 up, such as a complexity or a distance.
    Magnitude,
    /// A share in percent: 0 to 100, at least 5 points.
    Percent,
    /// A share: 0 to 1, at least a tenth.
    Share,
    /// A correlation or similarity: −1 to 1, at least a tenth.
    Correlation,
}

impl Quantity {
    /// Lowest and highest possible value of such a number; infinite if there is no limit.
    pub fn bounds(self) -> (f64, f64) {
        let Range { low, high } = self.limits();
        (low, high)
    }

    fn limits(self) -> Range {
        let (low, high) = match self {
            Quantity::Number | Quantity::WithZero => (f64::NEG_INFINITY, f64::INFINITY),
            Quantity::Magnitude => (0.0, f64::INFINITY),
            Quantity::Percent => (0.0, 100.0),
            Quantity::Share => (0.0, 1.0),
            Quantity::Correlation => (-1.0, 1.0),
        };
        Range { low, high }
    }

    fn least_span(self, largest: f64) -> f64 {
        match self {
            Quantity::Percent => 5.0,
            Quantity::Share | Quantity::Correlation => 0.1,
            Quantity::Number | Quantity::WithZero | Quantity::Magnitude if largest > 0.0 => {
                largest / 10.0
            }
            Quantity::Number | Quantity::WithZero | Quantity::Magnitude => 1.0,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::report) struct Range {
    pub(in crate::report) low: f64,
    pub(in crate::report) high: f64,
}

impl Range {
    /// From the lowest of `values` to the highest; `None` without values.
    fn exact(values: impl Iterator<Item = f64>) -> Option<Range> {
        let (low, high) = values
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
        (low <= high).then_some(Range { low, high })
    }

    /// The range of `values`, widened if it is empty; `None` without values.
    pub(in crate::report) fn of(values: impl Iterator<Item = f64>) -> Option<Range> {
        let Range { low, high } = Range::exact(values)?;
        if high - low > high.abs().max(low.abs()) * 1e-9 {
            return Some(Range { low, high });
        }
        let half = if high == 0.0 { 0.5 } else { high.abs() * 0.1 };
        Some(Range { low: low - half, high: high + half })
    }

    /// The range widened to the minimum of `quantity`, cut to the limits of `quantity`, with space
    /// above and below.
    fn shown_as(self, quantity: Quantity) -> Range {
        let Range { mut low, mut high } = self;
        let limits = quantity.limits();
        if quantity == Quantity::WithZero {
            (low, high) = (low.min(0.0), high.max(0.0));
        }
        // If all values are 0, the range extends upwards.
        high = if quantity == Quantity::WithZero && low == high { 1.0 } else { high };
        let missing = quantity.least_span(low.abs().max(high.abs())) - (high - low);
        if missing > 0.0 {
            (low, high) = (low - missing / 2.0, high + missing / 2.0);
            // The part beyond a limit is moved to the other side.
            let (below, above) = ((limits.low - low).max(0.0), (high - limits.high).max(0.0));
            (low, high) = (low + below - above, high + below - above);
        }
        let padded = Range { low, high }.padded(false);
        Range { low: padded.low.max(limits.low), high: padded.high.min(limits.high) }
    }

    /// A logarithmic range that spans at least a factor of 2, with space above and below.
    fn shown_as_logarithm(self) -> Range {
        let Range { low, high } = self;
        let missing = 2.0 / (high / low);
        let factor = missing.max(1.0).sqrt();
        Range { low: low / factor, high: high * factor }.padded(true)
    }

    /// The range with space above and below, but not across zero if all values are on one side of
    /// it.
    fn padded(self, log: bool) -> Range {
        if log {
            let factor = (self.high / self.low).powf(0.04);
            return Range { low: self.low / factor, high: self.high * factor };
        }
        let pad = (self.high - self.low) * 0.05;
        let low = if self.low >= 0.0 { (self.low - pad).max(0.0) } else { self.low - pad };
        let high = if self.high <= 0.0 { (self.high + pad).min(0.0) } else { self.high + pad };
        Range { low, high }
    }
}

/// One axis, with saliq's own ticks instead of plotters'.
pub(in crate::report) struct Axis {
    pub(in crate::report) range: Range,
    pub(in crate::report) log: bool,
    pub(in crate::report) ticks: Ticks,
}

impl Axis {
    /// The axis that shows `values`; `None` without any. An axis without 0 begins at one of its
    /// ticks, so that a label can say where.
    pub(super) fn of(
        values: impl Iterator<Item = f64>,
        quantity: Quantity,
        log: bool,
    ) -> Option<Axis> {
        let exact = Range::exact(values)?;
        if log {
            let range = exact.shown_as_logarithm();
            return Some(Axis { range, log, ticks: log_ticks(range) });
        }
        let mut range = exact.shown_as(quantity);
        let mut ticks = linear_ticks(range);
        if let (&[first, second, ..], Some(&last)) = (ticks.values.as_slice(), ticks.values.last())
        {
            let step = second - first;
            if range.low > 0.0 {
                range.low = (first - step).max(0.0);
                ticks.values.insert(0, range.low);
            } else if range.high < 0.0 {
                range.high = (last + step).min(0.0);
                ticks.values.push(range.high);
            }
        }
        Some(Axis { range, log, ticks })
    }

    /// The axis of the positions `values`, without space at its ends; ticks of whole numbers are
    /// whole numbers.
    pub(super) fn along(values: &[f64]) -> Axis {
        let is_whole = values.iter().all(|value| value.fract() == 0.0);
        if let Some(Range { low, high }) =
            Range::exact(values.iter().copied()).filter(|exact| exact.low == exact.high)
        {
            let range = Range::of([low, high].into_iter()).unwrap_or(Range { low, high });
            // All values share one position.
            return Axis {
                range,
                log: false,
                ticks: Ticks { values: vec![low], decimals: None, names: Vec::new() },
            };
        }
        let range = Range::of(values.iter().copied()).unwrap_or(Range { low: 0.0, high: 1.0 });
        Axis {
            range,
            log: false,
            ticks: if is_whole { whole_ticks(range) } else { linear_ticks(range) },
        }
    }

    /// The axis of a chart without values.
    pub(super) fn empty(log: bool) -> Axis {
        let range = Range { low: if log { 0.1 } else { 0.0 }, high: 1.0 };
        Axis { range, log, ticks: if log { log_ticks(range) } else { linear_ticks(range) } }
    }

    /// Where an axis without 0 begins or ends: `axis from 90 %`.
    pub(super) fn cut(&self, quantity: Quantity) -> Option<String> {
        let unit = if quantity == Quantity::Percent { " %" } else { "" };
        match self.range {
            _ if self.log => None,
            Range { low, .. } if low > 0.0 => {
                Some(format!("axis from {}{unit}", self.ticks.format(low)))
            }
            Range { high, .. } if high < 0.0 => {
                Some(format!("axis up to {}{unit}", self.ticks.format(high)))
            }
            _ => None,
        }
    }

    /// As [`Self::cut`], for an axis of positions: counts begin at 1, and a start near 0 compared
    /// with the end is not reported.
    pub(super) fn far_cut(&self) -> Option<String> {
        let nearest = self.range.low.abs().min(self.range.high.abs());
        let is_far = nearest > (self.range.high - self.range.low) / 10.0;
        self.cut(Quantity::Number)
            .filter(|_| is_far && nearest != 1.0 && self.ticks.values.len() > 1)
    }
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, &value: &f64, (start, end): (i32, i32)) -> i32 {
        let Range { low, high } = self.range;
        let share = if self.log {
            (value / low).ln() / (high / low).ln()
        } else {
            (value - low) / (high - low)
        };
        // Values outside the range (spikes of a raw line) are drawn along the edge.
        start + (f64::from(end - start) * share.clamp(0.0, 1.0)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.ticks.values.clone()
    }

    fn range(&self) -> std::ops::Range<f64> {
        self.range.low..self.range.high
    }
}

impl ValueFormatter<f64> for Axis {
    fn format_ext(&self, value: &f64) -> String {
        self.ticks.format(*value)
    }
}

/// Positions of labelled grid lines and the format of their labels.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::report) struct Ticks {
    pub(in crate::report) values: Vec<f64>,
    /// Digits after the decimal point; `None` for the shortest exact form.
    pub(super) decimals: Option<usize>,
    /// Labels at 0, 1, 2, … instead of numbers.
    pub(super) names: Vec<String>,
}

impl Ticks {
    pub(super) fn labels(&self) -> impl Iterator<Item = String> {
        self.values.iter().map(|&value| self.format(value))
    }

    fn format(&self, value: f64) -> String {
        if !self.names.is_empty() {
            return self.names.get(value.round().max(0.0) as usize).cloned().unwrap_or_default();
        }
        let size = value.abs();
        if value != 0.0 && !(1e-4..1e7).contains(&size) {
            let text = format!("{value:.1e}").replace(".0e", "e");
            return text.replace('-', "−");
        }
        let text = match self.decimals {
            Some(decimals) => format!("{size:.decimals$}"),
            None => format!("{size}"),
        };
        let (whole, fraction) = text
            .split_once('.')
            .map_or((text.as_str(), None), |(whole, fraction)| (whole, Some(fraction)));
        let mut out = String::from(if value < 0.0 { "−" } else { "" });
        for (i, digit) in whole.chars().enumerate() {
            if i > 0 && whole.len() > 4 && (whole.len() - i).is_multiple_of(3) {
                out.push(',');
            }
            out.push(digit);
        }
        if let Some(fraction) = fraction {
            out.push('.');
            out.push_str(fraction);
        }
        out
    }
}

/// Names at 0, 1, 2, …, shortened to `room` pixels each.
pub(super) fn named_ticks(names: &[String], room: u32) -> Ticks {
    Ticks {
        values: (0..names.len()).map(|place| place as f64).collect(),
        decimals: None,
        names: names.iter().map(|name| text::fit(&text::plain(name), Size::SMALL, room)).collect(),
    }
}

/// Multiples of 1, 2 or 5 times a power of ten, about six.
pub(in crate::report) fn linear_ticks(range: Range) -> Ticks {
    ticks(range, 0.0)
}

/// As [`linear_ticks`], with whole numbers only: there is no step 2.5.
fn whole_ticks(range: Range) -> Ticks {
    ticks(range, 1.0)
}

fn ticks(range: Range, least_step: f64) -> Ticks {
    let rough = ((range.high - range.low) / 6.0).max(least_step);
    let power = 10.0_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .map(|m| m * power)
        .into_iter()
        .find(|&step| step >= rough * 0.999)
        .unwrap_or(10.0 * power);
    let (first, last) = ((range.low / step - 1e-9).ceil(), (range.high / step + 1e-9).floor());
    let count = (last - first).clamp(0.0, 20.0) as i32;
    let decimals = (-(step.log10() + 1e-9).floor()).clamp(0.0, 12.0) as usize;
    Ticks {
        values: (0..=count)
            .map(|i| ((first + f64::from(i)) * step).clamp(range.low, range.high))
            .collect(),
        decimals: Some(decimals),
        names: Vec::new(),
    }
}

/// Powers of ten, with 2 and 5 times them if only few fit, or evenly spaced values if the range is
/// narrow.
pub(super) fn log_ticks(range: Range) -> Ticks {
    let (low, high) = (range.low.log10(), range.high.log10());
    let decades = high - low;
    if decades < 0.7 {
        return linear_ticks(range);
    }
    let every = (decades / 7.0).ceil().max(1.0) as i32;
    let multiples: &[f64] = if decades < 2.5 { &[1.0, 2.0, 5.0] } else { &[1.0] };
    let values = (low.floor() as i32..=high.ceil() as i32)
        .filter(|exponent| exponent % every == 0)
        .flat_map(|exponent| {
            multiples.iter().map(move |m| format!("{m}e{exponent}").parse().unwrap_or(f64::NAN))
        })
        .filter(|&value: &f64| value >= range.low && value <= range.high)
        .collect();
    Ticks { values, decimals: None, names: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(ticks: &Ticks) -> Vec<String> {
        ticks.labels().collect()
    }

    #[test]
    fn ticks_are_round_and_few() {
        assert_eq!(
            labels(&linear_ticks(Range { low: 0.0, high: 1.0 })),
            ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]
        );
        assert_eq!(
            labels(&linear_ticks(Range { low: 0.0, high: 12_000.0 })),
            ["0", "2000", "4000", "6000", "8000", "10,000", "12,000"]
        );
        assert_eq!(
            labels(&linear_ticks(Range { low: -0.021, high: 0.021 })),
            ["−0.02", "−0.01", "0.00", "0.01", "0.02"]
        );
        assert_eq!(
            labels(&log_ticks(Range { low: 1e-3, high: 1.0 })),
            ["0.001", "0.01", "0.1", "1"]
        );
        assert_eq!(
            labels(&log_ticks(Range { low: 0.015, high: 0.6 })),
            ["0.02", "0.05", "0.1", "0.2", "0.5"]
        );
        assert_eq!(
            labels(&log_ticks(Range { low: 1e-6, high: 1e-4 })),
            ["1e−6", "2e−6", "5e−6", "1e−5", "2e−5", "5e−5", "0.0001"]
        );
        for (low, high) in [(1e-90, 1e90), (-1e90, 1e90), (0.98765, 0.98766), (3.0, 3.3)] {
            let ticks = if low > 0.0 {
                log_ticks(Range { low, high })
            } else {
                linear_ticks(Range { low, high })
            };
            assert!((2..=12).contains(&ticks.values.len()), "{low} {high}: {ticks:?}");
            assert!(
                ticks.values.iter().all(|v| (low..=high).contains(v)),
                "{low} {high}: {ticks:?}"
            );
        }
    }

    #[test]
    fn counts_have_whole_ticks() {
        let along = |values: &[f64]| labels(&Axis::along(values).ticks);
        assert_eq!(along(&[1.0, 2.0, 3.0]), ["1", "2", "3"]);
        assert_eq!(along(&[0.0, 5.0]), ["0", "1", "2", "3", "4", "5"]);
        assert_eq!(along(&[7.0]), ["7"]);
        assert_eq!(along(&[0.0, 0.5, 1.0]), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        for last in 1..2000 {
            let ticks = Axis::along(&[1.0, f64::from(last)]).ticks;
            assert!(
                !ticks.values.is_empty() && ticks.values.iter().all(|tick| tick.fract() == 0.0),
                "{last}: {ticks:?}"
            );
        }
    }

    #[test]
    fn an_axis_spans_what_means_something() {
        let of = |values: &[f64], quantity| {
            Axis::of(values.iter().copied(), quantity, false).unwrap().range
        };
        let nearly_one = [1.0 - 1.3e-8, 1.0];
        for (values, quantity, least) in [
            (&nearly_one[..], Quantity::Correlation, 0.1),
            (&[0.3], Quantity::Correlation, 0.1),
            (&[-1.0], Quantity::Correlation, 0.1),
            (&[100.0, 99.99], Quantity::Percent, 5.0),
            (&[0.0], Quantity::Percent, 5.0),
            (&[50.0, 50.1], Quantity::Percent, 5.0),
            (&[1.0], Quantity::Share, 0.1),
            (&[3.0, 3.000_000_1], Quantity::Number, 0.3),
            (&[-3.0], Quantity::Number, 0.3),
        ] {
            let (range, limits) = (of(values, quantity), quantity.limits());
            assert!(range.high - range.low >= least * (1.0 - 1e-9), "{values:?} {range:?}");
            assert!(range.low >= limits.low && range.high <= limits.high, "{values:?} {range:?}");
            assert!(
                values.iter().all(|value| (range.low..=range.high).contains(value)),
                "{values:?} {range:?}"
            );
        }
        assert_eq!(of(&[4.0, 5.0], Quantity::WithZero).low, 0.0);
        assert_eq!(of(&[0.0], Quantity::WithZero), Range { low: 0.0, high: 1.05 });
        assert!(of(&[-2.0, 1.0], Quantity::WithZero).low <= -2.0);
        let log = Axis::of([0.1, 0.100_001].into_iter(), Quantity::Number, true).unwrap().range;
        assert!(log.high / log.low >= 2.0, "{log:?}");
    }

    #[test]
    fn a_cut_axis_says_where() {
        let cut = |values: &[f64], quantity| {
            Axis::of(values.iter().copied(), quantity, false).unwrap().cut(quantity)
        };
        assert_eq!(cut(&[91.0, 99.0], Quantity::Percent).as_deref(), Some("axis from 90 %"));
        assert_eq!(cut(&[12.0, 99.0], Quantity::Percent), None);
        assert_eq!(cut(&[0.95, 1.0], Quantity::Correlation).as_deref(), Some("axis from 0.88"));
        assert_eq!(cut(&[-0.2, 0.9], Quantity::Correlation), None);
        assert_eq!(cut(&[-9.0, -8.0], Quantity::Number).as_deref(), Some("axis up to −7.8"));
        let far = |values: &[f64]| Axis::along(values).far_cut();
        assert_eq!(
            (far(&[1.0, 100.0]), far(&[100.0, 156.0]).as_deref()),
            (None, Some("axis from 100"))
        );
    }
}
