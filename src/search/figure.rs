//! The figure of a frontier: accuracy and alignment against both costs.

use super::{
    costs::Unit,
    frontier::{Point, Rule},
    probe::Measured,
};
use crate::report::{ChartStack, LineChart, Quantity, Series};

/// What a curve is called, and its style.
fn named(rule: Rule) -> (&'static str, usize) {
    match rule {
        Rule::Search => ("search", 0),
        Rule::Uniform => ("uniform bits", 1),
        Rule::Loss => ("loss sensitivity alone", 2),
        Rule::Fisher => ("squared gradients (Fisher)", 3),
        Rule::Random => ("random, lowest to highest", 4),
    }
}

/// Charts of `points`, with the `float` network's values in their notes. Costs are logarithms: 2 to
/// the power of the number.
pub fn frontier_charts(points: &[Point], float: &Measured) -> ChartStack<LineChart> {
    let panel = |unit: Unit, title: &str, of: fn(&Measured) -> f64, quantity, label: &str| {
        let series = Rule::ALL.into_iter().filter_map(|rule| {
            let (name, style) = named(rule);
            let mut own: Vec<(f64, f64)> = points
                .iter()
                .filter(|point| (point.rule, point.unit) == (rule, unit))
                .map(|point| {
                    let cost = if unit == Unit::BitOps { point.bit_ops } else { point.bytes };
                    ((cost as f64).log2(), of(&point.measured))
                })
                .collect();
            own.sort_by(|a, b| a.0.total_cmp(&b.0));
            if rule != Rule::Random {
                own.dedup_by(|a, b| a.0 == b.0);
            }
            let values = || own.iter().map(|point| point.1);
            let (mut points, mut band) = (own.clone(), Vec::new());
            if rule == Rule::Random && !own.is_empty() {
                let count = own.len() as f64;
                let cost = own.iter().map(|point| point.0).sum::<f64>() / count;
                let low = values().fold(f64::INFINITY, f64::min);
                let high = values().fold(f64::NEG_INFINITY, f64::max);
                points = vec![(cost, values().sum::<f64>() / count)];
                band = vec![(cost, low, high)];
            }
            let name = name.to_string();
            let shown = Series { name, points, band, style: Some(style), ..Series::default() };
            (!shown.points.is_empty()).then_some(shown)
        });
        LineChart {
            title: title.into(),
            note: format!("The float network: {:.3}.", of(float)),
            x_label: format!("log₂ of {}", unit.name()),
            y_label: label.into(),
            quantity,
            series: series.collect(),
            low: true,
            ..LineChart::default()
        }
    };
    let (accuracy, alignment) = (Quantity::Share, Quantity::Correlation);
    let maps = "rank correlation of maps";
    ChartStack(vec![
        panel(Unit::BitOps, "Accuracy by BitOPs", |own| own.accuracy, accuracy, "accuracy"),
        panel(Unit::BitOps, "Explanation by BitOPs", |own| own.alignment, alignment, maps),
        panel(Unit::Bytes, "Accuracy by bytes", |own| own.accuracy, accuracy, "accuracy"),
        panel(Unit::Bytes, "Explanation by bytes", |own| own.alignment, alignment, maps),
    ])
}
