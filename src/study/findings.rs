//! What a study found, in sentences. Nothing here is said that the numbers do not say.

use super::{
    plan::Stage,
    statistics::{Difference, margin_of_areas},
    summary::{MethodSummary, ModelSummary, Summary},
};
use crate::judgement::Interval;

/// Five sentences: accuracy, its price, the paper's two questions, and its contradiction.
pub(super) fn findings(summary: &Summary) -> Vec<String> {
    [accuracy, price, alignment, faithfulness, contradiction].into_iter().filter_map(|sentence| sentence(summary)).collect()
}

/// `97.3 %`.
pub(super) fn percent(share: f64) -> String {
    format!("{:.2} %", 100.0 * share)
}

/// `97.30 % (96.10–98.20)`, or without the interval where there is none.
pub(super) fn percent_interval(interval: Interval) -> String {
    let range = |interval: Interval| format!(" ({:.2}–{:.2})", 100.0 * interval.low, 100.0 * interval.high);
    format!("{}{}", percent(interval.mean), if interval.low.is_finite() { range(interval) } else { String::new() })
}

fn joined(parts: Vec<String>, separator: &str) -> Option<String> {
    (!parts.is_empty()).then(|| parts.join(separator))
}

/// Trained models of each data set: those with Saliency Guided Training where there are any.
fn groups(summary: &Summary) -> Vec<(&str, Vec<&ModelSummary>)> {
    let of = |dataset| -> Vec<&ModelSummary> {
        let guided: Vec<_> = summary.trained(dataset, true).collect();
        if guided.is_empty() { summary.trained(dataset, false).collect() } else { guided }
    };
    summary.datasets().into_iter().map(|dataset| (dataset, of(dataset))).collect()
}

/// The float model and the one of lowest precision.
fn ends<'a>(models: &[&'a ModelSummary]) -> Option<(&'a ModelSummary, &'a ModelSummary)> {
    let float = models.iter().find(|model| model.variant.stage == Stage::Float)?;
    let quantized = models.iter().filter(|model| model.variant.stage == Stage::QuantizationAware);
    let lowest = quantized.min_by_key(|model| model.cost.bit_operations)?;
    Some((float, lowest))
}

fn how_trained(models: &[&ModelSummary]) -> &'static str {
    if models.iter().any(|model| model.variant.sgt) { "with Saliency Guided Training" } else { "with plain training" }
}

fn accuracy(summary: &Summary) -> Option<String> {
    let of = |(dataset, models): (&str, Vec<&ModelSummary>)| {
        let parts: Vec<String> = models
            .iter()
            .map(|model| {
                let paper = model.paper_accuracy.map_or(String::new(), |paper| format!(" [paper {}]", percent(paper)));
                format!("{} {}{paper}", model.variant.label(), percent(model.accuracy.mean))
            })
            .collect();
        Some(format!("On {dataset}, {}, test accuracy is {}", how_trained(&models), joined(parts, ", ")?))
    };
    let parts: Vec<String> = groups(summary).into_iter().filter_map(of).collect();
    joined(parts, "; ").map(|text| format!("{text}."))
}

fn price(summary: &Summary) -> Option<String> {
    let of = |(dataset, models): (&str, Vec<&ModelSummary>)| {
        let (float, lowest) = ends(&models)?;
        let difference = 100.0 * (lowest.accuracy.mean - float.accuracy.mean);
        let known = |interval: Interval| interval.low.is_finite();
        let apart = lowest.accuracy.high < float.accuracy.low || float.accuracy.high < lowest.accuracy.low;
        let certainty = match (known(lowest.accuracy) && known(float.accuracy), apart) {
            (true, true) => "their 95 % intervals do not overlap",
            (true, false) => "their 95 % intervals overlap",
            (false, _) => "without an interval",
        };
        let cheaper = float.cost.bit_operations as f64 / lowest.cost.bit_operations.max(1) as f64;
        Some(format!(
            "on {dataset} the {} model differs from float by {difference:+.2} points ({certainty}) and needs {cheaper:.1} times fewer bit \
             operations",
            lowest.variant.label()
        ))
    };
    joined(groups(summary).into_iter().filter_map(of).collect(), "; ").map(|text| format!("What precision costs: {text}."))
}

fn ends_by_method<'a>(
    summary: &'a Summary,
    models: &[&'a ModelSummary],
) -> Option<(&'a ModelSummary, &'a MethodSummary, &'a ModelSummary, &'a MethodSummary)> {
    let (float, lowest) = ends(models)?;
    Some((float, float.method(&summary.main_method)?, lowest, lowest.method(&summary.main_method)?))
}

