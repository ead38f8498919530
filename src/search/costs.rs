//! What an assignment costs, as terms of few slots each: tables of what [`Cost`] counts.

use serde::Serialize;

use super::slots::Space;
use crate::{
    Error, Result,
    error::phrase,
    metrics::{Cost, LayerCost},
};

/// Most entries of a term: a layer whose input comes from very many quantizers has none.
const MOST_ENTRIES: usize = 1 << 14;

/// What is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// Bit operations of an inference.
    BitOps,
    /// Bytes of the packed model.
    Bytes,
}

impl Unit {
    /// Both.
    pub const ALL: [Unit; 2] = [Unit::BitOps, Unit::Bytes];

    /// What a network costs.
    pub fn of(self, cost: &Cost) -> u64 {
        match self {
            Unit::BitOps => cost.bit_ops,
            Unit::Bytes => cost.packed_bytes,
        }
    }

    /// What a layer costs.
    fn of_layer(self, layer: &LayerCost) -> u64 {
        match self {
            Unit::BitOps => layer.bit_ops,
            Unit::Bytes => layer.packed_bytes(),
        }
    }

    /// Its name in files.
    pub fn key(self) -> &'static str {
        match self {
            Unit::BitOps => "bit-ops",
            Unit::Bytes => "bytes",
        }
    }

    /// Its name for people.
    pub fn name(self) -> &'static str {
        match self {
            Unit::BitOps => "BitOPs",
            Unit::Bytes => "bytes",
        }
    }
}

/// The most that an assignment may cost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Budget {
    /// A share of the float network's BitOPs, above 0 and at most 1.
    BitOps(f64),
    /// Bytes of the packed model.
    Bytes(u64),
}

impl Budget {
    /// What it limits.
    pub fn unit(self) -> Unit {
        match self {
            Budget::BitOps(_) => Unit::BitOps,
            Budget::Bytes(_) => Unit::Bytes,
        }
    }

    /// The limit for the network whose cost in float is `float`.
    pub fn limit(self, float: &Cost) -> u64 {
        match self {
            Budget::BitOps(share) => (share * float.bit_ops as f64).floor() as u64,
            Budget::Bytes(bytes) => bytes,
        }
    }
}

impl std::str::FromStr for Budget {
    type Err = String;

    fn from_str(text: &str) -> Result<Budget, String> {
        let bad = || {
            format!(
                "`{text}` is not a budget: give bitops=X% (of the float model's bit operations) or \
                 bytes=N (of the packed model)"
            )
        };
        match text.split_once('=').ok_or_else(bad)? {
            ("bitops", share) => {
                let percent: f64 =
                    share.strip_suffix('%').and_then(|own| own.parse().ok()).ok_or_else(bad)?;
                let is_share = percent > 0.0 && percent <= 100.0;
                is_share.then_some(Budget::BitOps(percent / 100.0)).ok_or_else(bad)
            }
            ("bytes", count) => {
                count.parse().ok().filter(|&count| count > 0).map(Budget::Bytes).ok_or_else(bad)
            }
            _ => Err(bad()),
        }
    }
}

/// A summand of the cost: a number for each combination of widths of a few slots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    /// The slots, ascending.
    pub slots: Vec<usize>,
    /// Costs; the last slot's width is the fastest index.
    pub table: Vec<u64>,
}

/// The cost of every assignment in one unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Costs {
    /// The unit.
    pub unit: Unit,
    /// Number of slots.
    pub slots: usize,
    /// Number of widths.
    pub widths: usize,
    /// Summands.
    pub terms: Vec<Term>,
}

