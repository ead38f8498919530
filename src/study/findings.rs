//! The findings of a study as sentences. Every sentence follows from computed numbers.

use super::{
    plan::Stage,
    statistics::{Difference, margin_of_areas},
    summary::{IntervalOver, MethodSummary, ModelSummary, Summary},
};
use crate::{
    judgement::Interval,
    report::{counted, plus_minus},
};

/// Adds the sentences to `summary`.
pub(super) fn stated(mut summary: Summary) -> Summary {
    summary.scope = scope(&summary);
    summary.findings = findings(&summary);
    summary
}

/// Sentences about accuracy, its cost, the paper's premise, its two questions and its
/// contradiction, and one about the goals of the preset, if it has any.
fn findings(summary: &Summary) -> Vec<String> {
    let sentences = [accuracy, goals, price, guidance, alignment, faithfulness, contradiction];
    sentences.into_iter().filter_map(|sentence| sentence(summary)).collect()
}

/// The data that all the other sentences are computed from.
fn scope(summary: &Summary) -> String {
    let made: usize = summary.models.iter().map(|model| model.seeds.len()).sum();
    let seeds = summary.models.iter().map(|model| model.seeds.len());
    let (fewest, most) = (seeds.clone().min().unwrap_or(0), seeds.max().unwrap_or(0));
    let seeds = match (fewest, most) {
        (1, 1) => "one seed each: intervals are over images and say nothing about other training \
                   runs"
            .to_string(),
        (fewest, most) if fewest == most => format!("{} each", counted(most, "seed")),
        (fewest, most) => format!("{fewest} to {most} seeds each"),
    };
    let preset = format!("{:?}", summary.preset).to_lowercase();
    let methods = summary.models.iter().map(|model| model.methods.len()).max().unwrap_or(0);
    let has_continued =
        summary.models.iter().any(|model| model.variant.stage == Stage::FloatContinued);
    let controls = match has_continued {
        true => {
            " Models trained with quantization are compared with \"float continued\", which has \
             the same start and as many further steps with the same settings, without \
             quantization; those quantized after training (PTQ) with float."
        }
        false => "",
    };
    let nothing = match summary.guidance_adds_nothing {
        true => {
            " λ is 0: Saliency Guided Training adds nothing to the loss here, so it is neither \
             compared with plain training nor with the paper's figures."
        }
        false => "",
    };
    format!(
        "Made: {made} of {} (preset {preset}), {seeds}; {} on {}.{controls}{nothing}",
        counted(summary.planned, "model"),
        counted(methods, "attribution method"),
        counted(summary.judged_images as usize, "test image")
    )
}

/// `97.3 %`.
pub(super) fn percent(share: f64) -> String {
    format!("{:.2} %", 100.0 * share)
}

/// `97.30 % (96.10–98.20)`, or the value alone if there is no interval.
pub(super) fn percent_interval(interval: Interval) -> String {
    let range =
        |interval: Interval| format!(" ({:.2}–{:.2})", 100.0 * interval.low, 100.0 * interval.high);
    format!(
        "{}{}",
        percent(interval.mean),
        if interval.low.is_finite() { range(interval) } else { String::new() }
    )
}

/// `p = 0.03` or `p < 0.001`, adjusted for the number of tests.
pub(super) fn p_value(difference: Difference) -> String {
    match difference.adjusted_p {
        p if p < 0.001 => "p < 0.001".into(),
        p if p < 0.01 => format!("p = {p:.3}"),
        p => format!("p = {p:.2}"),
    }
}

fn joined(parts: Vec<String>) -> Option<String> {
    (!parts.is_empty()).then(|| parts.join("; "))
}

/// Models that the sentences refer to: the trained models of each data set, with Saliency Guided
/// Training if there are any.
fn groups(summary: &Summary) -> Vec<(&str, Vec<&ModelSummary>)> {
    let of = |dataset| -> Vec<&ModelSummary> {
        let guided: Vec<_> = summary.trained(dataset, true).collect();
        if guided.is_empty() { summary.trained(dataset, false).collect() } else { guided }
    };
    summary.datasets().into_iter().map(|dataset| (dataset, of(dataset))).collect()
}

