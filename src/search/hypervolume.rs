//! The volume that a set of results dominates: one number for a frontier of several objectives.

/// What an assignment achieves at what cost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// Its cost, above 0.
    pub cost: f64,
    /// Share of images classified correctly.
    pub accuracy: f64,
    /// Correlation of maps with the float network's.
    pub alignment: f64,
}

/// The part of the box of costs from `least` to `most` (in logarithms), accuracies from 0 to 1 and
/// correlations from 0 to 1 that `outcomes` dominate: a share, 0 to 1.
pub fn hypervolume(outcomes: &[Outcome], (least, most): (f64, f64)) -> f64 {
    let width = (most / least).ln();
    if !(width > 0.0 && width.is_finite()) {
        return 0.0;
    }
    let place = |cost: f64| ((cost / least).ln() / width).max(0.0);
    let mut sorted: Vec<_> = outcomes
        .iter()
        .filter(|one| place(one.cost) < 1.0)
        .map(|one| (place(one.cost), one.accuracy.clamp(0.0, 1.0), one.alignment.clamp(0.0, 1.0)))
        .collect();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    (0..sorted.len())
        .map(|at| {
            let end = sorted.get(at + 1).map_or(1.0, |next| next.0);
            (end - sorted[at].0) * area(&sorted[..=at])
        })
        .sum()
}

/// The area that rectangles from the origin cover.
fn area(corners: &[(f64, f64, f64)]) -> f64 {
    let mut corners: Vec<(f64, f64)> = corners.iter().map(|&(_, x, y)| (x, y)).collect();
    corners.sort_by(|a, b| b.0.total_cmp(&a.0));
    let (mut total, mut top) = (0.0, 0.0);
    for (x, y) in corners {
        total += x * f64::max(y - top, 0.0);
        top = f64::max(top, y);
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_are_those_of_boxes() {
        let at = |cost: f64, accuracy, alignment| Outcome { cost, accuracy, alignment };
        let of = |outcomes: &[Outcome]| hypervolume(outcomes, (1.0, 100.0));
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} {b}");
        close(of(&[]), 0.0);
        close(of(&[at(1.0, 1.0, 1.0)]), 1.0);
        close(of(&[at(10.0, 0.8, 0.5)]), 0.5 * 0.4);
        // A dominated point changes nothing; two that are not add their union.
        close(of(&[at(10.0, 0.8, 0.5), at(20.0, 0.7, 0.4)]), 0.2);
        close(of(&[at(1.0, 0.8, 0.5), at(1.0, 0.4, 1.0)]), 0.4 + 0.4 * 0.5);
        close(of(&[at(1.0, 0.5, 0.5), at(10.0, 1.0, 1.0)]), 0.5 * 0.25 + 0.5);
        close(of(&[at(100.0, 1.0, 1.0), at(1.0, -1.0, f64::NAN)]), 0.0);
        close(hypervolume(&[at(1.0, 1.0, 1.0)], (1.0, 1.0)), 0.0);
    }
}
