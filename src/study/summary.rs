//! The results of a study put together: a record a model, its seeds merged. Everything that a
//! report says is in here.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    comparison::{self, Family, MapDifferences, TrainingComparison},
    plan::{Plan, PlannedRun, Stage, Variant},
    preset::Preset,
    result::{Collected, MethodResult, ModelCost, ModelResult},
    statistics::{self, Difference},
};
use crate::{
    config::PartialRunConfig,
    judgement::{DropCurve, Interval, LayerAgreement, wilson_of_all},
    quant::QuantizerState,
    report::Quantity,
};

/// Accuracies of Table II for float, (4,4), (4,2), (2,2), by our names of the data sets and of
/// their built-in parts.
const PAPER: [([&str; 2], [f64; 4]); 2] = [
    (["mnist", "mnist-mini"], [0.9946, 0.9870, 0.9825, 0.9019]),
    (["fashion-mnist", "fashion-mini"], [0.9360, 0.9035, 0.8990, 0.8386]),
];

/// A whole study.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Summary {
    /// Whether λ is 0: Saliency Guided Training then adds nothing, and is not compared with plain
    /// training.
    pub guidance_adds_nothing: bool,
    /// Preset of the plan.
    pub preset: Preset,
    /// What the report rests on, in a sentence; said by `findings`.
    pub scope: String,
    /// Models of the plan.
    pub planned: usize,
    /// Versions of the program that made the results.
    pub versions: Vec<String>,
    /// Adapters they were made on.
    pub adapters: Vec<String>,
    /// The first and the last day on which one was made, in UTC; one where they are the same, none
    /// where they are not known.
    pub dates: Vec<String>,
    /// Images of the accuracy-drop curves.
    pub drop_images: u32,
    /// Images of the other judgements.
    pub judged_images: u32,
    /// The method whose figures the text speaks of.
    pub main_method: String,
    /// A record a model, in the plan's order.
    pub models: Vec<ModelSummary>,
    /// Saliency Guided Training against plain training, a record a pair of models.
    pub trainings: Vec<TrainingComparison>,
    /// Tests whose p values were adjusted together, for their number, by Holm's rule.
    pub families: Vec<Family>,
    /// Sentences that say what was found, computed from the rest by `findings`.
    pub findings: Vec<String>,
    /// Models without a result, with the reason where there is one.
    pub missing: Vec<(String, String)>,
}

/// One model, over its seeds.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ModelSummary {
    /// Which model.
    pub variant: Variant,
    /// Seeds it was trained with.
    pub seeds: Vec<u64>,
    /// Test images.
    pub images: u64,
    /// Accuracy on them.
    pub accuracy: Interval,
    /// What its interval is over.
    pub interval_over: IntervalOver,
    /// Label of the model that it is compared with, of the same data set and training; none for a
    /// model without one.
    pub compared_with: Option<String>,
    /// Steps of training before its own, of the model that it starts from: `kl` and `quantizers`
    /// count from there.
    pub steps_before: u64,
    /// Accuracy minus that of the model it is compared with, paired by seed and test image.
    pub accuracy_difference: Option<Difference>,
    /// Accuracy in the paper's Table II, where it has the model: on the whole data set.
    pub paper_accuracy: Option<f64>,
    /// Accuracy it was to reach, where the preset says one.
    pub goal: Option<f64>,
    /// Whether it did.
    pub goal_met: Option<bool>,
    /// Mean cross entropy on the test images.
    pub loss: Interval,
    /// Cost of a forward pass.
    pub cost: ModelCost,
    /// (step, mean D_KL over the seeds).
    pub kl: Vec<(f64, f64)>,
    /// (step, what the quantizers were) in the training with the first seed.
    pub quantizers: Vec<(u64, QuantizerState)>,
    /// Mean accuracy with features removed in random order, over all shares.
    pub random_area: f64,
    /// (share removed, mean accuracy) in random order.
    pub random_drop: Vec<(f64, f64)>,
    /// Its interval, as [`MethodSummary::drop_band`].
    pub random_drop_band: Vec<(f64, f64, f64)>,
    /// As [`MethodSummary::retrained`], in random order; of float models.
    pub random_retrained: Vec<(f64, f64)>,
    /// Its interval, as [`MethodSummary::drop_band`].
    pub random_retrained_band: Vec<(f64, f64, f64)>,
    /// By attribution method.
    pub methods: BTreeMap<String, MethodSummary>,
}