fn direction(difference: Option<Difference>, more: &str, less: &str) -> String {
    match difference {
        Some(difference) if difference.is_significant() => {
            let word = if difference.mean.mean > 0.0 { more } else { less };
            format!("{word} ({:+.3}, p = {:.3})", difference.mean.mean, difference.p)
        }
        Some(difference) => {
            format!("not measurably {more} or {less} ({:+.3}, p = {:.2})", difference.mean.mean, difference.p)
        }
        None => format!("not compared for being {more}"),
    }
}

/// "Does the reduction in precision compromise the quality and reliability of saliency maps?"
fn alignment(summary: &Summary) -> Option<String> {
    let of = |(dataset, models): (&str, Vec<&ModelSummary>)| {
        let (.., lowest, map) = ends_by_method(summary, &models)?;
        let stability = match map.sensitivity_difference {
            Some(_) => format!(" and {}", direction(map.sensitivity_difference, "less stable", "more stable")),
            None => String::new(),
        };
        Some(format!(
            "on {dataset} the {} maps of {} have a rank correlation of {:.2} and a top-10 % overlap of {:.2} with the float model's, and are {}{stability}",
            summary.main_method,
            lowest.variant.label(),
            map.spearman.mean,
            map.overlap.mean,
            direction(map.gini_difference, "sparser", "more spread out")
        ))
    };
    let parts: Vec<String> = groups(summary).into_iter().filter_map(of).collect();
    joined(parts, "; ").map(|text| format!("Does reduced precision compromise saliency maps? Measured: {text}."))
}

/// "Can quantized models still provide meaningful insights into their decision-making processes?"
fn faithfulness(summary: &Summary) -> Option<String> {
    let of = |(dataset, models): (&str, Vec<&ModelSummary>)| {
        let (float, float_map, lowest, map) = ends_by_method(summary, &models)?;
        let gain = |model: &ModelSummary, map: &MethodSummary| 100.0 * (model.random_area - map.drop_area.mean);
        let margin = 100.0 * margin_of_areas(lowest.random_area, map.drop_area.mean, summary.drop_images);
        let verdict = match gain(lowest, map) {
            gain if gain > margin => "yes",
            gain if gain < -margin => "no",
            _ => "undecided",
        };
        Some(format!(
            "{verdict} on {dataset}: removing the features that the {} maps of {} name first costs it {:.1} points more accuracy, on average over \
             the curve, than removing as many at random (margin {margin:.1}; float model {:.1})",
            summary.main_method,
            lowest.variant.label(),
            gain(lowest, map),
            gain(float, float_map)
        ))
    };
    let parts: Vec<String> = groups(summary).into_iter().filter_map(of).collect();
    joined(parts, "; ").map(|text| format!("Do quantized models still explain themselves? {text}."))
}

/// The text of section IV-C says that more quantization drops more, the caption of Fig. 3 that less quantization does.
fn contradiction(summary: &Summary) -> Option<String> {
    let of = |(dataset, models): (&str, Vec<&ModelSummary>)| {
        let (float, _, lowest, _) = ends_by_method(summary, &models)?;
        let mean = |model: &ModelSummary, value: fn(&MethodSummary) -> f64| {
            model.methods.values().map(value).sum::<f64>() / model.methods.len().max(1) as f64
        };
        let drop = |model| 100.0 * mean(model, |map| map.mean_drop.mean);
        let area = |model| mean(model, |map| map.drop_area.mean);
        let margin = 100.0 * margin_of_areas(area(float), area(lowest), summary.drop_images);
        let difference = drop(lowest) - drop(float);
        let verdict = match difference {
            difference if difference > margin => "the text is right",
            difference if difference < -margin => "the caption is right",
            _ => "neither is borne out",
        };
        Some(format!(
            "{verdict} on {dataset}, where {} loses {:.1} points and float {:.1} on average over the curves of all methods (margin {margin:.1})",
            lowest.variant.label(),
            drop(lowest),
            drop(float)
        ))
    };
    let parts: Vec<String> = groups(summary).into_iter().filter_map(of).collect();
    joined(parts, "; ").map(|text| {
        format!(
            "Whether accuracy drops more with more quantization when salient features are removed (the paper's text) or with less (its Fig. 3): {text}."
        )
    })
}
