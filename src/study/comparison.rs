//! Differences between models that differ in one respect, and their significance after adjustment
//! for multiple tests.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    result::{MethodResult, ModelResult},
    statistics::{self, Difference, holm},
    variant::Variant,
};
use crate::report::Quantity;

/// Differences of the maps of one method: the figure of one model minus that of another on the same
/// images, paired by seed and image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct MapDifferences {
    /// Faithfulness: the accuracy for random removal minus that for removal in the order of the
    /// map, averaged over the curve.
    pub faithfulness: Option<Difference>,
    /// Sparseness (Gini index).
    pub gini: Option<Difference>,
    /// Complexity (entropy).
    pub entropy: Option<Difference>,
    /// Max-sensitivity.
    pub sensitivity: Option<Difference>,
}

/// Models with Saliency Guided Training compared with models that differ from them only in plain
/// training: the paper's premise.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct TrainingComparison {
    /// Data set.
    pub dataset: String,
    /// Label of the models.
    pub model: String,
    /// Seeds with which both models were trained.
    pub seeds: Vec<u64>,
    /// Accuracy with Saliency Guided Training minus accuracy without it.
    pub accuracy: Option<Difference>,
    /// Differences of the maps, by method.
    pub methods: BTreeMap<String, MapDifferences>,
}

/// A family of tests that were adjusted together for their number.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Family {
    /// The question that the tests answer.
    pub question: String,
    /// The number of tests.
    pub tests: usize,
}

/// A difference of two shares lies in −1 to 1.
const SHARES: Quantity = Quantity::Correlation;

/// The figures that `value` finds in both models, one pair per seed.
fn pairs(
    own: &[&ModelResult],
    other: &[&ModelResult],
    value: impl Fn(&ModelResult) -> Option<Vec<f64>>,
) -> Vec<(Vec<f64>, Vec<f64>)> {
    let pair = |result: &&ModelResult| {
        let other = other.iter().find(|other| other.seed == result.seed)?;
        let (a, b) = (value(result)?, value(other)?);
        (a.len() == b.len()).then_some((a, b))
    };
    own.iter().filter_map(pair).collect()
}

/// Accuracy of `own` minus that of `other`, paired by test image.
pub(super) fn accuracy(own: &[&ModelResult], other: &[&ModelResult]) -> Option<Difference> {
    let correct = |result: &ModelResult| {
        Some(result.correct.bytes().map(|byte| f64::from(byte == b'1')).collect())
    };
    statistics::paired(&pairs(own, other, correct)).map(|own| own.within(SHARES))
}

/// Figures of the maps of `own` by `method` minus those of `other`.
pub(super) fn maps(own: &[&ModelResult], other: &[&ModelResult], method: &str) -> MapDifferences {
    let of = |value: fn(&MethodResult) -> &Vec<f64>| {
        statistics::paired(&pairs(own, other, |result| {
            result.methods.get(method).map(|map| value(map).clone())
        }))
    };
    let below_random = |result: &ModelResult| {
        let areas = &result.methods.get(method)?.drop_areas;
        Some(result.random_areas.iter().zip(areas).map(|(random, own)| random - own).collect())
    };
    MapDifferences {
        // A difference of differences of shares lies in −2 to 2; no useful interval reaches these
        // limits.
        faithfulness: statistics::paired(&pairs(own, other, below_random)),
        gini: of(|map| &map.gini).map(|own| own.within(SHARES)),
        entropy: of(|map| &map.entropy),
        sensitivity: of(|map| &map.sensitivity),
    }
}

/// The comparisons of all `variants` with Saliency Guided Training that have a counterpart with
/// plain training.
pub(super) fn of_trainings(
    variants: &[&Variant],
    results: &[ModelResult],
) -> Vec<TrainingComparison> {
    let of = |variant: &Variant| -> Vec<&ModelResult> {
        results.iter().filter(|result| result.variant == *variant).collect()
    };
    let compare = |variant: &&&Variant| {
        let (guided, plain) = (of(variant), of(&Variant { sgt: false, ..(**variant).clone() }));
        let is_paired = |seed: &u64| plain.iter().any(|other| other.seed == *seed);
        let seeds: Vec<u64> = guided.iter().map(|result| result.seed).filter(is_paired).collect();
        let methods = guided.first()?.methods.keys();
        (!seeds.is_empty()).then(|| TrainingComparison {
            dataset: variant.dataset.clone(),
            model: variant.label(),
            accuracy: accuracy(&guided, &plain),
            methods: methods.map(|name| (name.clone(), maps(&guided, &plain, name))).collect(),
            seeds,
        })
    };
    variants.iter().filter(|variant| variant.sgt).filter_map(|variant| compare(&variant)).collect()
}

/// Adjusts every p by Holm's method for the number of tests that answer the same question, and
/// returns the families with their sizes. `tests` are pairs of a question and one of its tests.
pub(super) fn adjust<'a>(
    tests: impl IntoIterator<Item = (String, Vec<&'a mut Difference>)>,
) -> Vec<Family> {
    let adjust = |(question, tests): (String, Vec<&mut Difference>)| {
        let count = tests.len();
        let adjusted = holm(&tests.iter().map(|test| test.p).collect::<Vec<_>>());
        for (test, adjusted_p) in tests.into_iter().zip(adjusted) {
            test.adjusted_p = adjusted_p;
        }
        Family { question, tests: count }
    };
    tests.into_iter().map(adjust).filter(|family| family.tests > 0).collect()
}
