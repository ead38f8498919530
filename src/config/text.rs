//! Values written as short texts, the same on the command line and in TOML: `4,2`, `0.25,0.5`,
//! `shift,hflip`, `5m`.

use std::{fmt, str::FromStr, time::Duration};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, DeserializeOwned, Error as _, value::StrDeserializer},
};

use super::{Augmentation, ImageSize, LayerBits, LogFormat, Normalize, PixelNormalization};

/// `--bits`: one value for every convolution layer, or a list for the convolution and linear layers
/// in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BitsList(pub Vec<LayerBits>);

/// Bits of one layer, also written as a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LooseBits(pub LayerBits);

/// `--dropout`: one rate for every dropout layer, or one for each in order.
#[derive(Clone, Debug, PartialEq)]
pub struct DropoutRates(pub Vec<f64>);

/// `--betas`: β₁, β₂ of Adam.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Betas(pub [f64; 2]);

/// `--augment`: `none`, or a list without repetition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AugmentList(pub Vec<Augmentation>);

/// `--log`: `none`, or a list without repetition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogList(pub Vec<LogFormat>);

/// `--normalize`: `standard`, `unit`, `none`, `MEAN,STD`, or means and deviations a channel
/// (`M1,M2,M3/S1,S2,S3`).
#[derive(Clone, Debug, PartialEq)]
pub struct NormalizeSpec(pub Normalize);

/// `--checkpoint-every`: steps, or time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cadence {
    /// Every so many steps, at least 1.
    Steps(u64),
    /// Whenever so much time has passed, at least a second.
    Time(Duration),
}

/// The elements of a comma-separated list.
fn elements<T>(text: &str, element: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>, String> {
    text.split(',').map(|part| element(part.trim())).collect()
}

/// A number, not NaN or infinite.
pub(crate) fn real(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(value),
        Ok(_) => Err(format!("`{text}` is not a finite number")),
        Err(_) => Err(format!("`{text}` is not a number")),
    }
}

/// A whole number.
pub(crate) fn whole(text: &str) -> Result<i64, String> {
    text.parse().map_err(|_| format!("`{text}` is not a whole number"))
}

/// `; did you mean …?` where one of `known` is close to `text`, else nothing.
pub(crate) fn suggestion<'a>(text: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let best = known
        .into_iter()
        .map(|name| (strsim::jaro_winkler(text, name), name))
        .max_by(|a, b| a.0.total_cmp(&b.0));
    match best {
        Some((score, name)) if score > 0.75 => format!("; did you mean `{name}`?"),
        _ => String::new(),
    }
}

fn join<T: fmt::Display>(formatter: &mut fmt::Formatter<'_>, items: &[T]) -> fmt::Result {
    for (index, item) in items.iter().enumerate() {
        write!(formatter, "{}{item}", if index > 0 { "," } else { "" })?;
    }
    Ok(())
}

/// `text` as a list of values that are known by names, each at most once; `none` is an empty list.
/// `what` is one of them, for messages.
fn named<T: DeserializeOwned + PartialEq, const N: usize>(
    text: &str,
    known: [&str; N],
    what: &str,
) -> Result<Vec<T>, String> {
    if text.trim() == "none" || text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let list = elements(text, |name| {
        T::deserialize(StrDeserializer::<de::value::Error>::new(name)).map_err(|_| {
            let names = known.map(|name| format!("`{name}`")).join(", ");
            format!("`{name}` is not one of {names}{}", suggestion(name, known))
        })
    })?;
    match list.iter().enumerate().any(|(index, item)| list[..index].contains(item)) {
        true => Err(format!("`{text}` names {what} twice")),
        false => Ok(list),
    }
}

/// Writes what [`named`] reads.
fn join_named<T>(
    formatter: &mut fmt::Formatter<'_>,
    items: &[T],
    name: impl Fn(&T) -> &'static str,
) -> fmt::Result {
    match items {
        [] => formatter.write_str("none"),
        _ => join(formatter, &items.iter().map(name).collect::<Vec<_>>()),
    }
}

impl FromStr for BitsList {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        LayerBits::parse_list(text).map(BitsList)
    }
}

impl fmt::Display for BitsList {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        join(formatter, &self.0)
    }
}

impl FromStr for LooseBits {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse().map(LooseBits)
    }
}

impl fmt::Display for LooseBits {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl FromStr for DropoutRates {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        elements(text, real).map(DropoutRates)
    }
}

