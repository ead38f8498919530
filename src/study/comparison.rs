//! Differences between models that are alike but for one thing, and what they are worth when many are tested.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    plan::Variant,
    result::{MethodResult, ModelResult},
    statistics::{self, Difference, holm},
    summary::ModelSummary,
};
use crate::report::Quantity;

/// Differences of the maps of one method: a model's minus another's on the same images, paired by seed and image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct MapDifferences {
    /// How far removing what the map names first lowers the accuracy below random order, on average over the curve.
    pub faithfulness: Option<Difference>,
    /// Sparseness.
    pub gini: Option<Difference>,
    /// Complexity.
    pub entropy: Option<Difference>,
    /// Max-sensitivity.
    pub sensitivity: Option<Difference>,
}

/// Models with Saliency Guided Training against those with plain training, which are otherwise alike: the paper's premise.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct TrainingComparison {
    /// Data set.
    pub dataset: String,
    /// Label of the models.
    pub model: String,
    /// Seeds that both were trained with.
    pub seeds: Vec<u64>,
    /// Accuracy with guidance minus that without.
    pub accuracy: Option<Difference>,
    /// The same of the maps, by method.
    pub methods: BTreeMap<String, MapDifferences>,
}

/// Tests that were corrected for their number together.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Family {
    /// What they ask.
    pub question: String,
    /// How many they are.
    pub tests: usize,
}

/// A difference of two shares: −1 to 1.
const SHARES: Quantity = Quantity::Correlation;

/// The figures that `value` finds in both, a pair a seed.
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

/// Correct answers of `own` minus those of `other`.
pub(super) fn accuracy(own: &[&ModelResult], other: &[&ModelResult]) -> Option<Difference> {
    let correct = |result: &ModelResult| Some(result.correct.bytes().map(|byte| f64::from(byte == b'1')).collect());
    statistics::paired(&pairs(own, other, correct)).map(|own| own.within(SHARES))
}

/// Figures of the maps of `own` by `method` minus those of `other`.
pub(super) fn maps(own: &[&ModelResult], other: &[&ModelResult], method: &str) -> MapDifferences {
    let of = |value: fn(&MethodResult) -> &Vec<f64>| {
        statistics::paired(&pairs(own, other, |result| result.methods.get(method).map(|map| value(map).clone())))
    };
    let below_random = |result: &ModelResult| {
        let areas = &result.methods.get(method)?.drop_areas;
        Some(result.random_areas.iter().zip(areas).map(|(random, own)| random - own).collect())
    };
    MapDifferences {
        // A difference of differences of shares: −2 to 2, which no interval of use reaches.
        faithfulness: statistics::paired(&pairs(own, other, below_random)),
        gini: of(|map| &map.gini).map(|own| own.within(SHARES)),
        entropy: of(|map| &map.entropy),
        sensitivity: of(|map| &map.sensitivity),
    }
}

/// The comparisons of all `variants` with guidance that have a plain counterpart.
pub(super) fn of_trainings(variants: &[&Variant], results: &[ModelResult]) -> Vec<TrainingComparison> {
    let of = |variant: &Variant| -> Vec<&ModelResult> { results.iter().filter(|result| result.variant == *variant).collect() };
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

/// Adjusts every p for the number of tests that ask the same, by Holm's rule, and says how many those are.
pub(super) fn adjust(models: &mut [ModelSummary], trainings: &mut [TrainingComparison], main_method: &str) -> Vec<Family> {
    let [mut control, mut further, mut guidance, mut further_guidance] = [const { Vec::new() }; 4];
    for model in models {
        control.extend(&mut model.accuracy_difference);
        for (name, map) in &mut model.methods {
            let tests = [
                &mut map.faithfulness_difference,
                &mut map.gini_difference,
                &mut map.entropy_difference,
                &mut map.sensitivity_difference,
            ];
            if name == main_method { &mut control } else { &mut further }.extend(tests.into_iter().flatten());
        }
    }
    for training in trainings {
        guidance.extend(&mut training.accuracy);
        for (name, map) in &mut training.methods {
            let tests = [&mut map.faithfulness, &mut map.gini, &mut map.entropy, &mut map.sensitivity];
            let family = if name == main_method { &mut guidance } else { &mut further_guidance };
            family.extend(tests.into_iter().flatten());
        }
    }
    let families = [
        (format!("models against their controls, accuracy and {main_method} maps"), control),
        ("models against their controls, maps of the further methods".to_string(), further),
        (format!("Saliency Guided Training against plain training, accuracy and {main_method} maps"), guidance),
        ("Saliency Guided Training against plain training, maps of the further methods".to_string(), further_guidance),
    ];
    let adjust = |(question, tests): (String, Vec<&mut Difference>)| {
        let count = tests.len();
        let adjusted = holm(&tests.iter().map(|test| test.p).collect::<Vec<_>>());
        for (test, adjusted_p) in tests.into_iter().zip(adjusted) {
            test.adjusted_p = adjusted_p;
        }
        Family { question, tests: count }
    };
    families.into_iter().map(adjust).filter(|family| family.tests > 0).collect()
}
