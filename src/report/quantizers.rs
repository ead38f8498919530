//! Charts of the quantizers during training: α's, learned steps, offsets and ranges of weights.

use std::collections::BTreeSet;

use super::{ChartStack, LineChart, Series};
use crate::quant::QuantizerState;

/// The quantizers of one model at some steps of its training.
#[derive(Clone, Debug, PartialEq)]
pub struct QuantizerTrace<'a> {
    /// Name in the legend.
    pub model: String,
    /// Index among all models of the report, from 0, which selects colour and marker.
    pub place: usize,
    /// (step, state), ascending.
    pub states: Vec<(u64, &'a QuantizerState)>,
}

/// One panel per activation's α, learned step, offset or layer's weights, with one line per model,
/// or two for the lowest and the highest weight.
pub fn quantizer_charts(traces: &[QuantizerTrace<'_>]) -> ChartStack<LineChart> {
    let mut panels = Vec::new();
    panels.extend(panels_of(traces, "α", "α (activation's units)", |state| {
        state.alpha.iter().map(|(name, &alpha)| (name.as_str(), vec![alpha])).collect()
    }));
    panels.extend(panels_of(traces, "learned step", "step", |state| {
        state.step_size.iter().map(|(name, &step)| (name.as_str(), vec![step])).collect()
    }));
    panels.extend(panels_of(traces, "offset", "offset (activation's units)", |state| {
        state.offset.iter().map(|(name, &offset)| (name.as_str(), vec![offset])).collect()
    }));
    panels.extend(panels_of(traces, "lowest and highest quantized weight", "weight", |state| {
        state.weight_range.iter().map(|(name, range)| (name.as_str(), range.to_vec())).collect()
    }));
    ChartStack(panels)
}

/// A panel for every name that `values` finds in any state; the values of a name are lines of one
/// series.
fn panels_of<'a>(
    traces: &'a [QuantizerTrace<'a>],
    title: &str,
    y_label: &str,
    values: impl Fn(&'a QuantizerState) -> Vec<(&'a str, Vec<f32>)>,
) -> Vec<LineChart> {
    let states = || traces.iter().flat_map(|trace| &trace.states);
    let names: BTreeSet<&str> =
        states().flat_map(|&(_, state)| values(state)).map(|(name, _)| name).collect();
    let series = |trace: &'a QuantizerTrace<'a>, name: &str| {
        let found: Vec<(f64, Vec<f32>)> = trace
            .states
            .iter()
            .filter_map(|&(step, state)| {
                Some((step as f64, values(state).into_iter().find(|(own, _)| *own == name)?.1))
            })
            .collect();
        let lines = found.first().map_or(0, |(_, values)| values.len());
        // A value that is not a number separates the lines.
        let line = |index: usize| {
            let points = found
                .iter()
                .filter_map(move |(step, values)| Some((*step, f64::from(*values.get(index)?))));
            points.chain([(f64::NAN, f64::NAN)])
        };
        Series {
            name: trace.model.clone(),
            points: (0..lines).flat_map(line).collect(),
            style: Some(trace.place),
            ..Series::default()
        }
    };
    names
        .into_iter()
        .map(|name| LineChart {
            title: format!("{name}: {title}"),
            x_label: "step".into(),
            y_label: y_label.into(),
            low: true,
            series: traces
                .iter()
                .map(|trace| series(trace, name))
                .filter(|series| !series.points.is_empty())
                .collect(),
            ..LineChart::default()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panel_a_quantizer_and_a_line_a_model() {
        let state = |alpha: f32| QuantizerState {
            alpha: [("act1".into(), alpha)].into(),
            step_size: [].into(),
            offset: [("act1".into(), alpha - 2.5)].into(),
            weight_range: [("conv1".into(), [-alpha, alpha])].into(),
        };
        let (first, second) = (state(2.0), state(3.0));
        let trace = |model: &str| QuantizerTrace {
            model: model.into(),
            place: 0,
            states: vec![(1, &first), (5, &second)],
        };
        let empty = QuantizerTrace { model: "float".into(), place: 0, states: Vec::new() };
        let charts = quantizer_charts(&[trace("(4,4)"), empty, trace("(2,2)")]).0;
        assert_eq!(
            charts.iter().map(|chart| chart.title.split(':').next().unwrap()).collect::<Vec<_>>(),
            ["act1", "act1", "conv1"]
        );
        assert_eq!(
            charts[0].series.iter().map(|series| series.name.as_str()).collect::<Vec<_>>(),
            ["(4,4)", "(2,2)"]
        );
        assert_eq!(charts[0].series[0].points[..2], [(1.0, 2.0), (5.0, 3.0)]);
        assert_eq!(charts[1].series[0].points[..2], [(1.0, -0.5), (5.0, 0.5)]);
        let (low, high) = (charts[2].series[0].points[1], charts[2].series[0].points[4]);
        assert_eq!((low, high), ((5.0, -3.0), (5.0, 3.0)));
        assert!(quantizer_charts(&[]).0.is_empty());
    }
}