impl fmt::Display for DropoutRates {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        join(formatter, &self.0)
    }
}

impl FromStr for Betas {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let values = elements(text, real)?;
        <[f64; 2]>::try_from(values)
            .map(Betas)
            .map_err(|_| format!("`{text}` is not two numbers such as `0.9,0.999`"))
    }
}

impl fmt::Display for Betas {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        join(formatter, &self.0)
    }
}

impl FromStr for AugmentList {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = ["none", "shift", "hflip", "crop", "cutout"];
        let list = named(text, known, "an augmentation")?;
        if list.contains(&Augmentation::Shift) && list.contains(&Augmentation::Crop) {
            return Err(format!("`{text}`: crop is a larger shift; leave one of them out"));
        }
        Ok(AugmentList(list))
    }
}

impl fmt::Display for AugmentList {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |item: &Augmentation| match item {
            Augmentation::Shift => "shift",
            Augmentation::Hflip => "hflip",
            Augmentation::Crop => "crop",
            Augmentation::Cutout => "cutout",
        };
        join_named(formatter, &self.0, name)
    }
}

impl FromStr for LogList {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        named(text, ["none", "tensorboard", "csv"], "a log").map(LogList)
    }
}

impl fmt::Display for LogList {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |item: &LogFormat| match item {
            LogFormat::Tensorboard => "tensorboard",
            LogFormat::Csv => "csv",
        };
        join_named(formatter, &self.0, name)
    }
}

impl FromStr for NormalizeSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "standard" => return Ok(NormalizeSpec(Normalize::Standard)),
            "unit" => return Ok(NormalizeSpec(Normalize::Unit)),
            "none" => return Ok(NormalizeSpec(Normalize::None)),
            _ => {}
        }
        let expected = || {
            let hint = suggestion(text, ["standard", "unit", "none"]);
            format!(
                "`{text}` is not `standard`, `unit`, `none`, MEAN,STD such as `0.1307,0.3081`, or \
                 a pair a channel such as `0.49,0.48,0.45/0.25,0.24,0.26`{hint}"
            )
        };
        let (means, deviations) = match text.split_once('/') {
            Some((means, deviations)) => (elements(means, real), elements(deviations, real)),
            None => match elements(text, real) {
                Ok(pair) if pair.len() == 2 => (Ok(pair[..1].to_vec()), Ok(pair[1..].to_vec())),
                _ => return Err(expected()),
            },
        };
        let (Ok(means), Ok(deviations)) = (means, deviations) else { return Err(expected()) };
        if means.len() != deviations.len() {
            let (means, deviations) = (means.len(), deviations.len());
            return Err(format!(
                "`{text}`: {means} means and {deviations} deviations; give one of each a channel"
            ));
        }
        let pairs: Vec<(f32, f32)> = means
            .iter()
            .zip(&deviations)
            .map(|(&mean, &deviation)| (mean as f32, deviation as f32))
            .collect();
        let own =
            PixelNormalization::per_channel(&pairs).map_err(|why| format!("`{text}`: {why}"))?;
        Ok(NormalizeSpec(Normalize::Fixed(own)))
    }
}

impl fmt::Display for NormalizeSpec {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Normalize::Standard => formatter.write_str("standard"),
            Normalize::Unit => formatter.write_str("unit"),
            Normalize::None => formatter.write_str("none"),
            Normalize::Fixed(own) => own.fmt(formatter),
        }
    }
}

impl FromStr for Cadence {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || {
            format!(
                "`{text}` is not a number of steps (`500`) or a time (`30s`, `5m`, `2h`), at least \
                 1"
            )
        };
        let (digits, unit) = match text.char_indices().last() {
            Some((at, unit @ ('s' | 'm' | 'h'))) => (&text[..at], unit),
            _ => (text, ' '),
        };
        // Ten digits are 300 years of seconds and more steps than anybody takes: no multiplication
        // below can overflow.
        let count: u64 = if digits.len() <= 10 {
            digits.parse().map_err(|_| expected())?
        } else {
            return Err(expected());
        };
        if count == 0 {
            return Err(expected());
        }
        Ok(match unit {
            's' => Cadence::Time(Duration::from_secs(count)),
            'm' => Cadence::Time(Duration::from_secs(60 * count)),
            'h' => Cadence::Time(Duration::from_secs(3600 * count)),
            _ => Cadence::Steps(count),
        })
    }
}

