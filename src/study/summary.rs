//! The combined results of a study: one record per model, with its seeds merged. A report uses
//! nothing else.

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

/// Accuracies of Table II for float, (4,4), (4,2), (2,2), by saliq's names of the data sets and of
/// their built-in parts.
const PAPER: [([&str; 2], [f64; 4]); 2] = [
    (["mnist", "mnist-mini"], [0.9946, 0.9870, 0.9825, 0.9019]),
    (["fashion-mnist", "fashion-mini"], [0.9360, 0.9035, 0.8990, 0.8386]),
];

/// The combined results of a whole study.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Summary {
    /// Whether λ is 0. Saliency Guided Training then has no effect and is not compared with plain
    /// training.
    pub guidance_adds_nothing: bool,
    /// Preset of the plan.
    pub preset: Preset,
    /// The data that the report is based on, as a sentence computed by `findings`.
    pub scope: String,
    /// Number of models in the plan.
    pub planned: usize,
    /// Versions of the program that made the results.
    pub versions: Vec<String>,
    /// Adapters on which the results were made.
    pub adapters: Vec<String>,
    /// The first and the last day on which a result was made, in UTC; one entry if they are equal,
    /// none if they are unknown.
    pub dates: Vec<String>,
    /// Number of images of the accuracy-drop curves.
    pub drop_images: u32,
    /// Number of images of the other judgements.
    pub judged_images: u32,
    /// The method whose figures the text uses.
    pub main_method: String,
    /// One record per model, in the plan's order.
    pub models: Vec<ModelSummary>,
    /// Saliency Guided Training compared with plain training, one record per pair of models.
    pub trainings: Vec<TrainingComparison>,
    /// Families of tests whose p values were adjusted together by Holm's method.
    pub families: Vec<Family>,
    /// Sentences about the results, computed by `findings`.
    pub findings: Vec<String>,
    /// Models without a result, with the reason if it is known.
    pub missing: Vec<(String, String)>,
}

/// One model, merged over its seeds.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ModelSummary {
    /// The model's variant.
    pub variant: Variant,
    /// Seeds of its training runs.
    pub seeds: Vec<u64>,
    /// Number of test images.
    pub images: u64,
    /// Accuracy on the test images.
    pub accuracy: Interval,
    /// What the accuracy's interval is computed over.
    pub interval_over: IntervalOver,
    /// Label of the model that it is compared with, of the same data set and training; `None` for a
    /// model without a control.
    pub compared_with: Option<String>,
    /// Training steps of the model that it starts from; `kl` and `quantizers` count from there.
    pub steps_before: u64,
    /// Accuracy minus that of the control, paired by seed and test image.
    pub accuracy_difference: Option<Difference>,
    /// Accuracy in the paper's Table II on the whole data set, if the table has the model.
    pub paper_accuracy: Option<f64>,
    /// Target accuracy, if the preset has one.
    pub goal: Option<f64>,
    /// Whether the target was reached.
    pub goal_met: Option<bool>,
    /// Mean cross entropy on the test images.
    pub loss: Interval,
    /// Cost of a forward pass.
    pub cost: ModelCost,
    /// (step, mean D_KL over the seeds).
    pub kl: Vec<(f64, f64)>,
    /// (step, state of the quantizers) in the training with the first seed.
    pub quantizers: Vec<(u64, QuantizerState)>,
    /// Mean accuracy over all removed shares, for random order.
    pub random_area: f64,
    /// (share removed, mean accuracy) for random order.
    pub random_drop: Vec<(f64, f64)>,
    /// Its interval, as [`MethodSummary::drop_band`].
    pub random_drop_band: Vec<(f64, f64, f64)>,
    /// As [`MethodSummary::retrained`], for random order; only for float models.
    pub random_retrained: Vec<(f64, f64)>,
    /// Its interval, as [`MethodSummary::drop_band`].
    pub random_retrained_band: Vec<(f64, f64, f64)>,
    /// By attribution method.
    pub methods: BTreeMap<String, MethodSummary>,
}

/// What an interval is computed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum IntervalOver {
    /// Training runs with different seeds.
    Seeds,
    /// The test images of a single training run.
    TestImages,
}