/// The sentence that begins with `start` and lists all data sets for which `part` returns a clause.
fn about_all(
    summary: &Summary,
    start: &str,
    part: impl Fn(&str, &[&ModelSummary]) -> Option<String>,
) -> Option<String> {
    let parts = groups(summary)
        .into_iter()
        .filter_map(|(dataset, models)| part(dataset, &models))
        .collect();
    joined(parts).map(|text| match start.ends_with("? ") {
        true => format!("{start}{}{}.", text[..1].to_uppercase(), &text[1..]),
        false => format!("{start}{text}."),
    })
}

/// The control of the trained models and the model of lowest precision.
fn ends<'a>(models: &[&'a ModelSummary]) -> Option<(&'a ModelSummary, &'a ModelSummary)> {
    let quantized = models.iter().filter(|model| model.variant.stage == Stage::QuantizationAware);
    let lowest = quantized.min_by_key(|model| model.cost.bit_operations)?;
    let is_control = |model: &&&ModelSummary| Some(model.variant.label()) == lowest.compared_with;
    Some((models.iter().find(is_control)?, lowest))
}

/// As [`ends`], with the maps of both by the main method.
fn ends_by_method<'a>(
    summary: &'a Summary,
    models: &[&'a ModelSummary],
) -> Option<(&'a ModelSummary, &'a MethodSummary, &'a ModelSummary, &'a MethodSummary)> {
    let (control, lowest) = ends(models)?;
    Some((
        control,
        control.method(&summary.main_method)?,
        lowest,
        lowest.method(&summary.main_method)?,
    ))
}

fn accuracy(summary: &Summary) -> Option<String> {
    about_all(summary, "Test accuracy: ", |dataset, models| {
        let first = models.first()?;
        let paper = if dataset.ends_with("-mini") { "paper, whole set:" } else { "paper:" };
        let parts: Vec<String> = models
            .iter()
            .map(|model| {
                let paper = model
                    .paper_accuracy
                    .map_or(String::new(), |accuracy| format!(" [{paper} {}]", percent(accuracy)));
                format!("{} {}{paper}", model.variant.label(), percent(model.accuracy.mean))
            })
            .collect();
        let training =
            if first.variant.sgt { "with Saliency Guided Training" } else { "with plain training" };
        Some(format!("on {dataset}, {training}, {}", parts.join(", ")))
    })
}

/// The goals of the preset, if it has any.
fn goals(summary: &Summary) -> Option<String> {
    let with_goal: Vec<&ModelSummary> =
        summary.models.iter().filter(|model| model.goal.is_some()).collect();
    let missed: Vec<String> = with_goal
        .iter()
        .filter(|model| model.goal_met != Some(true))
        .map(|model| {
            let goal = model.goal.map_or(String::new(), percent);
            format!(
                "{} on {} reached {} of {goal}",
                model.variant.label(),
                model.variant.dataset,
                percent(model.accuracy.mean)
            )
        })
        .collect();
    let met = with_goal.len() - missed.len();
    let missed = joined(missed).map_or(String::new(), |text| format!(": {text}"));
    (!with_goal.is_empty()).then(|| {
        format!(
            "Of {} that have a goal, {met} reached it{missed}.",
            counted(with_goal.len(), "model")
        )
    })
}

/// Whether chance can explain a difference, in words.
fn certainty(test: Option<Difference>, over: IntervalOver) -> String {
    let Some(test) = test else { return "not tested for chance".into() };
    let verdict = if test.is_significant() { "more than chance" } else { "not more than chance" };
    let basis = if over == IntervalOver::Seeds { "seed" } else { "test image" };
    format!("{verdict}, {} paired by {basis}", p_value(test))
}

