//! All assignments of least predicted damage, by exact dynamic programming.
//!
//! The damage is a sum over slots. The cost is a sum of terms of a few slots each: a layer's bit
//! operations are a product of its weights' bits and its input's. Slots are eliminated one after
//! the other (Bertelè and Brioschi, "Nonserial Dynamic Programming", 1972). What is left of an
//! eliminated slot is, for every combination of the slots that share a term with it, the list of
//! all pairs of cost and damage of which none is better than another in both. In the end one list
//! is left: the best assignment of every budget.
//!
//! Costs are integers and lists are exact as long as they have at most [`MOST_POINTS`] points.
//! Longer ones keep the best point of each cell of a grid of costs of that many cells. Points keep
//! their own cost, so that a budget is never exceeded.

use std::rc::Rc;

use super::{
    costs::{Costs, Term, place_of, set_place},
    slots::Assignment,
};

/// Most points of a list.
pub const MOST_POINTS: usize = 4096;

/// The widths of a point's slots, as a tree.
#[derive(Debug)]
enum Decisions {
    Of { slot: usize, width: usize },
    Both(Rc<Decisions>, Rc<Decisions>),
}

#[derive(Clone, Debug)]
struct Entry {
    cost: u64,
    damage: f64,
    decisions: Option<Rc<Decisions>>,
}

/// A list for every combination of widths of `slots`; the last slot's width is the fastest index.
struct Factor {
    slots: Vec<usize>,
    lists: Vec<Vec<Entry>>,
}

/// An assignment that is the best for its cost.
#[derive(Clone, Debug, PartialEq)]
pub struct FrontPoint {
    /// Its cost.
    pub cost: u64,
    /// Its predicted damage.
    pub damage: f64,
    /// Its widths.
    pub assignment: Assignment,
}

/// The best assignments, by ascending cost and descending damage.
#[derive(Clone, Debug, PartialEq)]
pub struct Front(pub Vec<FrontPoint>);

impl Front {
    /// The assignments that cost at most `limit`, the best one first.
    pub fn within(&self, limit: u64) -> impl Iterator<Item = &FrontPoint> {
        self.0.iter().rev().skip_while(move |point| point.cost > limit)
    }
}

/// The best assignments, where slot s at width w does the damage `damages[s][w]`.
pub fn solve(costs: &Costs, damages: &[Vec<f64>]) -> Front {
    let widths = costs.widths;
    let of_term = |term: &Term| Factor {
        slots: term.slots.clone(),
        lists: term
            .table
            .iter()
            .map(|&cost| vec![Entry { cost, damage: 0.0, decisions: None }])
            .collect(),
    };
    let mut factors: Vec<Factor> = costs.terms.iter().map(of_term).collect();
    let mut left: Vec<usize> = (0..costs.slots).collect();
    while !left.is_empty() {
        // The slot that the fewest others depend on.
        let (place, scope) = (0..left.len())
            .map(|place| (place, neighbours(&factors, left[place])))
            .min_by_key(|(_, scope)| scope.len())
            .unwrap_or_default();
        let slot = left.remove(place);
        let (own, others): (Vec<_>, Vec<_>) =
            factors.into_iter().partition(|factor| factor.slots.contains(&slot));
        factors = others;
        let combinations = widths.pow(scope.len() as u32);
        let mut chosen = vec![0; costs.slots];
        let mut lists = Vec::with_capacity(combinations);
        for combination in 0..combinations {
            set_place(&scope, widths, combination, &mut chosen);
            let mut all = Vec::new();
            for (width, &damage) in damages[slot].iter().enumerate() {
                chosen[slot] = width;
                let decisions = Some(Rc::new(Decisions::Of { slot, width }));
                let first = Entry { cost: 0, damage, decisions };
                all.extend(own.iter().fold(vec![first], |list, factor| {
                    joined(&list, &factor.lists[place_of(&factor.slots, widths, &chosen)])
                }));
            }
            lists.push(best(all));
        }
        factors.push(Factor { slots: scope, lists });
    }
    let nothing = vec![Entry { cost: 0, damage: 0.0, decisions: None }];
    let last = factors.iter().fold(nothing, |list, factor| joined(&list, &factor.lists[0]));
    let point = |entry: Entry| {
        let mut assignment = vec![0; costs.slots];
        entry.decisions.iter().for_each(|own| write(own, &mut assignment));
        FrontPoint { cost: entry.cost, damage: entry.damage, assignment }
    };
    Front(last.into_iter().map(point).collect())
}

/// The other slots of the factors of `slot`, ascending.
fn neighbours(factors: &[Factor], slot: usize) -> Vec<usize> {
    let own = factors.iter().filter(|factor| factor.slots.contains(&slot));
    let mut scope: Vec<usize> = own.flat_map(|factor| factor.slots.iter().copied()).collect();
    scope.sort_unstable();
    scope.dedup();
    scope.retain(|&other| other != slot);
    scope
}