impl fmt::Display for Cadence {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cadence::Steps(steps) => write!(formatter, "{steps}"),
            Cadence::Time(time) => match time.as_secs() {
                seconds if seconds % 3600 == 0 => write!(formatter, "{}h", seconds / 3600),
                seconds if seconds % 60 == 0 => write!(formatter, "{}m", seconds / 60),
                seconds => write!(formatter, "{seconds}s"),
            },
        }
    }
}

/// What TOML may hold where the command line has a text: `"4,2"`, `4`, `[4, 2]`, `["w4a2", 2]`.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a text, a number or a list of them")]
enum Loose {
    Whole(i64),
    Real(f64),
    Text(String),
    List(Vec<LooseItem>),
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a text or a number")]
enum LooseItem {
    Whole(i64),
    Real(f64),
    Text(String),
}

fn loose<'de, D: Deserializer<'de>, T: FromStr<Err = String>>(
    deserializer: D,
) -> Result<T, D::Error> {
    let text = match Loose::deserialize(deserializer)? {
        Loose::Whole(value) => value.to_string(),
        Loose::Real(value) => value.to_string(),
        Loose::Text(text) => text,
        Loose::List(items) => {
            let items: Vec<String> = items
                .into_iter()
                .map(|item| match item {
                    LooseItem::Whole(value) => value.to_string(),
                    LooseItem::Real(value) => value.to_string(),
                    LooseItem::Text(text) => text,
                })
                .collect();
            items.join(",")
        }
    };
    text.parse().map_err(D::Error::custom)
}

macro_rules! as_text {
    ($($name:ident),+) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                loose(deserializer)
            }
        }
    )+};
}

as_text!(
    BitsList,
    LooseBits,
    DropoutRates,
    Betas,
    AugmentList,
    LogList,
    NormalizeSpec,
    Cadence,
    ImageSize
);

/// The decimal number that `value` is printed as: the 0.1 that somebody wrote, not 0.10000000149.
pub(crate) fn decimal(value: f32) -> f64 {
    value.to_string().parse().unwrap_or(f64::from(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_survive_a_round_trip() {
        fn same<T: FromStr<Err = String> + fmt::Display>(text: &str) {
            assert_eq!(text.parse::<T>().map(|value| value.to_string()), Ok(text.to_string()));
        }
        same::<BitsList>("4,w4a2,32");
        same::<DropoutRates>("0.25,0.5");
        same::<Betas>("0.9,0.999");
        same::<AugmentList>("none");
        same::<AugmentList>("shift,hflip");
        for text in ["standard", "unit", "none", "0.1307,0.3081", "-0.5,1"] {
            same::<NormalizeSpec>(text);
        }
        for text in ["500", "30s", "5m", "2h"] {
            same::<Cadence>(text);
        }
    }

    #[test]
    fn bad_texts_are_refused() {
        assert!("9".parse::<BitsList>().is_err());
        assert!("".parse::<BitsList>().is_err());
        assert!("0.1,x".parse::<DropoutRates>().is_err());
        assert!("nan".parse::<DropoutRates>().is_err());
        assert!("0.9".parse::<Betas>().is_err());
        assert!(
            "shfit"
                .parse::<AugmentList>()
                .is_err_and(|message| message.contains("did you mean `shift`"))
        );
        assert!("shift,shift".parse::<AugmentList>().is_err());
        let equal = "0.5, 0.5,0.5/0.25,0.25,0.25".parse::<NormalizeSpec>().unwrap();
        assert_eq!(equal.to_string(), "0.5,0.25");
        let own = "0.5,0.4,0.3/0.25,0.25,0.25".parse::<NormalizeSpec>().unwrap();
        assert_eq!(own.to_string(), "0.5,0.4,0.3/0.25,0.25,0.25");
        assert!(
            "0.5,0.5/0.25"
                .parse::<NormalizeSpec>()
                .is_err_and(|reason| reason.contains("2 means and 1 deviations"))
        );
        let bad = [
            "0.5",
            "0.5,0",
            "0.5,-1",
            "1,2,3",
            "standart",
            "1e60,1",
            "inf,1",
            "/",
            "0.5/",
            "0.5/0",
            "0,0/1,nan",
            "non",
        ];
        for text in bad {
            assert!(text.parse::<NormalizeSpec>().is_err(), "{text}");
        }
        for text in ["0", "0m", "5d", "-3", "", "m", "99999999999999999999h", "5 m"] {
            assert!(text.parse::<Cadence>().is_err(), "{text}");
        }
    }
}
