//! The part of a study that one of several machines makes, which share the study's folder.

use std::{cmp::Reverse, fmt, str::FromStr};

use super::plan::Plan;

/// Part `index` of `count`, counted from 1. A chain of models that depend on each other is never
/// split over machines: if the float model of a quantized model came from another adapter, the
/// compared models would have different starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// 1..=count.
    pub index: u32,
    /// At least 1.
    pub count: u32,
}

impl Shard {
    /// The whole study.
    pub const WHOLE: Shard = Shard { index: 1, count: 1 };

    /// The indices in `plan` of the runs of this part, in order.
    pub fn runs(self, plan: &Plan) -> Vec<usize> {
        let dealt = deal(&plan.chains(), self.count);
        let is_mine = |chain: usize| dealt.contains(&(chain, self.index));
        (0..plan.runs.len()).filter(|&index| is_mine(plan.runs[index].chain)).collect()
    }

    fn new(index: u32, count: u32) -> Option<Shard> {
        (1..=count).contains(&index).then_some(Shard { index, count })
    }
}

/// The part of every chain, counted from 1. Chains are assigned from the one with most passes on,
/// each to the part with the fewest passes so far. Passes are counted and not timed, so that every
/// machine computes the same assignment.
pub fn deal(chains: &[(usize, u64)], count: u32) -> Vec<(usize, u32)> {
    let mut order = chains.to_vec();
    order.sort_by_key(|&(chain, passes)| (Reverse(passes), chain));
    // Parts beyond the number of chains stay empty.
    let mut loads = vec![0_u64; chains.len().min(count as usize)];
    let mut dealt = Vec::new();
    for (chain, passes) in order {
        if let Some(least) = (0..loads.len()).min_by_key(|&part| (loads[part], part)) {
            loads[least] = loads[least].saturating_add(passes);
            dealt.push((chain, least as u32 + 1));
        }
    }
    dealt
}

/// The information from the variables of a scheduler's array job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scheduled {
    /// The part, if the variables determine one.
    pub shard: Option<Shard>,
    /// The variables with their values.
    pub variables: String,
    /// The missing variable, if the variables do not determine a part.
    pub lacks: Option<&'static str>,
}

impl Scheduled {
    /// The part that a scheduler's array job assigns to this process; `variable` looks up the
    /// environment. For Slurm it is `SLURM_ARRAY_TASK_ID` (from `SLURM_ARRAY_TASK_MIN` in steps of
    /// `SLURM_ARRAY_TASK_STEP`) of `SLURM_ARRAY_TASK_COUNT`. For an indexed Kubernetes job it is
    /// `JOB_COMPLETION_INDEX` (from 0) of `JOB_COMPLETIONS`, which the job's manifest has to set.
    /// `None` outside of such jobs.
    pub fn new(variable: impl Fn(&str) -> Option<String>) -> Option<Scheduled> {
        let number = |name: &str| variable(name)?.trim().parse::<u32>().ok();
        let slurm = || {
            let first = number("SLURM_ARRAY_TASK_MIN").unwrap_or(0);
            let step = number("SLURM_ARRAY_TASK_STEP").unwrap_or(1).max(1);
            let beyond = number("SLURM_ARRAY_TASK_ID")?.checked_sub(first)?;
            let index = beyond.is_multiple_of(step).then(|| beyond / step)?.checked_add(1)?;
            Shard::new(index, number("SLURM_ARRAY_TASK_COUNT")?)
        };
        let kubernetes = || {
            Shard::new(number("JOB_COMPLETION_INDEX")?.checked_add(1)?, number("JOB_COMPLETIONS")?)
        };
        let said = |names: &[&str]| {
            let set =
                names.iter().filter_map(|name| Some(format!("{name}={}", variable(name)?.trim())));
            set.collect::<Vec<_>>().join(" ")
        };
        const SLURM: [&str; 4] = [
            "SLURM_ARRAY_TASK_ID",
            "SLURM_ARRAY_TASK_COUNT",
            "SLURM_ARRAY_TASK_MIN",
            "SLURM_ARRAY_TASK_STEP",
        ];
        const KUBERNETES: [&str; 2] = ["JOB_COMPLETION_INDEX", "JOB_COMPLETIONS"];
        let of = |shard: Option<Shard>, names: &[&str], lacks: &'static str| Scheduled {
            shard,
            variables: said(names),
            lacks: shard.is_none().then_some(lacks),
        };
        let is_set = |name: &str| variable(name).is_some_and(|value| !value.trim().is_empty());
        if is_set(SLURM[0]) {
            return Some(of(
                slurm(),
                &SLURM,
                "a number of tasks in SLURM_ARRAY_TASK_COUNT that the task's number lies within",
            ));
        }
        is_set(KUBERNETES[0]).then(|| match number(KUBERNETES[1]) {
            // Both variables are set.
            Some(count) if number(KUBERNETES[0]).is_some_and(|index| index >= count) => of(
                None,
                &KUBERNETES,
                "an index within JOB_COMPLETIONS, from 0 to one less: it is out of range",
            ),
            _ => of(
                kubernetes(),
                &KUBERNETES,
                "a number of tasks in JOB_COMPLETIONS, which the job's manifest has to set",
            ),
        })
    }
}

