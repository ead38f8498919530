//! Axes: ranges, ticks, and how numbers are written at them.

use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, ValueFormatter};
use plotters::prelude::Ranged;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::report) struct Range {
    pub(in crate::report) low: f64,
    pub(in crate::report) high: f64,
}

impl Range {
    /// The range of `values`, made to have some width; None without values.
    pub(in crate::report) fn of(values: impl Iterator<Item = f64>, log: bool) -> Option<Range> {
        let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
        if low > high {
            return None;
        }
        if high - low > high.abs().max(low.abs()) * 1e-9 {
            return Some(Range { low, high });
        }
        if log {
            return Some(Range { low: low / 2.0, high: high * 2.0 });
        }
        let half = if high == 0.0 { 0.5 } else { high.abs() * 0.1 };
        Some(Range { low: low - half, high: high + half })
    }

    /// With some space above and below; not across zero when all values are on one side of it.
    pub(super) fn padded(self, log: bool) -> Range {
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

/// One axis, with our ticks instead of plotters'.
pub(in crate::report) struct Axis {
    pub(in crate::report) range: Range,
    pub(in crate::report) log: bool,
    pub(in crate::report) ticks: Ticks,
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, &value: &f64, (start, end): (i32, i32)) -> i32 {
        let Range { low, high } = self.range;
        let share = if self.log { (value / low).ln() / (high / low).ln() } else { (value - low) / (high - low) };
        // What lies outside the range (spikes of a raw line) runs along the edge.
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

/// Places of labelled grid lines and how to write them.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::report) struct Ticks {
    pub(in crate::report) values: Vec<f64>,
    /// Digits after the point; None for the shortest exact form.
    pub(super) decimals: Option<usize>,
    /// What is written at 0, 1, 2, … instead of numbers.
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
        let (whole, fraction) = text.split_once('.').map_or((text.as_str(), None), |(whole, fraction)| (whole, Some(fraction)));
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

/// Multiples of 1, 2 or 5 times a power of ten, about six.
pub(in crate::report) fn linear_ticks(range: Range) -> Ticks {
    let rough = (range.high - range.low) / 6.0;
    let power = 10.0_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|m| m * power).into_iter().find(|&step| step >= rough * 0.999).unwrap_or(10.0 * power);
    let (first, last) = ((range.low / step - 1e-9).ceil(), (range.high / step + 1e-9).floor());
    let count = (last - first).clamp(0.0, 20.0) as i32;
    let decimals = (-(step.log10() + 1e-9).floor()).clamp(0.0, 12.0) as usize;
    Ticks {
        values: (0..=count).map(|i| ((first + f64::from(i)) * step).clamp(range.low, range.high)).collect(),
        decimals: Some(decimals),
        names: Vec::new(),
    }
}

/// Powers of ten, with 2 and 5 times them where few fit, or evenly spaced values where the range is narrow.
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
        .flat_map(|exponent| multiples.iter().map(move |m| format!("{m}e{exponent}").parse().unwrap_or(f64::NAN)))
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
        assert_eq!(labels(&linear_ticks(Range { low: 0.0, high: 1.0 })), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(
            labels(&linear_ticks(Range { low: 0.0, high: 12_000.0 })),
            ["0", "2000", "4000", "6000", "8000", "10,000", "12,000"]
        );
        assert_eq!(labels(&linear_ticks(Range { low: -0.021, high: 0.021 })), ["−0.02", "−0.01", "0.00", "0.01", "0.02"]);
        assert_eq!(labels(&log_ticks(Range { low: 1e-3, high: 1.0 })), ["0.001", "0.01", "0.1", "1"]);
        assert_eq!(labels(&log_ticks(Range { low: 0.015, high: 0.6 })), ["0.02", "0.05", "0.1", "0.2", "0.5"]);
        assert_eq!(
            labels(&log_ticks(Range { low: 1e-6, high: 1e-4 })),
            ["1e−6", "2e−6", "5e−6", "1e−5", "2e−5", "5e−5", "0.0001"]
        );
        for (low, high) in [(1e-90, 1e90), (-1e90, 1e90), (0.98765, 0.98766), (3.0, 3.3)] {
            let ticks = if low > 0.0 { log_ticks(Range { low, high }) } else { linear_ticks(Range { low, high }) };
            assert!((2..=12).contains(&ticks.values.len()), "{low} {high}: {ticks:?}");
            assert!(ticks.values.iter().all(|v| (low..=high).contains(v)), "{low} {high}: {ticks:?}");
        }
    }
}
