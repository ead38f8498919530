//! Normalisation of pixels as numbers.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Most channels with constants of their own.
const MOST: usize = 16;

/// Pixel normalisation as numbers: a pixel p ∈ [0, 1] of channel c becomes (p − mean_c) /
/// deviation_c. One pair serves all channels, or each has its own.
///
/// As JSON `{"mean": m, "deviation": d}`, with numbers, or with lists of a number a channel.
#[derive(Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct PixelNormalization {
    /// Pairs that count: 1 for all channels alike.
    count: usize,
    /// Mean and standard deviation.
    pairs: [(f32, f32); MOST],
}

impl PixelNormalization {
    /// One mean and one standard deviation for all channels.
    pub const fn uniform(mean: f32, deviation: f32) -> PixelNormalization {
        PixelNormalization { count: 1, pairs: [(mean, deviation); MOST] }
    }

    /// A mean and a standard deviation a channel; equal pairs are one for all channels.
    ///
    /// # Errors
    /// A line for no pair, for more than 16, and for numbers as in [`Self::check`].
    pub fn per_channel(pairs: &[(f32, f32)]) -> Result<PixelNormalization, String> {
        let Some(&first) = pairs.first().filter(|_| pairs.len() <= MOST) else {
            return Err(format!(
                "{} means and deviations: one for all channels, or one a channel of at most {MOST}",
                pairs.len()
            ));
        };
        pairs.iter().try_for_each(check_pair)?;
        let mut own = PixelNormalization { count: pairs.len(), pairs: [first; MOST] };
        own.pairs[..pairs.len()].copy_from_slice(pairs);
        if pairs.iter().all(|pair| *pair == first) {
            own.count = 1;
        }
        Ok(own)
    }

    /// The pair for all channels; `None` if they differ.
    pub fn for_all(&self) -> Option<(f32, f32)> {
        (self.count == 1).then_some(self.pairs[0])
    }

    /// Mean and standard deviation of `channel`.
    pub fn channel(&self, channel: usize) -> (f32, f32) {
        self.pairs[if self.count == 1 { 0 } else { channel.min(self.count - 1) }]
    }

    /// The pairs: one for all channels, or one a channel.
    pub fn pairs(&self) -> &[(f32, f32)] {
        &self.pairs[..self.count]
    }

    /// The means of [`Self::pairs`].
    pub fn means(&self) -> Vec<f32> {
        self.pairs().iter().map(|pair| pair.0).collect()
    }

    /// The standard deviations of [`Self::pairs`].
    pub fn deviations(&self) -> Vec<f32> {
        self.pairs().iter().map(|pair| pair.1).collect()
    }

    /// The pixel p ∈ [0, 1] of `channel` as the network takes it.
    pub fn apply(&self, pixel: f32, channel: usize) -> f32 {
        let (mean, deviation) = self.channel(channel);
        (pixel - mean) / deviation
    }

    /// The pixel that `value` of `channel` stands for.
    pub fn pixel(&self, value: f32, channel: usize) -> f32 {
        let (mean, deviation) = self.channel(channel);
        value * deviation + mean
    }

    /// Whether images of `channels` channels can be normalised with it.
    ///
    /// # Errors
    /// A line for a number that is not finite, a deviation that is not above 0, and for pairs of
    /// more or fewer channels.
    pub fn check(&self, channels: u32) -> Result<(), String> {
        self.pairs().iter().try_for_each(check_pair)?;
        if self.count != 1 && self.count != channels as usize {
            let plural = if channels == 1 { "channel" } else { "channels" };
            return Err(format!(
                "{} means and deviations for images of {channels} {plural}: give one for all, or \
                 one a channel",
                self.count
            ));
        }
        Ok(())
    }
}

/// Returns a line for a number that is not finite and a deviation that is not above 0.
fn check_pair((mean, deviation): &(f32, f32)) -> Result<(), String> {
    if mean.is_finite() && deviation.is_finite() && *deviation > 0.0 {
        return Ok(());
    }
    Err(format!("mean {mean}, deviation {deviation}: must be finite, the deviation above 0"))
}

