//! Assignments that ask no sensitivity.

use super::{costs::Costs, slots::Assignment};
use crate::random;

/// The largest width that all slots can have within `limit`.
pub fn uniform(costs: &Costs, limit: u64) -> Option<Assignment> {
    let all = (0..costs.widths).rev().map(|width| vec![width; costs.slots]);
    all.into_iter().find(|assignment| costs.of(assignment) <= limit)
}

/// A random assignment that fills the budget: from the lowest widths, random slots get the next
/// width until none can.
pub fn random_assignment(costs: &Costs, limit: u64, seed: u64, number: u32) -> Option<Assignment> {
    let mut assignment = vec![0; costs.slots];
    if costs.of(&assignment) > limit {
        return None;
    }
    let key = random::random_key(seed, number, random::SEARCH);
    for draw in 0u32.. {
        let raised = |slot: usize| {
            let mut other = assignment.clone();
            other[slot] += 1;
            (other[slot] < costs.widths && costs.of(&other) <= limit).then_some(other)
        };
        let possible: Vec<Assignment> = (0..costs.slots).filter_map(raised).collect();
        if possible.is_empty() {
            break;
        }
        let [word, ..] = random::random_bits(key, draw, 0, 0);
        let place = (u64::from(word) * possible.len() as u64) >> 32;
        assignment = possible[place as usize].clone();
    }
    Some(assignment)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::costs::{Term, Unit};

    #[test]
    fn baselines_fill_the_budget() {
        let table = |slot: u64| vec![slot, 3 * slot, 5 * slot];
        let terms = (0..4).map(|slot| Term { slots: vec![slot], table: table(slot as u64 + 1) });
        let costs = Costs { unit: Unit::Bytes, slots: 4, widths: 3, terms: terms.collect() };
        assert_eq!(uniform(&costs, 9), None);
        assert_eq!(uniform(&costs, 10), Some(vec![0; 4]));
        assert_eq!(uniform(&costs, 49), Some(vec![1; 4]));
        assert_eq!(random_assignment(&costs, 9, 0, 0), None);
        let all: Vec<_> =
            (0..20).map(|number| random_assignment(&costs, 33, 5, number).unwrap()).collect();
        for assignment in &all {
            let cost = costs.of(assignment);
            // The cheapest raise costs 2.
            assert!(cost <= 33 && (cost > 31 || assignment[0] == 2), "{assignment:?}");
        }
        assert!(all.iter().any(|one| *one != all[0]));
        assert_eq!(random_assignment(&costs, 33, 5, 3).as_ref(), Some(&all[3]));
    }
}