impl FromStr for Shard {
    type Err = String;

    /// `2/4`, or `none` for the whole study.
    fn from_str(text: &str) -> Result<Shard, String> {
        if text == "none" {
            return Ok(Shard::WHOLE);
        }
        let parsed = text
            .split_once('/')
            .and_then(|(index, count)| Shard::new(index.parse().ok()?, count.parse().ok()?));
        parsed.ok_or_else(|| {
            format!("`{text}` is not a part such as 1/4 or 4/4, nor `none` for the whole study")
        })
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.index, self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cover_everything_once_and_evenly() {
        let chains: Vec<(usize, u64)> =
            (0..20).map(|chain| (chain, 1 + chain as u64 * 7 % 11)).collect();
        let (all, longest) = (chains.iter().map(|own| own.1).sum::<u64>(), 11);
        for count in 1..30 {
            let dealt = deal(&chains, count);
            let mut seen: Vec<usize> = dealt.iter().map(|(chain, _)| *chain).collect();
            seen.sort_unstable();
            assert_eq!(seen, (0..20).collect::<Vec<_>>());
            let load = |part: u32| -> u64 {
                dealt.iter().filter(|own| own.1 == part).map(|own| chains[own.0].1).sum()
            };
            let busy = count.min(20);
            for part in 1..=count {
                assert_eq!(load(part) > 0, part <= busy, "part {part} of {count}");
                // Graham's bound for list scheduling: no part is longer than the mean plus one
                // chain.
                assert!(
                    load(part) <= all / u64::from(busy) + longest,
                    "part {part} of {count}: {}",
                    load(part)
                );
            }
        }
        // Two long and two short chains in the order of the data sets: each part gets one long and
        // one short chain.
        assert_eq!(deal(&[(0, 9), (1, 5), (2, 9), (3, 5)], 2), [(0, 1), (2, 2), (1, 1), (3, 2)]);
        assert_eq!(deal(&[], 3), []);
    }

    #[test]
    fn parts_are_read() {
        assert_eq!("2/3".parse(), Ok(Shard { index: 2, count: 3 }));
        assert_eq!("none".parse(), Ok(Shard::WHOLE));
        for text in ["", "0/3", "4/3", "1/0", "a/b", "1", "-1/2", "None"] {
            assert!(text.parse::<Shard>().is_err(), "{text}");
        }
    }

    #[test]
    fn schedulers_say_which_part() {
        let of = |set: &[(&str, &str)]| {
            Scheduled::new(|name| {
                set.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_string())
            })
        };
        let shard = |index, count| Some(Shard { index, count });
        let slurm = [
            ("SLURM_ARRAY_TASK_ID", "5"),
            ("SLURM_ARRAY_TASK_MIN", "4"),
            ("SLURM_ARRAY_TASK_COUNT", "3"),
        ];
        let said = of(&slurm).unwrap();
        assert_eq!((said.shard, said.lacks), (shard(2, 3), None));
        assert_eq!(
            said.variables,
            "SLURM_ARRAY_TASK_ID=5 SLURM_ARRAY_TASK_COUNT=3 SLURM_ARRAY_TASK_MIN=4"
        );
        // --array=4-8:2
        let stepped =
            [&slurm[1..], &[("SLURM_ARRAY_TASK_ID", "8"), ("SLURM_ARRAY_TASK_STEP", "2")]].concat();
        assert_eq!(of(&stepped).unwrap().shard, shard(3, 3));
        let kubernetes = of(&[("JOB_COMPLETION_INDEX", "0"), ("JOB_COMPLETIONS", "2")]).unwrap();
        assert_eq!(
            (kubernetes.shard, kubernetes.variables.as_str()),
            (shard(1, 2), "JOB_COMPLETION_INDEX=0 JOB_COMPLETIONS=2")
        );
        // The process is part of an array whose size is unknown.
        for set in
            [&[("JOB_COMPLETION_INDEX", "0")][..], &slurm[..2], &[("SLURM_ARRAY_TASK_ID", "x")]]
        {
            let said = of(set).unwrap();
            assert!(
                said.shard.is_none() && said.lacks.is_some() && said.variables.contains(set[0].1),
                "{said:?}"
            );
        }
        assert_eq!(of(&[]), None);
    }
}
