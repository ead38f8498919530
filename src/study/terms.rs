//! Explanations of the terms of a report for a first-time reader: one sentence each, with range,
//! unit and the good direction.

use crate::judgement::Metric;

/// Terms with their explanations.
pub(super) type Terms = Vec<(String, String)>;

fn terms(pairs: &[(&str, &str)]) -> Terms {
    pairs.iter().map(|&(term, meaning)| (term.to_string(), meaning.to_string())).collect()
}

fn of_metrics(metrics: &[(&str, Metric)]) -> Terms {
    metrics
        .iter()
        .map(|(term, metric)| (term.to_string(), metric.explanation().to_string()))
        .collect()
}

/// Terms of the table of accuracies.
pub(super) fn accuracy() -> Terms {
    terms(&[
        (
            "Test accuracy",
            "the share of the test images that are classified correctly, 0 to 100 %; higher is \
             better",
        ),
        ("Points from …", "the difference of two accuracies in percentage points; 0: the same"),
        (
            "p",
            "the probability of a difference at least this large if there is no real difference, 0 \
             to 1; below 0.05 chance is an unlikely explanation",
        ),
        (
            "Loss",
            "the mean cross entropy of the test images in nats, from 0 up; lower is better; \
             ln(classes) is guessing (2.30 for 10 classes)",
        ),
    ])
}

/// Terms of the table of costs.
pub(super) fn cost() -> Terms {
    terms(&[
        ("Multiply-accumulates", "multiplications with an addition in a forward pass of one image"),
        (
            "Bit operations (BitOPs)",
            "each multiply-accumulate times the bits of its weight and of its input (32 for float, \
             8 for the image): a measure of the cost in hardware made for few bits; lower is \
             cheaper",
        ),
        (
            "FLOPs · bits/32",
            "the paper's measure: two operations per multiply-accumulate, those of quantized \
             convolutions times bits/32; lower is cheaper",
        ),
        ("Weights", "bytes of all weights, packed at their bits (1 kB = 1000 bytes)"),
    ])
}

/// Terms of the tables of clarity and stability.
pub(super) fn maps() -> Terms {
    let mut all = of_metrics(&[
        ("Gini", Metric::Gini),
        ("Entropy", Metric::Entropy),
        ("Max-sensitivity", Metric::MaxSensitivity),
    ]);
    all.extend(faithfulness());
    all
}

/// Terms of the removal of features.
pub(super) fn faithfulness() -> Terms {
    terms(&[(
        "Faithfulness",
        "the accuracy with pixels removed at random minus the accuracy with as many pixels removed \
         in the order of the map, in percentage points, averaged over the curve; higher is better, \
         0 is chance",
    )])
}

/// Terms of the tables of alignment.
pub(super) fn alignment() -> Terms {
    of_metrics(&[
        ("Spearman", Metric::Spearman),
        ("Structural similarity", Metric::Ssim),
        ("Top-10 % overlap", Metric::TopOverlap),
    ])
}

/// Terms of the table of areas under the accuracy curves.
pub(super) fn drop() -> Terms {
    terms(&[(
        "Mean accuracy over the curve",
        "the area under the curve of accuracies, 0 to 1, with 0 to 90 % of the pixels removed, the \
         most salient first; lower than \"random\", where the order is random, is better",
    )])
}

/// Terms of the tables of ROAR.
pub(super) fn retraining() -> Terms {
    terms(&[(
        "Accuracy after retraining",
        "the accuracy of a network that was trained and tested on images without the given share \
         of pixels, 0 to 100 %; if it is lower than with random pixels removed, other pixels \
         cannot replace those that the maps rank highest",
    )])
}

/// Terms of the table of the randomisation check.
pub(super) fn randomisation() -> Terms {
    terms(&[
        (
            "Rank correlation",
            "whether the maps before and after randomisation put the pixels in the same order of \
             |value|: 1 the same, 0 unrelated; nearer to 0 is better, because the map then depends \
             on the learned parameters",
        ),
        (
            "Zeros",
            "the share of the values of the trained model's maps that are exactly 0, 0 to 100 %",
        ),
    ])
}

/// The terms that occur in the sentences of `text`.
pub(super) fn of_text(text: &str) -> Terms {
    let known: [(&str, Terms); 9] = [
        ("accuracy", accuracy().into_iter().take(1).collect()),
        ("points", terms(&[("Points", "percentage points: the difference of two percentages")])),
        ("p ", accuracy().into_iter().skip(2).take(1).collect()),
        ("bit operations", cost().into_iter().skip(1).take(1).collect()),
        ("rank correlation", of_metrics(&[("Rank correlation", Metric::Spearman)])),
        ("top-10 % overlap", of_metrics(&[("Top-10 % overlap", Metric::TopOverlap)])),
        (
            "spread out",
            of_metrics(&[("Sparser, more spread out (Gini coefficient)", Metric::Gini)]),
        ),
        (
            "stable",
            of_metrics(&[("More or less stable (max-sensitivity)", Metric::MaxSensitivity)]),
        ),
        ("over the curves", drop()),
    ];
    known.into_iter().filter(|(word, _)| text.contains(word)).flat_map(|(_, terms)| terms).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_gets_the_terms_it_uses() {
        let names =
            |text: &str| of_text(text).into_iter().map(|(term, _)| term).collect::<Vec<_>>();
        assert_eq!(names("the accuracy differs (p < 0.001)"), ["Test accuracy", "p"]);
        assert_eq!(names("a rank correlation of 0.3"), ["Rank correlation"]);
        assert!(names("nothing").is_empty());
    }
}