fn price(summary: &Summary) -> Option<String> {
    about_all(summary, "What precision costs: ", |dataset, models| {
        let (control, lowest) = ends(models)?;
        let difference = 100.0 * (lowest.accuracy.mean - control.accuracy.mean);
        let certainty = certainty(lowest.accuracy_difference, lowest.interval_over);
        let cheaper = control.cost.bit_operations as f64 / lowest.cost.bit_operations.max(1) as f64;
        let alone = match (control.variant.stage, control.accuracy_difference) {
            (Stage::FloatContinued, Some(own)) => {
                format!(
                    "; the further steps alone change float's by {} points ({})",
                    plus_minus(100.0 * own.mean.mean, 2),
                    self::certainty(control.accuracy_difference, control.interval_over)
                )
            }
            _ => String::new(),
        };
        Some(format!(
            "on {dataset} the accuracy of {} differs from that of {} by {} points ({certainty}), \
             for 1/{cheaper:.0} of the bit operations{alone}",
            lowest.variant.label(),
            control.variant.label(),
            plus_minus(difference, 2)
        ))
    })
}

/// The paper's premise, for the float model and the model of lowest precision.
fn guidance(summary: &Summary) -> Option<String> {
    let start =
        "Does Saliency Guided Training change anything, against plain training of as many steps? ";
    about_all(summary, start, |dataset, models| {
        let lowest = ends(models).map(|(_, lowest)| lowest);
        let shown = models
            .iter()
            .copied()
            .filter(|model| model.variant.stage == Stage::Float)
            .chain(lowest);
        let parts = shown.filter_map(|model| {
            let own = summary
                .trainings
                .iter()
                .find(|own| own.dataset == dataset && own.model == model.variant.label())?;
            let accuracy = own.accuracy?;
            let over =
                if own.seeds.len() > 1 { IntervalOver::Seeds } else { IntervalOver::TestImages };
            let maps = own.methods.get(&summary.main_method).map_or(Vec::new(), |map| {
                let changes = [
                    direction(map.faithfulness, "more faithful", "less faithful"),
                    direction(map.gini, "sparser", "more spread out"),
                    direction(map.sensitivity, "less stable", "more stable"),
                ];
                changes.into_iter().flatten().collect()
            });
            let maps = if maps.is_empty() {
                String::new()
            } else {
                format!(", and its {} maps are {}", summary.main_method, maps.join(", "))
            };
            Some(format!(
                "on {dataset} the accuracy of {} is {} points from that without it ({}){maps}",
                own.model,
                plus_minus(100.0 * accuracy.mean.mean, 2),
                certainty(own.accuracy, over)
            ))
        });
        joined(parts.collect())
    })
}

fn direction(difference: Option<Difference>, more: &str, less: &str) -> Option<String> {
    let difference = difference?;
    let size = format!("({}, {})", plus_minus(difference.mean.mean, 3), p_value(difference));
    Some(match (difference.is_significant(), difference.mean.mean > 0.0) {
        (true, true) => format!("{more} {size}"),
        (true, false) => format!("{less} {size}"),
        (false, _) => format!("neither measurably {more} nor {less} {size}"),
    })
}

/// "Does the reduction in precision compromise the quality and reliability of saliency maps?"
fn alignment(summary: &Summary) -> Option<String> {
    about_all(
        summary,
        "Does reduced precision compromise saliency maps? Measured: ",
        |dataset, models| {
            let (control, _, lowest, map) = ends_by_method(summary, models)?;
            if !(map.spearman.mean.is_finite() && map.overlap.mean.is_finite()) {
                return None;
            }
            let changes: Vec<String> = [
                direction(map.gini_difference, "sparser", "more spread out"),
                direction(map.sensitivity_difference, "less stable", "more stable"),
            ]
            .into_iter()
            .flatten()
            .collect();
            let changes = if changes.is_empty() {
                String::new()
            } else {
                format!(", and are {}", changes.join(" and "))
            };
            Some(format!(
                "on {dataset} the {} maps of {} have a rank correlation of {:.2} and a top-10 % \
                 overlap of {:.2} with those of {}{changes}",
                summary.main_method,
                lowest.variant.label(),
                map.spearman.mean,
                map.overlap.mean,
                control.variant.label()
            ))
        },
    )
}

