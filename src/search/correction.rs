//! Corrects the predicted damages of slots by what assignments did together when measured.
//!
//! The damage of an assignment is modelled as Σ b·dₛ + εₛ over its slots: dₛ is the predicted
//! damage of a slot alone, b a common scale by least squares, and εₛ a normal deviation whose
//! standard deviation is the prediction b·dₛ itself. A measurement has noise, the chance of which
//! images it saw. The correction is the mean of εₛ given the measurements (ridge regression).

use super::slots::Assignment;

/// Standard deviation of the noise of a measured damage: about that of the difference of two
/// accuracies on 512 images.
const NOISE: f64 = 0.01;
/// Least standard deviation of εₛ.
const LEAST: f64 = 1e-4;

/// `damages` corrected by assignments with their measured damages, in the units of these.
pub(super) fn corrected(damages: &[Vec<f64>], measured: &[(&Assignment, f64)]) -> Vec<Vec<f64>> {
    let sum = |assignment: &Assignment, of: &dyn Fn(usize, usize) -> f64| -> f64 {
        assignment.iter().enumerate().map(|(slot, &width)| of(slot, width)).sum()
    };
    let predicted: Vec<f64> = measured
        .iter()
        .map(|(assignment, _)| sum(assignment, &|slot, width| damages[slot][width]))
        .collect();
    let products = predicted.iter().zip(measured).map(|(own, (_, damage))| own * damage);
    let squares = predicted.iter().map(|own| own * own).sum::<f64>();
    // Damages below 0 are noise; the order of predictions holds until there is more.
    let scale = (products.sum::<f64>() / squares.max(1e-12)).max(1e-3);
    let variance = |slot: usize, width: usize| (scale * damages[slot][width].abs() + LEAST).powi(2);
    let rows: Vec<Vec<f64>> = measured
        .iter()
        .enumerate()
        .map(|(row, (one, _))| {
            let mut values: Vec<f64> = measured[..=row]
                .iter()
                .map(|(other, _)| {
                    let shared = |slot: usize, width: usize| match other[slot] == width {
                        true => variance(slot, width),
                        false => 0.0,
                    };
                    sum(one, &shared)
                })
                .collect();
            values[row] += NOISE * NOISE;
            values
        })
        .collect();
    let rest = predicted.iter().zip(measured).map(|(own, (_, damage))| damage - scale * own);
    let weights = solved(rows, rest.collect());
    let deviation = |slot: usize, width: usize| {
        let own = measured.iter().zip(&weights).filter(|((one, _), _)| one[slot] == width);
        variance(slot, width) * own.map(|(_, weight)| weight).sum::<f64>()
    };
    let of_slot = |(slot, own): (usize, &Vec<f64>)| {
        own.iter()
            .enumerate()
            .map(|(width, damage)| scale * damage + deviation(slot, width))
            .collect()
    };
    damages.iter().enumerate().map(of_slot).collect()
}

/// The solution of a system with a symmetric positive definite matrix, by Cholesky's method; `rows`
/// are those of its lower triangle.
fn solved(mut rows: Vec<Vec<f64>>, mut values: Vec<f64>) -> Vec<f64> {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    for row in 0..rows.len() {
        for column in 0..=row {
            let known = dot(&rows[row][..column], &rows[column][..column]);
            let value = rows[row][column] - known;
            rows[row][column] =
                if column == row { value.max(1e-12).sqrt() } else { value / rows[column][column] };
        }
        let known = dot(&rows[row][..row], &values[..row]);
        values[row] = (values[row] - known) / rows[row][row];
    }
    for row in (0..rows.len()).rev() {
        let known: f64 = (row + 1..rows.len()).map(|other| rows[other][row] * values[other]).sum();
        values[row] = (values[row] - known) / rows[row][row];
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_is_solved() {
        let rows = vec![vec![4.0], vec![2.0, 5.0], vec![1.0, 3.0, 6.0]];
        let found = solved(rows, vec![11.0, 21.0, 25.0]);
        for (own, expected) in found.iter().zip([1.0, 2.0, 3.0]) {
            assert!((own - expected).abs() < 1e-12, "{found:?}");
        }
    }

    #[test]
    fn measurements_move_the_damages_of_their_widths() {
        let damages = vec![vec![1.0, 0.5, 0.0], vec![1.0, 0.5, 0.0]];
        // Nothing measured, or what was predicted: the order is that of the predictions.
        let same = corrected(&damages, &[]);
        assert!(same[0][0] > same[0][1] && same[0][1] > same[0][2]);
        let own = [vec![0, 2], vec![1, 2]];
        let found = corrected(&damages, &[(&own[0], 0.2), (&own[1], 0.1)]);
        for (slot, own) in found.iter().enumerate() {
            for (width, own) in own.iter().enumerate() {
                assert!((own - 0.2 * damages[slot][width]).abs() < 1e-9, "{found:?}");
            }
        }
        // The first slot does more than was predicted; the second one keeps its prediction.
        let own = [vec![0, 2], vec![2, 0], vec![1, 2]];
        let found = corrected(&damages, &[(&own[0], 0.4), (&own[1], 0.2), (&own[2], 0.2)]);
        assert!(found[0][0] > 0.38 && found[1][0] < 0.22, "{found:?}");
    }
}