impl Costs {
    /// The costs of the assignments of `space`. A layer's cost depends on the slots whose change
    /// changes it, one at a time, from the lowest widths.
    ///
    /// # Errors
    /// [`Error::Settings`] for a layer that depends on too many slots.
    pub fn new(space: &Space, unit: Unit) -> Result<Costs> {
        let of = |assignment: &[usize]| -> Result<Vec<u64>> {
            let cost = Cost::new(&space.network, &space.quantization(assignment))?;
            Ok(cost.layers.iter().map(|layer| unit.of_layer(layer)).collect())
        };
        let (slots, widths) = (space.slots.len(), space.widths.len());
        let lowest = space.all_at(0);
        let least = of(&lowest)?;
        let mut depends = vec![Vec::new(); least.len()];
        for slot in 0..slots {
            let mut changed = vec![false; least.len()];
            for width in 1..widths {
                let mut other = lowest.clone();
                other[slot] = width;
                for (layer, cost) in of(&other)?.into_iter().enumerate() {
                    changed[layer] |= cost != least[layer];
                }
            }
            for (own, _) in depends.iter_mut().zip(changed).filter(|(_, changed)| *changed) {
                own.push(slot);
            }
        }
        let mut terms = Vec::new();
        for (layer, slots) in depends.into_iter().enumerate() {
            let entries = u32::try_from(slots.len()).ok().and_then(|n| widths.checked_pow(n));
            let entries = entries.filter(|&entries| entries <= MOST_ENTRIES).ok_or_else(|| {
                Error::Settings(phrase!(
                    "<widths>: the cost of layer {} depends on {} quantizers, which {} widths make \
                     too many combinations of; give fewer widths",
                    space.layers[layer],
                    slots.len(),
                    widths
                ))
            })?;
            let mut table = Vec::with_capacity(entries);
            for entry in 0..entries {
                let mut assignment = lowest.clone();
                set_place(&slots, widths, entry, &mut assignment);
                table.push(of(&assignment)?[layer]);
            }
            terms.push(Term { slots, table });
        }
        Ok(Costs { unit, slots, widths, terms })
    }

    /// The cost of an assignment.
    pub fn of(&self, assignment: &[usize]) -> u64 {
        let of = |term: &Term| term.table[place_of(&term.slots, self.widths, assignment)];
        self.terms.iter().map(of).sum()
    }
}

/// The place of `assignment` in a table for all combinations of `widths` widths of `slots`; the
/// last slot's width is the fastest index.
pub(super) fn place_of(slots: &[usize], widths: usize, assignment: &[usize]) -> usize {
    slots.iter().fold(0, |place, &slot| place * widths + assignment[slot])
}

/// Gives `slots` in `assignment` the widths of `place` in such a table.
pub(super) fn set_place(slots: &[usize], widths: usize, place: usize, assignment: &mut [usize]) {
    let mut rest = place;
    for &slot in slots.iter().rev() {
        assignment[slot] = rest % widths;
        rest /= widths;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{NetworkConfig, Preset, QuantizationConfig, Shape, WeightQuantizer};

    fn check(network: &NetworkConfig, tied: bool) {
        let weight_quant = WeightQuantizer::Lsq;
        let quantization = QuantizationConfig { weight_quant, ..Default::default() };
        let space = Space::new(network, &quantization, &[1, 3, 8], tied).unwrap();
        for unit in Unit::ALL {
            let costs = Costs::new(&space, unit).unwrap();
            let mut state = 7u64;
            for _ in 0..20 {
                let assignment: Vec<usize> = (0..space.slots.len())
                    .map(|_| {
                        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                        (state >> 33) as usize % 3
                    })
                    .collect();
                let cost = Cost::new(network, &space.quantization(&assignment)).unwrap();
                assert_eq!(costs.of(&assignment), unit.of(&cost), "{assignment:?}");
            }
        }
    }

    #[test]
    fn terms_add_up_to_what_the_whole_network_costs() {
        for tied in [false, true] {
            check(&NetworkConfig::table_one(Shape::new(1, 12, 12), 10, [0.0; 2]), tied);
        }
        check(&Preset::find("resnet-8").unwrap().published(), false);
    }

    #[test]
    fn budgets_are_shares_or_bytes() {
        assert_eq!("bitops=12.5%".parse(), Ok(Budget::BitOps(0.125)));
        assert_eq!("bytes=98496".parse(), Ok(Budget::Bytes(98_496)));
        for bad in [
            "",
            "12%",
            "bitops=12",
            "bitops=0%",
            "bitops=101%",
            "bytes=-1",
            "bytes=1.5",
            "bytes=0",
            "macs=3",
            "bitops=NaN%",
        ] {
            assert!(bad.parse::<Budget>().unwrap_err().contains("bytes=N"), "{bad}");
        }
    }
}
