//! Sentences about settings. A setting stands in them by its name; what that looks like is up to
//! who shows the sentence: files have `batch-size = 64`, the command line has a flag.

use std::fmt;

/// A setting, by the name that it has in configuration files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its name, e.g. `batch-size`.
    pub name: String,
    /// The value that is meant; empty where it is the setting as such.
    pub value: String,
}

/// As in a file.
impl fmt::Display for Setting {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.value.as_str() {
            "" => formatter.write_str(&self.name),
            value => write!(formatter, "{} = {value}", self.name),
        }
    }
}

/// A piece of a [`Phrase`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Words.
    Text(String),
    /// A setting.
    Setting(Setting),
}

/// Words with settings among them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Phrase(pub Vec<Piece>);

/// A [`Phrase`] of a template: `<batch-size>` and `<bits 4,2>` in it are settings,
/// each `{}`, also within a setting, is the next argument, whatever that has in it.
macro_rules! phrase {
    ($template:literal $(, $argument:expr)* $(,)?) => {{
        const ARGUMENTS: usize = <[&str]>::len(&[$(stringify!($argument)),*]);
        const {
            assert!(
                $crate::error::takes($template, ARGUMENTS),
                "a template and its arguments differ"
            )
        };
        $crate::Phrase::filled($template, &[$(&$argument as &dyn std::fmt::Display),*])
    }};
}
pub(crate) use phrase;

/// Whether `template` takes this many arguments, all of them by `{}`.
pub(crate) const fn takes(template: &str, arguments: usize) -> bool {
    let (bytes, mut at, mut taken) = (template.as_bytes(), 0, 0);
    while at < bytes.len() {
        if bytes[at] == b'{' {
            if at + 1 == bytes.len() || bytes[at + 1] != b'}' {
                return false;
            }
            taken += 1;
        }
        at += 1;
    }
    taken == arguments
}

impl Phrase {
    /// `template`, filled: see [`phrase!`].
    pub(crate) fn filled(template: &str, arguments: &[&dyn fmt::Display]) -> Phrase {
        let mut arguments = arguments.iter();
        let mut fill = |text: &str| {
            let mut filled = String::new();
            for (index, part) in text.split("{}").enumerate() {
                if index > 0 {
                    filled.extend(arguments.next().map(ToString::to_string));
                }
                filled += part;
            }
            filled
        };
        let mut phrase = Phrase::default();
        for (index, part) in template.split('<').enumerate() {
            let (setting, text) = match part.split_once('>') {
                Some((setting, text)) if index > 0 => (Some(setting), text),
                _ => (None, part),
            };
            if let Some(setting) = setting {
                let (name, value) = setting.split_once(' ').unwrap_or((setting, ""));
                let (name, value) = (fill(name), fill(value));
                phrase.0.push(Piece::Setting(Setting { name, value }));
            }
            if !text.is_empty() {
                phrase.0.push(Piece::Text(fill(text)));
            }
        }
        phrase
    }

    /// The words where a setting is what `name` makes of it.
    pub fn worded(&self, name: impl Fn(&Setting) -> String) -> String {
        let piece = |piece: &Piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Setting(setting) => name(setting),
        };
        self.0.iter().map(piece).collect()
    }

    /// With `other` behind it.
    #[must_use]
    pub(crate) fn then(mut self, other: Phrase) -> Phrase {
        self.0.extend(other.0);
        self
    }
}

impl From<String> for Phrase {
    fn from(text: String) -> Phrase {
        Phrase(vec![Piece::Text(text)])
    }
}

impl From<&str> for Phrase {
    fn from(text: &str) -> Phrase {
        Phrase::from(text.to_string())
    }
}

impl fmt::Display for Phrase {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.worded(Setting::to_string))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_told_from_words_and_from_arguments() {
        let phrase = phrase!("<bits {}>: {} of <{}>; lower <batch-size>", "4,2", "a<lr>{}", "seed");
        assert_eq!(phrase.to_string(), "bits = 4,2: a<lr>{} of seed; lower batch-size");
        assert!(takes("<a {}>: {}", 2) && !takes("{}", 0) && !takes("{name}", 1));
        assert_eq!(
            phrase.worded(|setting| format!("--{} {}", setting.name, setting.value)),
            "--bits 4,2: a<lr>{} of --seed ; lower --batch-size "
        );
    }
}