/// What an interval is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum IntervalOver {
    /// Trainings with different seeds.
    Seeds,
    /// The test images of a single training.
    TestImages,
}

/// Figures of a model's maps by one method; intervals are NaN (null) where the preset leaves a
/// figure out.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct MethodSummary {
    /// (share removed, mean accuracy).
    pub drop: Vec<(f64, f64)>,
    /// (share removed, low and high end of the accuracy): Wilson's 95 % interval for the images; of
    /// several seeds from the lowest of their limits to the highest.
    pub drop_band: Vec<(f64, f64, f64)>,
    /// Mean accuracy over the curve.
    pub drop_area: Interval,
    /// Accuracy lost on average over the curve.
    pub mean_drop: Interval,
    /// Mean accuracy over the curve of random order minus that over this one.
    pub below_random: Interval,
    /// Sparseness.
    pub gini: Interval,
    /// Complexity, in nats.
    pub entropy: Interval,
    /// Max-sensitivity.
    pub sensitivity: Interval,
    /// Alignment with the model that it is compared with.
    pub spearman: Interval,
    /// Likewise.
    pub ssim: Interval,
    /// Likewise.
    pub overlap: Interval,
    /// By how much more than in the model it is compared with removing what the map names first
    /// lowers the accuracy below random order.
    pub faithfulness_difference: Option<Difference>,
    /// Sparseness minus that of the model it is compared with, on the same images.
    pub gini_difference: Option<Difference>,
    /// Likewise of the entropy.
    pub entropy_difference: Option<Difference>,
    /// Likewise of max-sensitivity.
    pub sensitivity_difference: Option<Difference>,
    /// Share of the maps' values that are exactly 0.
    pub zeros: f64,
    /// Agreement with the own maps after the parameters of a layer and of all behind it were
    /// randomised; of one seed over images.
    pub randomisation: Vec<LayerAgreement>,
    /// (share removed, mean accuracy of a network trained again without them).
    pub retrained: Vec<(f64, f64)>,
    /// Its interval, as [`Self::drop_band`].
    pub retrained_band: Vec<(f64, f64, f64)>,
    /// Mean accuracy over that curve.
    pub retrained_area: Interval,
}

impl Summary {
    /// Puts the results of `plan` together, without sentences.
    pub fn new(plan: &Plan, collected: &Collected) -> Summary {
        let distinct = |value: fn(&ModelResult) -> &String| {
            let mut values: Vec<String> =
                collected.results.iter().map(|result| value(result).clone()).collect();
            values.sort();
            values.dedup();
            values
        };
        let mut variants: Vec<&Variant> = Vec::new();
        for result in &collected.results {
            if !variants.contains(&&result.variant) {
                variants.push(&result.variant);
            }
        }
        let main_method = plan.judgement.methods.first().cloned().unwrap_or_default();
        // There may be fewer.
        let images = collected.results.iter().map(|result| result.images).max().unwrap_or(0);
        let drop_images = plan.judgement.drop_images.min(u32::try_from(images).unwrap_or(u32::MAX));
        let adds_nothing = guidance_adds_nothing(plan);
        let mut summary = Summary {
            guidance_adds_nothing: adds_nothing,
            preset: plan.preset,
            scope: String::new(),
            planned: plan.runs.len(),
            versions: distinct(|result| &result.version),
            adapters: distinct(|result| &result.adapter),
            dates: collected.dates.clone(),
            drop_images,
            judged_images: plan.judgement.images.min(drop_images),
            main_method,
            models: variants
                .iter()
                .map(|variant| ModelSummary::new(plan, variant, &collected.results))
                .collect(),
            trainings: if adds_nothing {
                Vec::new()
            } else {
                comparison::of_trainings(&variants, &collected.results)
            },
            families: Vec::new(),
            findings: Vec::new(),
            missing: collected
                .missing
                .iter()
                .map(|(run, reason)| {
                    (run.folder.clone(), reason.clone().unwrap_or_else(|| "not made yet".into()))
                })
                .collect(),
        };
        if adds_nothing {
            // The paper's and the preset's figures are those of guided models.
            for model in &mut summary.models {
                (model.paper_accuracy, model.goal, model.goal_met) = (None, None, None);
            }
        }
        summary.families = comparison::adjust(questions(
            &mut summary.models,
            &mut summary.trainings,
            &summary.main_method,
        ));
        summary
    }