/// "Can quantized models still provide meaningful insights into their decision-making processes?"
fn faithfulness(summary: &Summary) -> Option<String> {
    about_all(
        summary,
        "Do quantized models still show in their maps which pixels they use? ",
        |dataset, models| {
            let (control, control_map, lowest, map) = ends_by_method(summary, models)?;
            // The sentence has the interval of the chart, so that a quantity has only one interval.
            let Interval { mean: own, low, high } = map.below_random;
            if !own.is_finite() {
                return None;
            }
            let verdict = match () {
                () if low > 0.0 => "yes",
                () if high < 0.0 => "no",
                () => "undecided",
            };
            let points = |value: f64| plus_minus(-100.0 * value, 1);
            let range = if low.is_finite() {
                format!(", 95 % {} to {}", points(high), points(low))
            } else {
                ", no interval".to_string()
            };
            Some(format!(
                "{verdict} on {dataset}: without the features that the {} maps of {} rank highest, \
                 its accuracy is {:.1} %, without as many random ones {:.1} %, means over the \
                 curves (difference {} points{range}; {} {})",
                summary.main_method,
                lowest.variant.label(),
                100.0 * map.drop_area.mean,
                100.0 * lowest.random_area,
                points(own),
                control.variant.label(),
                points(control_map.below_random.mean)
            ))
        },
    )
}