/// The best sums of a point of each list.
fn joined(a: &[Entry], b: &[Entry]) -> Vec<Entry> {
    let sums = a.iter().flat_map(|a| {
        b.iter().map(|b| Entry {
            cost: a.cost + b.cost,
            damage: a.damage + b.damage,
            decisions: match (&a.decisions, &b.decisions) {
                (Some(a), Some(b)) => Some(Rc::new(Decisions::Both(Rc::clone(a), Rc::clone(b)))),
                (one, other) => one.clone().or_else(|| other.clone()),
            },
        })
    });
    best(sums.collect())
}

/// The points that no other one is better than, by ascending cost.
fn best(mut points: Vec<Entry>) -> Vec<Entry> {
    points.sort_by(|a, b| a.cost.cmp(&b.cost).then(a.damage.total_cmp(&b.damage)));
    let mut kept: Vec<Entry> = Vec::new();
    for point in points {
        if kept.last().is_none_or(|last| point.damage < last.damage) {
            kept.push(point);
        }
    }
    if kept.len() <= MOST_POINTS {
        return kept;
    }
    // The last point of a cell is its best; the first one of all is what a least budget needs.
    let (low, high) = (kept[0].cost, kept[kept.len() - 1].cost);
    let cell = |cost: u64| {
        (u128::from(cost - low) * (MOST_POINTS as u128 - 1) / u128::from(high - low)) as usize
    };
    let is_kept: Vec<bool> = (0..kept.len())
        .map(|at| at == 0 || at + 1 == kept.len() || cell(kept[at].cost) != cell(kept[at + 1].cost))
        .collect();
    kept.into_iter().zip(is_kept).filter_map(|(point, is_kept)| is_kept.then_some(point)).collect()
}

fn write(decisions: &Rc<Decisions>, assignment: &mut Assignment) {
    let mut waiting = vec![decisions];
    while let Some(next) = waiting.pop() {
        match &**next {
            Decisions::Of { slot, width } => assignment[*slot] = *width,
            Decisions::Both(a, b) => waiting.extend([a, b]),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::search::costs::Unit;

    fn assignments(slots: usize, widths: usize) -> impl Iterator<Item = Assignment> {
        (0..widths.pow(slots as u32)).map(move |number| {
            (0..slots).map(|slot| number / widths.pow(slot as u32) % widths).collect()
        })
    }

    /// Costs of 5 slots with terms of one, two and three slots, in chains and circles.
    fn costs() -> impl Strategy<Value = Costs> {
        let term = (prop::collection::btree_set(0usize..5, 1..4), any::<u64>());
        prop::collection::vec(term, 1..7).prop_map(|terms| {
            let table = |slots: usize, seed: u64| {
                (0..3usize.pow(slots as u32))
                    .map(|at| (seed >> (at % 13)).wrapping_mul(at as u64 + 1) % 50)
                    .collect()
            };
            let terms = terms
                .into_iter()
                .map(|(slots, seed)| Term {
                    table: table(slots.len(), seed),
                    slots: slots.into_iter().collect(),
                })
                .collect();
            Costs { unit: Unit::BitOps, slots: 5, widths: 3, terms }
        })
    }

    proptest! {
        #[test]
        fn the_front_is_that_of_all_assignments(
            costs in costs(),
            damages in prop::collection::vec(prop::collection::vec(-0.5f64..4.0, 3), 5),
        ) {
            let damage = |assignment: &[usize]| {
                assignment.iter().zip(&damages).map(|(&width, own)| own[width]).sum::<f64>()
            };
            let front = solve(&costs, &damages);
            let all: Vec<(u64, f64)> = assignments(5, 3)
                .map(|assignment| (costs.of(&assignment), damage(&assignment)))
                .collect();
            for point in &front.0 {
                prop_assert_eq!(point.cost, costs.of(&point.assignment));
                prop_assert!((point.damage - damage(&point.assignment)).abs() < 1e-9);
            }
            for limit in 0..350 {
                let least = all
                    .iter()
                    .filter(|(cost, _)| *cost <= limit)
                    .map(|(_, damage)| *damage)
                    .reduce(f64::min);
                let found = front.within(limit).next().map(|point| point.damage);
                prop_assert_eq!(found.is_some(), least.is_some());
                if let (Some(found), Some(least)) = (found, least) {
                    prop_assert!((found - least).abs() < 1e-9, "{}: {} {}", limit, found, least);
                }
            }
        }
    }

    #[test]
    fn long_lists_keep_to_the_budget_and_close_to_the_best() {
        // 2^16 assignments with as many costs.
        let terms = (0..16).map(|slot| Term { slots: vec![slot], table: vec![0, 1 << slot] });
        let costs = Costs { unit: Unit::Bytes, slots: 16, widths: 2, terms: terms.collect() };
        let damages: Vec<Vec<f64>> = (0..16).map(|slot| vec![f64::from(1 << slot), 0.0]).collect();
        let front = solve(&costs, &damages);
        assert!(front.0.len() <= 2 * MOST_POINTS && front.0[0].cost == 0);
        for limit in [0u64, 5, 1000, 40_000, 65_535] {
            let found = front.within(limit).next().unwrap();
            assert!(found.cost <= limit && found.cost == costs.of(&found.assignment));
            // Every unit of cost saves one of damage.
            let best = 65_535.0 - limit as f64;
            assert!(found.damage - best <= 16.0 * 65_535.0 / MOST_POINTS as f64, "{limit}");
        }
    }
}