    /// Data sets, in order.
    pub fn datasets(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for model in &self.models {
            if !names.contains(&model.variant.dataset.as_str()) {
                names.push(&model.variant.dataset);
            }
        }
        names
    }

    /// The models of `dataset`, with or without Saliency Guided Training, in order.
    pub fn of<'a>(&'a self, dataset: &'a str, sgt: bool) -> impl Iterator<Item = &'a ModelSummary> {
        self.models
            .iter()
            .filter(move |model| model.variant.dataset == dataset && model.variant.sgt == sgt)
    }

    /// As [`Self::of`], those that were trained: the models of Table II.
    pub fn trained<'a>(
        &'a self,
        dataset: &'a str,
        sgt: bool,
    ) -> impl Iterator<Item = &'a ModelSummary> {
        self.of(dataset, sgt).filter(|model| model.variant.stage != Stage::PostTraining)
    }
}

/// Whether λ is 0 wherever models are trained with guidance: the term that it adds to the loss has
/// no weight then.
fn guidance_adds_nothing(plan: &Plan) -> bool {
    let lambda =
        |run: &PlannedRun| PartialRunConfig::parse(&run.settings, &run.folder).ok()?.lambda;
    let mut guided = plan.runs.iter().filter(|run| run.variant.sgt).peekable();
    guided.peek().is_some() && guided.all(|run| lambda(run) == Some(0.0))
}

/// The paper's accuracy of a model of its Table II: of the data set that a mini set is a part of.
fn paper_accuracy(variant: &Variant) -> Option<f64> {
    let (_, row) = PAPER.iter().find(|(names, _)| names.contains(&variant.dataset.as_str()))?;
    let column = match (variant.stage, variant.bits.as_str()) {
        (Stage::Float, _) => 0,
        (Stage::QuantizationAware, "4,4") => 1,
        (Stage::QuantizationAware, "4,2") => 2,
        (Stage::QuantizationAware, "2,2") => 3,
        _ => return None,
    };
    // The paper trains with Saliency Guided Training.
    variant.sgt.then_some(row[column])
}

/// Mean of curves point by point; of those that have the first one's length.
fn mean_curve<'a>(curves: impl Iterator<Item = &'a [(f64, f64)]>) -> Vec<(f64, f64)> {
    let curves: Vec<_> = curves.collect();
    let length = curves.first().map_or(0, |curve| curve.len());
    let alike: Vec<_> = curves.into_iter().filter(|curve| curve.len() == length).collect();
    let mean =
        |point: usize| alike.iter().map(|curve| curve[point].1).sum::<f64>() / alike.len() as f64;
    (0..length).map(|point| (alike[0][point].0, mean(point))).collect()
}

/// The interval at every point of curves of `images` images each, a curve a seed.
fn intervals<'a>(
    curves: impl Iterator<Item = &'a [(f64, f64)]>,
    images: u64,
) -> Vec<(f64, f64, f64)> {
    let curves: Vec<_> = curves.filter(|curve| !curve.is_empty()).collect();
    let of_point = |(point, &(share, _)): (usize, &(f64, f64))| {
        let at: Vec<f64> = curves
            .iter()
            .filter_map(|curve| curve.get(point))
            .map(|(_, accuracy)| *accuracy)
            .collect();
        let Interval { low, high, .. } = wilson_of_all(&at, images);
        (share, low, high)
    };
    curves.first().map_or(Vec::new(), |first| first.iter().enumerate().map(of_point).collect())
}

/// Images that the curves of a model are over.
#[derive(Clone, Copy)]
struct CurveImages {
    drop: u64,
    retrained: u64,
}