/// The text of section IV-C says that more quantization causes a larger drop; the caption of Fig. 3
/// says that less quantization does.
fn contradiction(summary: &Summary) -> Option<String> {
    let start = "Does accuracy drop more with more quantization when salient features are removed, \
                 as the paper's text says, or less, as the caption of its Fig. 3 does? ";
    about_all(summary, start, |dataset, models| {
        let (control, _, lowest, _) = ends_by_method(summary, models)?;
        let mean = |model: &ModelSummary, value: fn(&MethodSummary) -> f64| {
            model.methods.values().map(value).sum::<f64>() / model.methods.len() as f64
        };
        let drop = |model| 100.0 * mean(model, |map| map.mean_drop.mean);
        let area = |model| mean(model, |map| map.drop_area.mean);
        let margin = 100.0 * margin_of_areas(area(control), area(lowest), summary.drop_images);
        let difference = drop(lowest) - drop(control);
        if !difference.is_finite() {
            return None;
        }
        let verdict = match difference {
            difference if difference > margin => "more",
            difference if difference < -margin => "less",
            _ => "neither measurably",
        };
        let methods = lowest.methods.len();
        let curves = if methods == 1 {
            format!("the curve of {}", summary.main_method)
        } else {
            format!("the curves of {methods} methods")
        };
        Some(format!(
            "{verdict} on {dataset}, where {} loses {:.1} points and {} {:.1} on average over \
             {curves} (margin {margin:.1})",
            lowest.variant.label(),
            drop(lowest),
            control.variant.label(),
            drop(control)
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::{
        plan::{Plan, PlannedRun, Variant},
        preset::Preset,
        result::{Collected, MethodResult, ModelCost, ModelResult},
        work::Work,
    };

    /// A result whose accuracy-drop curve falls from `accuracy` to `end` for gradient maps and to
    /// 0.8 for random order.
    fn result(bits: &str, accuracy: f64, end: f64, spearman: f64) -> ModelResult {
        let stage = if bits == "32" { Stage::Float } else { Stage::QuantizationAware };
        let drop = vec![(0.0, accuracy), (0.9, end)];
        let map = MethodResult {
            drop_area: (accuracy + end) / 2.0,
            drop,
            spearman: vec![spearman],
            overlap: vec![spearman],
            ..Default::default()
        };
        let operations = if bits == "32" { 3200 } else { 100 };
        ModelResult {
            variant: Variant { dataset: "mnist".into(), sgt: true, stage, bits: bits.into() },
            seed: 0,
            folder: bits.into(),
            version: String::new(),
            adapter: String::new(),
            accuracy,
            correct: (0..1000)
                .map(|image| if f64::from(image) < 1000.0 * accuracy { '1' } else { '0' })
                .collect(),
            loss: f64::INFINITY,
            images: 1000,
            alpha: [].into(),
            kl: Vec::new(),
            quantizers: Vec::new(),
            cost: ModelCost {
                macs: 1,
                bit_operations: operations,
                weighted_operations: 1,
                paper_operations: None,
                weight_bytes: 1,
            },
            methods: [("gradient".to_string(), map)].into(),
            random_drop: vec![(0.0, accuracy), (0.9, 0.8)],
            random_areas: Vec::new(),
            random_retrained: Vec::new(),
        }
    }

    fn summary(preset: Preset, results: Vec<ModelResult>) -> Summary {
        summary_of(preset, results, "")
    }

    fn summary_of(preset: Preset, results: Vec<ModelResult>, settings: &str) -> Summary {
        let runs: Vec<PlannedRun> = results
            .iter()
            .enumerate()
            .map(|(index, result)| PlannedRun {
                variant: result.variant.clone(),
                seed: result.seed,
                folder: result.folder.clone(),
                start: None,
                // In the order of a plan: float, float continued, quantized.
                control: index.checked_sub(1),
                work: Work { steps: 5, ..Work::default() },
                chain: 0,
                settings: settings.into(),
            })
            .collect();
        let plan = Plan {
            preset,
            judgement: preset.judgement(&["gradient"]),
            class_names: [].into(),
            runs,
        };
        stated(Summary::new(&plan, &Collected { results, missing: Vec::new(), dates: Vec::new() }))
    }

    #[test]
    fn one_model_has_little_to_say() {
        let summary = summary(Preset::Quick, vec![result("32", 0.9, 0.1, f64::NAN)]);
        assert!(
            summary.scope.starts_with("Made: 1 of 1 model (preset quick), one seed each"),
            "{}",
            summary.scope
        );
        assert_eq!(
            summary.findings,
            ["Test accuracy: on mnist, with Saliency Guided Training, float 90.00 % [paper: \
                 99.46 %]."]
        );
    }

    #[test]
    fn goals_are_those_of_the_preset() {
        let results = || vec![result("32", 0.994, 0.1, f64::NAN), result("2,2", 0.993, 0.1, 0.5)];
        let sentence = |preset| {
            summary(preset, results())
                .findings
                .into_iter()
                .find(|sentence| sentence.contains("goal"))
        };
        assert_eq!(
            sentence(Preset::Best).unwrap(),
            "Of 2 models that have a goal, 1 reached it: float on mnist reached 99.40 % of 99.50 %."
        );
        assert_eq!(sentence(Preset::Paper), None);
    }

    #[test]
    fn verdicts_follow_the_numbers() {
        let about = |start: &str, quantized: ModelResult| {
            let summary = summary(Preset::Paper, vec![result("32", 0.9, 0.5, f64::NAN), quantized]);
            summary.findings.into_iter().find(|sentence| sentence.starts_with(start))
        };
        for (end, verdict) in
            [(0.3, "More on mnist"), (0.5, "Neither measurably on mnist"), (0.7, "Less on mnist")]
        {
            let sentence = about("Does accuracy drop", result("2,2", 0.9, end, 0.5)).unwrap();
            assert!(sentence.contains(verdict), "{sentence}");
        }
        for (end, verdict) in
            [(0.3, "Yes on mnist"), (0.8, "Undecided on mnist"), (1.0, "No on mnist")]
        {
            let sentence = about("Do quantized", result("2,2", 0.9, end, 0.5)).unwrap();
            assert!(sentence.contains(verdict), "{sentence}");
        }
        // The sentence shows the interval of the chart.
        let sentence = about("Do quantized", result("2,2", 0.9, 0.3, 0.5)).unwrap();
        let made = summary(
            Preset::Paper,
            vec![result("32", 0.9, 0.5, f64::NAN), result("2,2", 0.9, 0.3, 0.5)],
        );
        let Interval { low, high, .. } = made.models[1].methods["gradient"].below_random;
        let range = format!(
            "−25.0 points, 95 % {} to {};",
            plus_minus(-100.0 * high, 1),
            plus_minus(-100.0 * low, 1)
        );
        assert!(sentence.contains(&range), "{sentence} {range}");
        // Without values there is no sentence.
        assert_eq!(about("Does reduced", result("2,2", 0.9, 0.5, f64::NAN)), None);
        let price =
            |accuracy| about("What precision costs", result("2,2", accuracy, 0.5, 0.5)).unwrap();
        assert!(
            price(0.9).contains(
                "±0.00 points (not more than chance, p = 1.00 paired by test image), for 1/32"
            ),
            "{}",
            price(0.9)
        );
        assert!(
            price(0.8).contains("−10.00 points (more than chance, p < 0.001"),
            "{}",
            price(0.8)
        );
    }

    /// Further float training gains as much accuracy as training with quantization, so the text
    /// must not attribute a gain to the bits.
    #[test]
    fn quantization_is_not_credited_with_training() {
        let mut control = result("32", 0.95, 0.5, 0.9);
        control.variant.stage = Stage::FloatContinued;
        let made = vec![result("32", 0.85, 0.5, f64::NAN), control, result("2,2", 0.95, 0.5, 0.5)];
        let summary = summary(Preset::Quick, made);
        let price = summary
            .findings
            .iter()
            .find(|sentence| sentence.starts_with("What precision costs"))
            .unwrap();
        assert!(
            price.contains(
                "differs from that of float continued by ±0.00 points (not more than chance, p \
                 = 1.00"
            ),
            "{price}"
        );
        assert!(
            price.contains("the further steps alone change float's by +10.00 points"),
            "{price}"
        );
        assert!(
            summary.scope.contains("as many further steps with the same settings"),
            "{}",
            summary.scope
        );
        let quantized = &summary.models[2];
        assert_eq!(
            (quantized.compared_with.as_deref(), quantized.accuracy_difference.unwrap().p),
            (Some("float continued"), 1.0)
        );
    }

    /// 100 of 1000 answers are right only with Saliency Guided Training, and 13 tests are made.
    #[test]
    fn guidance_is_tested_against_plain_training() {
        let plain = |mut result: ModelResult| {
            result.variant.sgt = false;
            result
        };
        let guided = |accuracy: f64| {
            let made = vec![
                result("32", accuracy, 0.5, f64::NAN),
                plain(result("32", 0.8, 0.5, f64::NAN)),
            ];
            let summary = summary(Preset::Quick, made);
            let of = |sentence: &&String| sentence.starts_with("Does Saliency Guided Training");
            (summary.findings.iter().find(of).unwrap().clone(), summary)
        };
        let (sentence, summary) = guided(0.9);
        assert!(
            sentence.contains(
                "float is +10.00 points from that without it (more than chance, p < 0.001"
            ),
            "{sentence}"
        );
        let own = &summary.trainings[0];
        assert_eq!((own.seeds.as_slice(), own.model.as_str()), (&[0][..], "float"));
        let (sentence, summary) = guided(0.802);
        assert!(
            sentence.contains("+0.20 points from that without it (not more than chance, p = 0.50"),
            "{sentence}"
        );
        assert!(
            summary
                .families
                .iter()
                .any(|family| family.question.starts_with("Saliency Guided") && family.tests == 1)
        );
    }

    /// With λ = 0 the saliency term has no effect, and the text must not attribute one to it.
    #[test]
    fn guidance_of_no_weight_is_not_credited() {
        let mut plain = result("32", 0.8, 0.5, f64::NAN);
        plain.variant.sgt = false;
        let results = vec![result("32", 0.9, 0.5, f64::NAN), plain];
        for (settings, is_compared) in [("lambda = 0.0\n", false), ("lambda = 1.0\n", true)] {
            let made = summary_of(Preset::Quick, results.clone(), settings);
            let says =
                |start: &str| made.findings.iter().any(|sentence| sentence.starts_with(start));
            assert_eq!(says("Does Saliency Guided"), is_compared, "{:?}", made.findings);
            assert_eq!(made.models[0].paper_accuracy.is_some(), is_compared);
            assert_eq!(made.scope.contains("λ is 0"), !is_compared, "{}", made.scope);
        }
    }

    #[test]
    fn small_words() {
        assert_eq!(
            [-0.004, 0.004, 1.25, -1.25].map(|value| plus_minus(value, 2)),
            ["±0.00", "±0.00", "+1.25", "−1.25"]
        );
        assert_eq!([0, 1, 2].map(|count| counted(count, "seed")), ["0 seeds", "1 seed", "2 seeds"]);
        let p =
            |adjusted_p| p_value(Difference { mean: Interval::unknown(0.0), p: 0.0, adjusted_p });
        assert_eq!(
            [0.0005, 0.0015, 0.034, 1.0].map(p),
            ["p < 0.001", "p = 0.002", "p = 0.03", "p = 1.00"]
        );
    }
}
