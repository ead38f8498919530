//! Error messages for the command line: they add the flag that solves the problem.

use crate::{Error, KnownNormalization, Phrase, Remedy, Setting, Shortage};

/// `error` with advice.
pub(super) fn worded(error: &Error) -> String {
    match error {
        Error::Unsaid { remedy, .. } | Error::Unfit { remedy, .. } => {
            format!("{error}; {}", advice(remedy))
        }
        Error::Settings(phrase)
        | Error::NonFinite(phrase)
        | Error::Locked(phrase)
        | Error::Verification(phrase) => phrased(phrase),
        Error::OutOfMemory(Shortage { asked, advice }) => {
            format!("out of GPU memory: {asked}; {}", phrased(advice))
        }
        Error::Unfolded { .. } => format!("{error}; --method lrp takes it as it is"),
        Error::Workgroups { .. } => format!("{error}; lower --batch-size"),
        Error::Iterations { .. } => {
            format!("{error}; take smaller images, or a stride in front, or a GPU (--adapter)")
        }
        _ => error.to_string(),
    }
}

/// `phrase` with the flags of its settings.
pub(super) fn phrased(phrase: &Phrase) -> String {
    phrase.worded(flag)
}

fn flag(Setting { name, value }: &Setting) -> String {
    match value.as_str() {
        "" => format!("--{name}"),
        value => format!("--{name} {value}"),
    }
}

fn advice(remedy: &Remedy) -> String {
    match remedy {
        Remedy::Bits => {
            "say it with --bits, such as --bits 4,2, or run it in float with --bits 32".into()
        }
        Remedy::FloatOrCalibration => {
            "run it with --bits 32, or train with --init to calibrate".into()
        }
        Remedy::Normalization(known) => {
            format!("say it with --normalize none|unit|MEAN,STD ({})", suggestion(known))
        }
        Remedy::NormalizationOrImages => {
            "give --normalize MEAN,STD, or name the data set with --dataset".into()
        }
        Remedy::Network => {
            "say what network it is with --network FILE.toml, or a name from `saliq networks`"
                .into()
        }
        Remedy::NetworkOrNames => {
            "say what network it is with --network NAME|FILE.toml, or what its tensors are called \
             there with `saliq import --rename FROM=TO`"
                .into()
        }
        Remedy::NetworkOrImages => {
            "name the data set it is for with --dataset, or the network with --network FILE.toml"
                .into()
        }
        Remedy::InputOrImages => {
            "add `input = [C, H, W]` under [network], or name the data set with --dataset".into()
        }
        Remedy::OwnNetwork => {
            "give the file's network with --network FILE.toml, or --config with its config.toml"
                .into()
        }
        Remedy::NewPlan => {
            "a plan of another version is made anew by `saliq reproduce`, with its options and \
             --out"
                .into()
        }
        Remedy::Training => "`saliq train --resume` finishes a training".into(),
    }
}

/// The possible values of `--normalize`.
fn suggestion(known: &KnownNormalization) -> String {
    let pair = |own: &str| format!("--normalize {own}");
    match known {
        KnownNormalization::OfKnown { name, published } => {
            format!("for {name} it would be {}", pair(published))
        }
        KnownNormalization::OfFolder { name, own, alike } => {
            let alike = alike.as_deref().map_or_else(String::new, |published| {
                format!(
                    "; a folder is no set known by name: if it is {name}, say {} or --dataset \
                     {name}",
                    pair(published)
                )
            });
            format!("of the training images of {name} it would be {}{alike}", pair(own))
        }
        KnownNormalization::OfAny(sets) => {
            let sets: Vec<_> =
                sets.iter().map(|(name, own)| format!("{} for {name}", pair(own))).collect();
            sets.join(", ")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::phrase;

    #[test]
    fn flags_are_named_here_alone() {
        let error =
            |remedy| Error::Unsaid { file: "m".into(), what: "does not say".into(), remedy };
        let any = KnownNormalization::OfAny(vec![
            ("a".into(), "0.5,0.25".into()),
            ("b".into(), "0,1".into()),
        ]);
        let folder = |alike| KnownNormalization::OfFolder {
            name: "mnist".into(),
            own: "0.5,0.25".into(),
            alike,
        };
        for (remedy, words) in [
            (Remedy::Bits, "--bits 32"),
            (
                Remedy::Normalization(any.into()),
                "MEAN,STD (--normalize 0.5,0.25 for a, --normalize 0,1 for b)",
            ),
            (
                Remedy::Normalization(folder(None).into()),
                "images of mnist it would be --normalize 0.5,0.25)",
            ),
            (
                Remedy::Normalization(folder(Some("0.1,0.3".into())).into()),
                "say --normalize 0.1,0.3 or --dataset mnist)",
            ),
            (Remedy::NetworkOrImages, "--dataset, or the network with --network FILE.toml"),
        ] {
            let error = error(remedy);
            assert_eq!(error.to_string(), "m: does not say");
            let said = worded(&error);
            assert!(said.starts_with("m: does not say; ") && said.ends_with(words), "{said}");
        }
        assert_eq!(worded(&Error::Model("no".into())), "no");
        let phrase =
            || phrase!("<bits 4,2> is too long; see {}, or lower <batch-size>", "a `b = c`");
        let settings = Error::Settings(phrase());
        assert_eq!(
            settings.to_string(),
            "bits = 4,2 is too long; see a `b = c`, or lower batch-size"
        );
        let said = "--bits 4,2 is too long; see a `b = c`, or lower --batch-size";
        assert_eq!(worded(&settings), said);
        assert_eq!(worded(&Error::NonFinite(phrase())), said);
        let shortage = Shortage::new("x asked for 5 bytes", phrase!("lower <batch-size>"));
        assert_eq!(
            worded(&Error::OutOfMemory(shortage)),
            "out of GPU memory: x asked for 5 bytes; lower --batch-size"
        );
        let workgroups = Error::Workgroups { label: "x".into(), workgroups: [9; 3], limit: 8 };
        assert_eq!(
            worded(&workgroups),
            "x: [9, 9, 9] workgroups exceed 8 a dimension; lower --batch-size"
        );
        assert_eq!(phrased(&phrase!("it is `<lr>` here")), "it is `--lr` here");
    }
}