impl ModelSummary {
    fn new(plan: &Plan, variant: &Variant, results: &[ModelResult]) -> ModelSummary {
        let own: Vec<&ModelResult> =
            results.iter().filter(|result| result.variant == *variant).collect();
        let compared_with = plan.control_of(variant);
        let control: Vec<&ModelResult> =
            results.iter().filter(|result| Some(&result.variant) == compared_with).collect();
        let first = own[0];
        let asked = plan
            .judgement
            .retraining
            .as_ref()
            .map_or(u64::MAX, |retraining| u64::from(retraining.images[1]));
        let images = CurveImages {
            drop: first.images.min(u64::from(plan.judgement.drop_images)),
            retrained: first.images.min(asked),
        };
        let values = |value: fn(&ModelResult) -> f64| {
            own.iter().map(|result| value(result)).collect::<Vec<_>>()
        };
        let random_drop = mean_curve(own.iter().map(|result| result.random_drop.as_slice()));
        let (shares, accuracies) = random_drop.iter().copied().unzip();
        let accuracy = statistics::accuracy(&values(|result| result.accuracy), first.images);
        let is_targeted =
            variant.sgt && matches!(variant.stage, Stage::Float | Stage::QuantizationAware);
        let random_area = DropCurve::new(shares, accuracies).area;
        let goal = plan.preset.goal(&variant.dataset, &variant.bits).filter(|_| is_targeted);
        ModelSummary {
            variant: variant.clone(),
            seeds: own.iter().map(|result| result.seed).collect(),
            images: first.images,
            accuracy,
            interval_over: if own.len() > 1 {
                IntervalOver::Seeds
            } else {
                IntervalOver::TestImages
            },
            compared_with: compared_with.map(Variant::label),
            steps_before: plan.steps_before(variant),
            accuracy_difference: comparison::accuracy(&own, &control),
            paper_accuracy: paper_accuracy(variant),
            goal,
            goal_met: goal.map(|goal| accuracy.mean >= goal),
            loss: statistics::within(
                statistics::over_seeds(&values(|result| result.loss)),
                Quantity::Magnitude,
            ),
            cost: first.cost.clone(),
            kl: mean_curve(own.iter().map(|result| result.kl.as_slice())),
            quantizers: first.quantizers.clone(),
            random_area,
            random_drop,
            random_drop_band: intervals(
                own.iter().map(|result| result.random_drop.as_slice()),
                images.drop,
            ),
            random_retrained: mean_curve(
                own.iter().map(|result| result.random_retrained.as_slice()),
            ),
            random_retrained_band: intervals(
                own.iter().map(|result| result.random_retrained.as_slice()),
                images.retrained,
            ),
            methods: (first.methods.keys())
                .map(|name| {
                    (name.clone(), MethodSummary::new(name, &own, &control, images, random_area))
                })
                .collect(),
        }
    }

    /// The figures of `method`.
    pub fn method(&self, method: &str) -> Option<&MethodSummary> {
        self.methods.get(method)
    }
}

/// Agreement by layer: of one seed with its interval over images, of several with the interval over
/// them.
fn randomisation(results: &[&MethodResult]) -> Vec<LayerAgreement> {
    let first = results.first().map_or(&[][..], |result| &result.randomisation);
    let of = |layer: usize| {
        results
            .iter()
            .filter_map(move |result| result.randomisation.get(layer))
            .map(|one| one.spearman)
    };
    let over = |layer: usize| match of(layer).collect::<Vec<Interval>>().as_slice() {
        &[one] => one,
        many => {
            let over = statistics::over_seeds(
                &many.iter().map(|interval| interval.mean).collect::<Vec<_>>(),
            );
            statistics::within(over, Quantity::Correlation)
        }
    };
    first
        .iter()
        .enumerate()
        .map(|(layer, one)| LayerAgreement { layer: one.layer.clone(), spearman: over(layer) })
        .collect()
}

