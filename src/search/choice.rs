//! The choice at one budget. Damages of slots do not add up exactly: what is measured corrects the
//! prediction, and the assignment with the least predicted damage is measured next.

use std::collections::BTreeMap;

use super::{
    correction::corrected,
    costs::Costs,
    oracle::Oracle,
    probe::Measured,
    settings::Objective,
    slots::Assignment,
    solver::{Front, solve},
};
use crate::Result;

/// Most measurements that correct a prediction, the best ones.
const MOST_MEASURED: usize = 256;

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

/// The best of all measured assignments that cost at most `limit`: of at most `most` that are
/// measured for it, and of those that `oracle` knows. `None` if there is none. `fronts` are those
/// of [`Objective::shares`], and `damages` those of the main one.
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
    let mut known: BTreeMap<Assignment, Measured> = oracle.known().into_iter().collect();
    let float = objective.score(&oracle.float());
    let mut first = fronts.iter().filter_map(|front| Some(&front.within(limit).next()?.assignment));
    let best = |known: &BTreeMap<Assignment, Measured>| {
        let own = known.iter().filter(|(assignment, _)| costs.of(assignment) <= limit);
        let own = own.max_by(|a, b| objective.score(a.1).total_cmp(&objective.score(b.1)));
        own.map(|(assignment, &measured)| (assignment.clone(), measured))
    };
    let mut tried = 0;
    while tried < most.max(1) {
        let next = match first.next() {
            Some(own) if known.contains_key(own) => continue,
            Some(own) => Some(own.clone()),
            None => {
                let damage = |own: &Measured| float - objective.score(own);
                let mut measured: Vec<_> =
                    known.iter().map(|(own, of)| (own, damage(of))).collect();
                measured.sort_by(|a, b| a.1.total_cmp(&b.1));
                measured.truncate(MOST_MEASURED);
                let damages = corrected(damages, &measured);
                let best = best(&known).map(|(assignment, _)| assignment);
                likely(costs, &damages, limit, best, |own| !known.contains_key(own))
            }
        };
        let Some(next) = next else { break };
        known.insert(next.clone(), oracle.measure(&next)?);
        tried += 1;
    }
    Ok(best(&known).map(|(assignment, measured)| Choice { assignment, measured, tried }))
}

/// The assignment of the least predicted damage that `is_new`, of those within `limit` on the front
/// of `damages`, and those that are exchanges away from its best one and from `best`.
fn likely(
    costs: &Costs,
    damages: &[Vec<f64>],
    limit: u64,
    best: Option<Assignment>,
    is_new: impl Fn(&Assignment) -> bool,
) -> Option<Assignment> {
    let front = solve(costs, damages);
    let mut all: Vec<Assignment> =
        front.within(limit).map(|point| point.assignment.clone()).collect();
    for own in all.first().cloned().into_iter().chain(best) {
        all.extend(exchanges(costs, &own, limit));
    }
    let damage = |assignment: &Assignment| {
        assignment.iter().zip(damages).map(|(&width, own)| own[width]).sum::<f64>()
    };
    all.into_iter().filter(is_new).min_by(|a, b| damage(a).total_cmp(&damage(b)))
}

/// `assignment` with one slot at another width, or with one slot lower and another one higher,
/// within `limit`.
fn exchanges(costs: &Costs, assignment: &[usize], limit: u64) -> Vec<Assignment> {
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

        fn float(&self) -> Measured {
            Measured { accuracy: 1.0, ..Measured::default() }
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