impl fmt::Debug for PixelNormalization {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "PixelNormalization({self})")
    }
}

/// As `--normalize` reads it: `0.1307,0.3081`, or `M1,M2,M3/S1,S2,S3`.
impl fmt::Display for PixelNormalization {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((mean, deviation)) = self.for_all() {
            return write!(formatter, "{mean},{deviation}");
        }
        let list = |of: Vec<f32>| of.iter().map(f32::to_string).collect::<Vec<_>>().join(",");
        write!(formatter, "{}/{}", list(self.means()), list(self.deviations()))
    }
}

/// What stands in a file.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    mean: Numbers,
    deviation: Numbers,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(untagged)]
enum Numbers {
    One(f32),
    Channels(Vec<f32>),
}

impl From<PixelNormalization> for Written {
    fn from(own: PixelNormalization) -> Written {
        let numbers = |of: Vec<f32>| match of[..] {
            [one] => Numbers::One(one),
            _ => Numbers::Channels(of),
        };
        Written { mean: numbers(own.means()), deviation: numbers(own.deviations()) }
    }
}

impl TryFrom<Written> for PixelNormalization {
    type Error = String;

    fn try_from(written: Written) -> Result<PixelNormalization, String> {
        match (written.mean, written.deviation) {
            (Numbers::One(mean), Numbers::One(deviation)) => {
                Ok(PixelNormalization::uniform(mean, deviation))
            }
            (Numbers::Channels(means), Numbers::Channels(deviations))
                if means.len() == deviations.len() =>
            {
                let pairs: Vec<(f32, f32)> = means.into_iter().zip(deviations).collect();
                PixelNormalization::per_channel(&pairs)
            }
            _ => Err("mean and deviation: a number each, or lists of equal length".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLOUR: [(f32, f32); 3] = [(0.49, 0.25), (0.48, 0.24), (0.45, 0.26)];

    #[test]
    fn one_pair_is_written_as_before() {
        let own = PixelNormalization::uniform(0.1307, 0.3081);
        let text = serde_json::to_string(&own).unwrap();
        assert_eq!(text, r#"{"mean":0.1307,"deviation":0.3081}"#);
        assert_eq!(serde_json::from_str::<PixelNormalization>(&text).unwrap(), own);
        assert_eq!(PixelNormalization::per_channel(&[(0.1307, 0.3081); 3]).unwrap(), own);
    }

    #[test]
    fn channels_keep_their_own() {
        let own = PixelNormalization::per_channel(&COLOUR).unwrap();
        let text = serde_json::to_string(&own).unwrap();
        assert_eq!(text, r#"{"mean":[0.49,0.48,0.45],"deviation":[0.25,0.24,0.26]}"#);
        assert_eq!(serde_json::from_str::<PixelNormalization>(&text).unwrap(), own);
        assert_eq!(own.to_string(), "0.49,0.48,0.45/0.25,0.24,0.26");
        for (channel, (mean, deviation)) in COLOUR.into_iter().enumerate() {
            assert_eq!(own.channel(channel), (mean, deviation));
            assert_eq!(own.apply(0.75, channel), (0.75 - mean) / deviation);
        }
        assert!(own.check(3).is_ok());
        assert!(own.check(1).is_err_and(|line| line.contains("3 means and deviations")));
    }

    #[test]
    fn what_is_no_normalisation_is_refused() {
        for text in [
            r#"{"mean":[0.1,0.2],"deviation":0.3}"#,
            r#"{"mean":[0.1,0.2],"deviation":[0.3]}"#,
            r#"{"mean":[],"deviation":[]}"#,
            r#"{"mean":0.1}"#,
        ] {
            assert!(serde_json::from_str::<PixelNormalization>(text).is_err(), "{text}");
        }
        assert!(PixelNormalization::per_channel(&[(0.1, 0.2); 17]).is_err());
        for wrong in [(f32::NAN, 1.0), (0.0, 0.0), (0.0, -1.0), (0.0, f32::INFINITY)] {
            assert!(PixelNormalization::uniform(wrong.0, wrong.1).check(1).is_err());
        }
    }
}