impl MethodSummary {
    fn new(
        name: &str,
        own: &[&ModelResult],
        control: &[&ModelResult],
        images: CurveImages,
        random_area: f64,
    ) -> MethodSummary {
        let results: Vec<&MethodResult> =
            own.iter().filter_map(|result| result.methods.get(name)).collect();
        let per_image = |value: fn(&MethodResult) -> &Vec<f64>, quantity: Quantity| {
            let values: Vec<&[f64]> =
                results.iter().map(|result| value(result).as_slice()).collect();
            statistics::over_images(&values, quantity)
        };
        let MapDifferences { faithfulness, gini, entropy, sensitivity } =
            comparison::maps(own, control, name);
        let drop = mean_curve(results.iter().map(|result| result.drop.as_slice()));
        let areas: Vec<f64> = results.iter().map(|result| result.drop_area).collect();
        let lost: Vec<f64> = results
            .iter()
            .map(|result| result.drop.first().map_or(f64::NAN, |point| point.1) - result.drop_area)
            .collect();
        // An image at a time: what removing costs is compared on the same image.
        let gains: Vec<Vec<f64>> = (own.iter())
            .filter_map(|result| {
                let areas = &result.methods.get(name)?.drop_areas;
                Some(
                    result
                        .random_areas
                        .iter()
                        .zip(areas)
                        .map(|(random, own)| random - own)
                        .collect(),
                )
            })
            .collect();
        let gains: Vec<&[f64]> = gains.iter().map(Vec::as_slice).collect();
        let mean_area = areas.iter().sum::<f64>() / areas.len() as f64;
        let below_random = if gains.iter().all(|own| own.is_empty()) {
            // Curves alone: a cautious interval, as if all points of a curve were one.
            let mean = random_area - mean_area;
            let half = statistics::margin_of_areas(
                random_area,
                mean_area,
                u32::try_from(images.drop).unwrap_or(u32::MAX),
            );
            Interval { mean, low: mean - half, high: mean + half }
        } else {
            statistics::over_images(&gains, Quantity::Correlation)
        };
        let below_random = statistics::within(below_random, Quantity::Correlation);
        let retrained: Vec<DropCurve> = results
            .iter()
            .filter(|result| !result.retrained.is_empty())
            .map(|result| {
                let (shares, accuracies) = result.retrained.iter().copied().unzip();
                DropCurve::new(shares, accuracies)
            })
            .collect();
        MethodSummary {
            drop_band: intervals(results.iter().map(|result| result.drop.as_slice()), images.drop),
            drop,
            drop_area: if results.iter().all(|result| result.drop_areas.is_empty()) {
                statistics::within(statistics::over_seeds(&areas), Quantity::Share)
            } else {
                let values: Vec<&[f64]> =
                    results.iter().map(|result| result.drop_areas.as_slice()).collect();
                statistics::areas(&values)
            },
            // Differences of shares: −1 to 1.
            mean_drop: statistics::within(statistics::over_seeds(&lost), Quantity::Correlation),
            below_random,
            gini: per_image(|result| &result.gini, Quantity::Share),
            entropy: per_image(|result| &result.entropy, Quantity::Magnitude),
            sensitivity: per_image(|result| &result.sensitivity, Quantity::Magnitude),
            spearman: per_image(|result| &result.spearman, Quantity::Correlation),
            ssim: per_image(|result| &result.ssim, Quantity::Correlation),
            overlap: per_image(|result| &result.overlap, Quantity::Share),
            faithfulness_difference: faithfulness,
            gini_difference: gini,
            entropy_difference: entropy,
            sensitivity_difference: sensitivity,
            zeros: statistics::over_seeds(
                &results.iter().map(|result| result.zeros).collect::<Vec<_>>(),
            )
            .mean,
            randomisation: randomisation(&results),
            retrained_area: statistics::within(
                statistics::over_seeds(
                    &retrained.iter().map(|curve| curve.area).collect::<Vec<_>>(),
                ),
                Quantity::Share,
            ),
            retrained: mean_curve(results.iter().map(|result| result.retrained.as_slice())),
            retrained_band: intervals(
                results.iter().map(|result| result.retrained.as_slice()),
                images.retrained,
            ),
        }
    }
}

/// The tests of a summary, by what they ask.
fn questions<'a>(
    models: &'a mut [ModelSummary],
    trainings: &'a mut [TrainingComparison],
    main_method: &str,
) -> [(String, Vec<&'a mut Difference>); 4] {
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
            if name == main_method { &mut control } else { &mut further }
                .extend(tests.into_iter().flatten());
        }
    }
    for training in trainings {
        guidance.extend(&mut training.accuracy);
        for (name, map) in &mut training.methods {
            let tests =
                [&mut map.faithfulness, &mut map.gini, &mut map.entropy, &mut map.sensitivity];
            let family = if name == main_method { &mut guidance } else { &mut further_guidance };
            family.extend(tests.into_iter().flatten());
        }
    }
    [
        (format!("models against their controls, accuracy and {main_method} maps"), control),
        ("models against their controls, maps of the further methods".to_string(), further),
        (
            format!(
                "Saliency Guided Training against plain training, accuracy and {main_method} maps"
            ),
            guidance,
        ),
        (
            "Saliency Guided Training against plain training, maps of the further methods"
                .to_string(),
            further_guidance,
        ),
    ]
}
