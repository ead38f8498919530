//! The date on which a model of a study was made, and the time it took.

use std::{
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

use crate::{
    Error, Result,
    files::{read_bounded, write_atomically},
};

/// File with the time of a finished run in its folder. It is separate from the result, which
/// depends only on the run's settings.
const TIMING_FILE: &str = "timing.json";
/// Largest file of times, in bytes.
pub(super) const MAX_FILE: u64 = 1 << 20;

/// The time that making one model took.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Timing {
    /// Adapter and driver on which the model was made.
    pub adapter: String,
    /// Number of training steps taken; fewer than planned if the run continued from a checkpoint.
    pub steps: u64,
    /// Time of these steps in seconds, including the tests between them.
    pub training_seconds: f64,
    /// Time of all judgements in seconds.
    pub judging_seconds: f64,
    /// Day on which it was finished, in UTC: `2026-11-24`.
    #[serde(default)]
    pub date: Option<String>,
}

impl Timing {
    /// Writes the times into a run's `folder`.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write(&self, folder: &Path) -> Result<()> {
        write_json(&folder.join(TIMING_FILE), self)
    }

    /// Returns `None` for times that cannot be read.
    pub(super) fn read(folder: &Path) -> Option<Timing> {
        let bytes = read_bounded(&folder.join(TIMING_FILE), MAX_FILE).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// The times of a run in `folder` that was made on `adapter`.
    pub(super) fn on(folder: &Path, adapter: &str) -> Option<Timing> {
        Timing::read(folder).filter(|timing| timing.adapter == adapter)
    }
}

/// Today's date in UTC, such as `2026-11-24`. If `SOURCE_DATE_EPOCH` (seconds since 1970) is set,
/// it is that date, as is usual for reproducible builds.
pub(super) fn today() -> String {
    let set =
        std::env::var("SOURCE_DATE_EPOCH").ok().and_then(|text| text.trim().parse::<u64>().ok());
    let seconds = set.unwrap_or_else(|| {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
    });
    date(seconds / 86_400)
}

/// The date of a day since 1970-01-01, in the Gregorian calendar.
fn date(day: u64) -> String {
    // Days since 0000-03-01 fall into eras of 400 years; a year ends with its leap day.
    let day = day % 100_000_000 + 719_468;
    let (era, of_era) = (day / 146_097, day % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let (day, month) =
        (of_year - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    format!("{:04}-{month:02}-{day:02}", year + era * 400 + u64::from(month <= 2))
}

pub(super) fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let text =
        serde_json::to_string_pretty(value).map_err(|error| Error::Model(error.to_string()))?;
    write_atomically(path, text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::date;

    #[test]
    fn days_have_their_dates() {
        let days = [0, 58, 59, 365, 11_016, 11_017, 20_781, 47_540, 47_541];
        let dates = [
            "1970-01-01",
            "1970-02-28",
            "1970-03-01",
            "1971-01-01",
            "2000-02-29",
            "2000-03-01",
            "2026-11-24",
            "2100-02-28",
            "2100-03-01",
        ];
        assert_eq!(days.map(date), dates);
    }
}
