//! The paper's closing question, answered in sentences that follow from the numbers of a search.

use super::{
    costs::Unit,
    frontier::{Point, Rule},
    probe::Measured,
};

/// What a rule is called in a sentence.
fn called(rule: Rule) -> &'static str {
    match rule {
        Rule::Search => "the search",
        Rule::Uniform => "uniform bits",
        Rule::Loss => "the loss's sensitivity alone",
        Rule::Fisher => "squared gradients (Fisher)",
        Rule::Random => "random bits",
    }
}

/// Rank correlation and accuracy in words.
fn figures(own: &Measured) -> String {
    format!("{:.3} at {:.1} % accuracy", own.alignment, 100.0 * own.accuracy)
}

/// Sentences about the `points` of a frontier, the first of which is the chosen one. `float` is
/// what the float network achieves on the same images, `trained` the chosen bits after training.
pub fn answer(points: &[Point], float: &Measured, trained: Option<&Measured>) -> Vec<String> {
    let Some(chosen) = points.first() else { return Vec::new() };
    let is_peer = |point: &&Point| (point.unit, point.limit) == (chosen.unit, chosen.limit);
    let of = |rule: Rule| points.iter().filter(is_peer).filter(move |point| point.rule == rule);
    let others = [Rule::Uniform, Rule::Loss, Rule::Fisher, Rule::Random].into_iter();
    let others: Vec<String> = others
        .filter(|&rule| of(rule).next().is_some())
        .map(|rule| {
            let mean = Measured::mean(of(rule).map(|own| &own.measured));
            format!("{} {}", called(rule), figures(&mean))
        })
        .collect();
    let mut sentences = vec![format!(
        "Can bits be chosen so that quantization does not spoil the maps? Without training, and \
         within {} {}, {} keeps a rank correlation of {} with the float network's maps, which has \
         {:.1} %; {}.",
        chosen.limit,
        chosen.unit.name(),
        called(Rule::Search),
        figures(&chosen.measured),
        100.0 * float.accuracy,
        others.join(", ")
    )];
    if let Some(uniform) = of(Rule::Uniform).next() {
        let (own, other) = (chosen.measured.alignment, uniform.measured.alignment);
        sentences.push(if own > other && other < 1.0 {
            format!(
                "Here the choice of bits closes {:.0} % of the gap between uniform bits and the \
                 float network's own maps.",
                100.0 * (own - other) / (1.0 - other)
            )
        } else {
            "Here no choice that was found keeps the maps better than uniform bits.".into()
        });
    }
    let budgets: Vec<(Unit, u64)> = points
        .iter()
        .filter(|point| point.rule == Rule::Search)
        .map(|point| (point.unit, point.limit))
        .collect();
    let at = |budget: (Unit, u64), rule: Rule| {
        let own =
            points.iter().find(|own| (own.unit, own.limit, own.rule) == (budget.0, budget.1, rule));
        own.map(|own| own.measured.alignment)
    };
    let baselines = [Rule::Uniform, Rule::Loss, Rule::Fisher];
    let (mut better, mut worse) = (0, 0);
    for &budget in &budgets {
        let best = baselines.iter().filter_map(|&rule| at(budget, rule)).fold(f64::MIN, f64::max);
        match at(budget, Rule::Search) {
            Some(own) if own > best => better += 1,
            Some(own) if own < best => worse += 1,
            _ => {}
        }
    }
    sentences.push(format!(
        "Of {} budgets in both units, its maps are closer to the float network's than those of the \
         best of uniform, loss and Fisher in {better}, equal in {}, and further away in {worse}. \
         This is one run on one set of images, without an interval.",
        budgets.len(),
        budgets.len() - better - worse
    ));
    if let Some(trained) = trained {
        let change = trained.alignment - chosen.measured.alignment;
        sentences.push(format!(
            "Training with these bits and the float network as the teacher brings the rank \
             correlation to {} ({}{:.3}).",
            figures(trained),
            if change < 0.0 { '−' } else { '+' },
            change.abs()
        ));
    }
    sentences
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(rule: Rule, limit: u64, alignment: f64) -> Point {
        let measured = Measured { accuracy: 0.9, alignment, ..Measured::default() };
        let (bits, assignment) = (Vec::new(), Vec::new());
        Point { rule, unit: Unit::Bytes, limit, bits, bit_ops: 1, bytes: 1, measured, assignment }
    }

    #[test]
    fn sentences_follow_from_the_numbers() {
        let float = Measured { accuracy: 0.95, alignment: 1.0, ..Measured::default() };
        let points = [
            point(Rule::Search, 100, 0.8),
            point(Rule::Uniform, 100, 0.6),
            point(Rule::Loss, 100, 0.7),
            point(Rule::Random, 100, 0.2),
            point(Rule::Random, 100, 0.4),
            point(Rule::Search, 50, 0.5),
            point(Rule::Fisher, 50, 0.55),
            point(Rule::Search, 40, 0.5),
            point(Rule::Loss, 40, 0.5),
        ];
        let said = answer(&points, &float, Some(&points[2].measured)).join(" ");
        for part in [
            "within 100 bytes, the search keeps a rank correlation of 0.800 at 90.0 % accuracy",
            "which has 95.0 %; uniform bits 0.600",
            "random bits 0.300",
            "closes 50 % of the gap",
            "Of 3 budgets in both units",
            "in 1, equal in 1, and further away in 1",
            "to 0.700 at 90.0 % accuracy (−0.100)",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
        let null = answer(&[points[5].clone(), point(Rule::Uniform, 50, 0.9)], &float, None);
        assert!(null[1].starts_with("Here no choice that was found"), "{null:?}");
        assert!(answer(&[], &float, None).is_empty());
    }
}