/// Figures of a model's maps by one method. Intervals are NaN (null) if the preset omits a figure.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct MethodSummary {
    /// (share removed, mean accuracy).
    pub drop: Vec<(f64, f64)>,
    /// (share removed, lower and upper end of the accuracy). The interval is Wilson's 95 % interval
    /// for the images. With several seeds it goes from the lowest of their limits to the highest.
    pub drop_band: Vec<(f64, f64, f64)>,
    /// Mean accuracy over the curve.
    pub drop_area: Interval,
    /// Mean loss of accuracy over the curve.
    pub mean_drop: Interval,
    /// Mean accuracy over the curve of random order minus that over this curve.
    pub below_random: Interval,
    /// Sparseness.
    pub gini: Interval,
    /// Complexity, in nats.
    pub entropy: Interval,
    /// Max-sensitivity.
    pub sensitivity: Interval,
    /// Rank correlation (Spearman) with the maps of the control.
    pub spearman: Interval,
    /// Structural similarity with the maps of the control.
    pub ssim: Interval,
    /// Overlap of the most salient pixels with those of the control.
    pub overlap: Interval,
    /// Faithfulness (`below_random`) minus that of the control.
    pub faithfulness_difference: Option<Difference>,
    /// Sparseness minus that of the control, on the same images.
    pub gini_difference: Option<Difference>,
    /// Entropy minus that of the control, on the same images.
    pub entropy_difference: Option<Difference>,
    /// Max-sensitivity minus that of the control, on the same images.
    pub sensitivity_difference: Option<Difference>,
    /// Share of the maps' values that are exactly 0.
    pub zeros: f64,
    /// Agreement of the maps with the maps after the parameters of a layer and of all layers behind
    /// it are randomised. For one seed the interval is over images.
    pub randomisation: Vec<LayerAgreement>,
    /// (share removed, mean accuracy of a network that was trained again without these pixels).
    pub retrained: Vec<(f64, f64)>,
    /// Its interval, as [`Self::drop_band`].
    pub retrained_band: Vec<(f64, f64, f64)>,
    /// Mean accuracy over that curve.
    pub retrained_area: Interval,
}

impl Summary {
    /// Combines the results of `plan`, without sentences.
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
        // A data set can have fewer images than planned.
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
            // The figures of the paper and of the preset are those of models with Saliency Guided
            // Training.
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

    /// As [`Self::of`], only for trained models: the models of Table II.
    pub fn trained<'a>(
        &'a self,
        dataset: &'a str,
        sgt: bool,
    ) -> impl Iterator<Item = &'a ModelSummary> {
        self.of(dataset, sgt).filter(|model| model.variant.stage != Stage::PostTraining)
    }
}

/// Whether λ is 0 for all models with Saliency Guided Training, so that the saliency term has no
/// weight.
fn guidance_adds_nothing(plan: &Plan) -> bool {
    let lambda =
        |run: &PlannedRun| PartialRunConfig::parse(&run.settings, &run.folder).ok()?.lambda;
    let mut guided = plan.runs.iter().filter(|run| run.variant.sgt).peekable();
    guided.peek().is_some() && guided.all(|run| lambda(run) == Some(0.0))
}

/// The accuracy of a model in the paper's Table II; a mini set has the accuracy of the full set.
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

/// Mean of curves point by point, over the curves that have the length of the first.
fn mean_curve<'a>(curves: impl Iterator<Item = &'a [(f64, f64)]>) -> Vec<(f64, f64)> {
    let curves: Vec<_> = curves.collect();
    let length = curves.first().map_or(0, |curve| curve.len());
    let alike: Vec<_> = curves.into_iter().filter(|curve| curve.len() == length).collect();
    let mean =
        |point: usize| alike.iter().map(|curve| curve[point].1).sum::<f64>() / alike.len() as f64;
    (0..length).map(|point| (alike[0][point].0, mean(point))).collect()
}

/// The interval at every point of the curves of `images` images each; one curve per seed.
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

/// Numbers of images that the curves of a model are computed over.
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

/// Agreement by layer: for one seed with its interval over images, for several with the interval
/// over seeds.
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
        // The effect of removal is compared image by image.
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
            // If only curves are known, a conservative interval treats all points of a curve as
            // fully dependent.
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
            // Differences of shares lie in −1 to 1.
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

/// The tests of a summary with the questions that they answer.
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
