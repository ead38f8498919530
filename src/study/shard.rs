//! One of several machines that share a study's folder.

use std::{fmt, str::FromStr};

/// Part `index` of `count`, counted from 1. Chains of models that depend on each other are dealt out in turns.
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

    /// Whether this part has chain number `chain`.
    pub fn has(self, chain: usize) -> bool {
        chain % self.count as usize == self.index as usize - 1
    }

    /// The part that a scheduler's array job says this process is, from `variable`, which looks up the environment: Slurm's
    /// `SLURM_ARRAY_TASK_ID` (counted from `SLURM_ARRAY_TASK_MIN`) of `SLURM_ARRAY_TASK_COUNT`, or `JOB_COMPLETION_INDEX` (from 0)
    /// of an indexed Kubernetes job with its number in `JOB_COMPLETIONS`, which the job's manifest has to set.
    pub fn from_scheduler(variable: impl Fn(&str) -> Option<String>) -> Option<Shard> {
        let number = |name: &str| variable(name)?.trim().parse::<u32>().ok();
        let slurm = || {
            let first = number("SLURM_ARRAY_TASK_MIN").unwrap_or(0);
            Shard::new(number("SLURM_ARRAY_TASK_ID")?.checked_sub(first)?.checked_add(1)?, number("SLURM_ARRAY_TASK_COUNT")?)
        };
        let kubernetes = || Shard::new(number("JOB_COMPLETION_INDEX")?.checked_add(1)?, number("JOB_COMPLETIONS")?);
        slurm().or_else(kubernetes)
    }

    fn new(index: u32, count: u32) -> Option<Shard> {
        (1..=count).contains(&index).then_some(Shard { index, count })
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Shard, String> {
        let parsed = text.split_once('/').and_then(|(index, count)| Shard::new(index.parse().ok()?, count.parse().ok()?));
        parsed.ok_or_else(|| format!("`{text}` is not a part such as 1/4 or 4/4"))
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
    fn parts_cover_everything_once() {
        for count in 1..6 {
            for chain in 0..20 {
                assert_eq!((1..=count).filter(|&index| Shard { index, count }.has(chain)).count(), 1);
            }
        }
        assert_eq!("2/3".parse(), Ok(Shard { index: 2, count: 3 }));
        for text in ["", "0/3", "4/3", "1/0", "a/b", "1", "-1/2"] {
            assert!(text.parse::<Shard>().is_err(), "{text}");
        }
    }

    #[test]
    fn schedulers_say_which_part() {
        let of = |set: &[(&str, &str)]| {
            Shard::from_scheduler(|name| set.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_string()))
        };
        let slurm = [("SLURM_ARRAY_TASK_ID", "5"), ("SLURM_ARRAY_TASK_MIN", "4"), ("SLURM_ARRAY_TASK_COUNT", "3")];
        assert_eq!(of(&slurm), Some(Shard { index: 2, count: 3 }));
        assert_eq!(of(&[("JOB_COMPLETION_INDEX", "0"), ("JOB_COMPLETIONS", "2")]), Some(Shard { index: 1, count: 2 }));
        assert_eq!(of(&[("JOB_COMPLETION_INDEX", "0")]), None);
        assert_eq!(of(&[]), None);
    }
}
