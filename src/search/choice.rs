//! The choice at one budget: candidates of the predicted fronts are measured, and the best one is
//! improved by exchanges of widths.

use std::collections::HashSet;

use super::{
    costs::Costs, oracle::Oracle, probe::Measured, settings::Objective, slots::Assignment,
    solver::Front,
};
use crate::Result;

/// Points of each front that become candidates: the best one at the budget and those right below.
const OF_FRONT: usize = 2;

/// A measured assignment.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// Its widths.
    pub assignment: Assignment,
    /// What was measured.
    pub measured: Measured,
    /// Candidates that were measured for it.
    pub tried: usize,
}

/// The best of at most `most` measured assignments that cost at most `limit`; `None` if there is
/// none. `fronts` are those of [`Objective::shares`], and `damages` those of the main one.
///
/// # Errors
/// Errors of the oracle.
pub fn choose(
    costs: &Costs,
    (fronts, damages): (&[Front], &[Vec<f64>]),
    limit: u64,
    most: usize,
    objective: Objective,
    oracle: &mut dyn Oracle,
) -> Result<Option<Choice>> {
    let mut seen: HashSet<Assignment> = HashSet::new();
    let mut best: Option<Choice> = None;
    let mut attempt = |assignment: &[usize], best: &mut Option<Choice>| -> Result<bool> {
        if seen.len() >= most.max(1) || !seen.insert(assignment.to_vec()) {
            return Ok(false);
        }
        let measured = oracle.measure(assignment)?;
        let score = objective.score(&measured);
        let is_better = best.as_ref().is_none_or(|best| score > objective.score(&best.measured));
        if is_better {
            *best = Some(Choice { assignment: assignment.to_vec(), measured, tried: 0 });
        }
        Ok(is_better)
    };
    for rank in 0..OF_FRONT {
        for front in fronts {
            if let Some(point) = front.within(limit).nth(rank) {
                attempt(&point.assignment, &mut best)?;
            }
        }
    }
    while let Some(Choice { assignment, .. }) = &best {
        let mut found = false;
        for other in exchanges(costs, damages, assignment, limit) {
            if attempt(&other, &mut best)? {
                found = true;
                break;
            }
        }
        if !found {
            break;
        }
    }
    let tried = seen.len();
    Ok(best.map(|best| Choice { tried, ..best }))
}

/// `assignment` with one slot at another width, or with one slot lower and another one higher,
/// within `limit`, the least predicted damage first.
fn exchanges(
    costs: &Costs,
    damages: &[Vec<f64>],
    assignment: &[usize],
    limit: u64,
) -> Vec<Assignment> {
    let mut found: Vec<Assignment> = Vec::new();
    for slot in 0..assignment.len() {
        for width in (0..costs.widths).filter(|&width| width != assignment[slot]) {
            let mut other = assignment.to_vec();
            other[slot] = width;
            if width < assignment[slot] {
                for raised in (0..assignment.len()).filter(|&raised| raised != slot) {
                    for higher in assignment[raised] + 1..costs.widths {
                        let mut pair = other.clone();
                        pair[raised] = higher;
                        found.push(pair);
                    }
                }
            }
            found.push(other);
        }
    }
    found.retain(|other| costs.of(other) <= limit);
    let damage = |assignment: &Assignment| {
        assignment.iter().zip(damages).map(|(&width, own)| own[width]).sum::<f64>()
    };
    found.sort_by(|a, b| damage(a).total_cmp(&damage(b)));
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::{
        costs::{Term, Unit},
        solver::solve,
    };

    /// Accuracy falls with a damage that slots do together, which no sum predicts.
    struct Together(Vec<Assignment>);

    impl Oracle for Together {
        fn measure(&mut self, assignment: &[usize]) -> Result<Measured> {
            self.0.push(assignment.to_vec());
            let lowest = assignment.iter().min().copied().unwrap_or_default();
            let sum: usize = assignment.iter().sum();
            let accuracy = 0.3 * lowest as f64 + 0.01 * sum as f64;
            Ok(Measured { accuracy, ..Measured::default() })
        }
    }

    #[test]
    fn exchanges_find_what_sums_do_not_predict() {
        let terms = (0..3).map(|slot| Term { slots: vec![slot], table: vec![1, 2, 3] }).collect();
        let costs = Costs { unit: Unit::Bytes, slots: 3, widths: 3, terms };
        let damages = vec![vec![5.0, 4.0, 0.0], vec![5.0, 4.0, 0.0], vec![0.2, 0.1, 0.0]];
        let fronts = [solve(&costs, &damages)];
        let find = |limit, most, oracle: &mut Together| {
            let objective = Objective::Accuracy;
            choose(&costs, (&fronts, &damages), limit, most, objective, oracle).unwrap()
        };
        // Predicted: one slot as high as possible. Together all three in the middle are better.
        assert_eq!(fronts[0].within(6).next().unwrap().damage, 4.2);
        let mut oracle = Together(Vec::new());
        let best = find(6, 30, &mut oracle).unwrap();
        assert_eq!(best.assignment, [1, 1, 1]);
        assert_eq!(best.tried, oracle.0.len());
        let mut oracle = Together(Vec::new());
        let first = find(6, 1, &mut oracle).unwrap();
        assert_eq!((first.tried, oracle.0.len()), (1, 1));
        assert_eq!(find(2, 30, &mut Together(Vec::new())), None);
    }
}
