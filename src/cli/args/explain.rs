//! Arguments of `saliq explain`.

use std::{path::PathBuf, str::FromStr};

use clap::{Args, ValueEnum};

use super::ModelInputArgs;
use crate::{
    Error, Result,
    cli::words::phrased,
    config::{MaskRank, pointers, real, suggestion},
    report::ColorMap,
    saliency::{Baseline, DataOptions, LrpRule, Method, MethodOptions, Output, Target},
};

/// A method by its name.
pub(super) fn method(text: &str) -> Result<Method, String> {
    let names = || Method::ALL.map(Method::name);
    Method::named(text).ok_or_else(|| {
        let hint = match pointers::of_value("method", text, names()) {
            Some(said) => format!("; {};", phrased(&said)),
            None => suggestion(text, names()),
        };
        format!(
            "no such method{hint} there are {}",
            names().join(", "),
            hint = if hint.is_empty() { ";" } else { &hint }
        )
    })
}

/// The class whose score is explained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExplainTarget {
    /// The true label.
    Label,
    /// The predicted class.
    Predicted,
    /// This class.
    Class(u32),
}

impl ExplainTarget {
    /// In words, for captions.
    pub fn described(self, class_names: &[String]) -> String {
        match self {
            ExplainTarget::Label => "the true class".into(),
            ExplainTarget::Predicted => "the predicted class".into(),
            ExplainTarget::Class(class) => {
                match class_names.get(class as usize).filter(|name| **name != class.to_string()) {
                    Some(name) => format!("class {class}, {name}"),
                    None => format!("class {class}"),
                }
            }
        }
    }
}

impl FromStr for ExplainTarget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.parse()) {
            ("label", _) => Ok(ExplainTarget::Label),
            ("predicted", _) => Ok(ExplainTarget::Predicted),
            (_, Ok(class)) => Ok(ExplainTarget::Class(class)),
            _ => Err(format!(
                "must be label, predicted or a class number{}",
                suggestion(text, ["label", "predicted"])
            )),
        }
    }
}

/// What is differentiated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExplainOutput {
    /// The class's logit.
    Logit,
    /// The class's log-probability.
    LogSoftmax,
}

/// How layer-wise relevance propagation shares relevance out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExplainLrpRule {
    /// By all contributions, biases included (ε = 1e-9); the default.
    Epsilon,
    /// By positive contributions.
    ZPlus,
}

/// What stands for "nothing to see".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ExplainBaseline {
    /// 0 after normalisation: the mean of all pixels, where normalisation is standard.
    #[default]
    Zero,
    /// Pixel 0.
    Black,
    /// Pixel 255.
    White,
}

/// Image numbers in the order given, such as `0,5,7-20`; at most 100,000.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Indices(pub Vec<u32>);

impl FromStr for Indices {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const MOST: usize = 100_000;
        let number = |part: &str| {
            part.trim()
                .parse::<u32>()
                .map_err(|_| format!("`{part}` is not an image number or range"))
        };
        let mut indices = Vec::new();
        for part in text.split(',') {
            let (first, last) = match part.split_once('-') {
                Some((first, last)) => (number(first)?, number(last)?),
                None => (number(part)?, number(part)?),
            };
            if last < first {
                return Err(format!("`{part}`: the range ends before it starts"));
            }
            if (last - first) as usize >= MOST - indices.len().min(MOST) {
                return Err(format!("more than {MOST} images"));
            }
            indices.extend(first..=last);
        }
        Ok(Indices(indices))
    }
}

fn share(text: &str) -> Result<f32, String> {
    match real(text)? as f32 {
        share if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("must be from 0 to 1".into()),
    }
}

pub(super) fn not_negative(text: &str) -> Result<f32, String> {
    match real(text)? as f32 {
        value if value.is_finite() && value >= 0.0 => Ok(value),
        _ => Err("must be 0 or more".into()),
    }
}

impl From<ExplainTarget> for Target {
    fn from(target: ExplainTarget) -> Target {
        match target {
            ExplainTarget::Label => Target::Label,
            ExplainTarget::Predicted => Target::Predicted,
            ExplainTarget::Class(class) => Target::Class(class),
        }
    }
}

/// Refuses a method named twice: results are kept by the method's name.
pub(super) fn refuse_repeated(methods: &[Method]) -> Result<()> {
    match methods.iter().enumerate().find(|(index, method)| methods[..*index].contains(method)) {
        Some((_, method)) => {
            Err(Error::Usage(format!("--method: {} is named twice", method.name())))
        }
        None => Ok(()),
    }
}

/// What the long help says of `--method`.
fn methods_in_full() -> String {
    format!(
        "Attribution methods, a comma-separated list\n\n{}.\n\nMaps are signed, with respect to \
         the normalised input. For a quantized model the gradient is that of the straight-through \
         estimator, by definition: the integer function itself has none.",
        Method::ALL.map(Method::name).join(", ")
    )
}

/// `saliq explain`.
#[derive(Clone, Debug, Args)]
pub struct ExplainArgs {
    /// Models: .safetensors files (of saliq or PyTorch) or run folders; one column group each in
    /// the grid
    #[arg(required = true, value_name = "MODEL")]
    pub models: Vec<PathBuf>,
    /// Attribution methods, a comma-separated list
    #[arg(
        long,
        long_help = methods_in_full(),
        value_name = "M,…",
        value_delimiter = ',',
        default_value = "gradient",
        value_parser = method,
        help_heading = "Method"
    )]
    pub method: Vec<Method>,
    /// The class that is explained: label, predicted, or a class number
    #[arg(long, value_name = "CLASS", default_value = "predicted", help_heading = "Method")]
    pub target: ExplainTarget,
    /// What the gradient is taken of
    #[arg(long, value_enum, value_name = "WHAT", default_value = "logit", help_heading = "Method")]
    pub output: ExplainOutput,
    /// What stands for `nothing to see` in methods that compare with it [default: zero]
    #[arg(long, value_enum, value_name = "KIND", help_heading = "Method")]
    pub baseline: Option<ExplainBaseline>,
    /// How lrp shares relevance out: by all contributions, or by the positive ones
    #[arg(long, value_enum, value_name = "RULE", help_heading = "Method")]
    pub lrp_rule: Option<ExplainLrpRule>,
    /// Layer that methods of the grad-cam kind look at, such as conv1 or act2 [default: the last
    /// convolution]
    #[arg(long, value_name = "NAME", help_heading = "Method")]
    pub layer: Option<String>,
    /// Samples of methods that average over noise or masks [default: 50, rise 1000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000), help_heading = "Method")]
    pub samples: Option<u32>,
    /// Noise of methods that add some, as a share of the image's range [default: 0.15,
    /// gradient-shap 0]
    #[arg(long, value_name = "SHARE", value_parser = not_negative, allow_negative_numbers = true, help_heading = "Method")]
    pub noise: Option<f32>,
    /// Steps of methods that integrate along a path [default: 50]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000), help_heading = "Method")]
    pub steps: Option<u32>,
    /// Seed of methods that draw random numbers
    #[arg(long, value_name = "N", default_value = "0", help_heading = "Method")]
    pub seed: u64,
    /// Images by number, such as 0,5,7-20
    #[arg(long, value_name = "LIST", conflicts_with = "count", help_heading = "Data")]
    pub indices: Option<Indices>,
    /// The first N images
    #[arg(long, value_name = "N", default_value = "8", value_parser = clap::value_parser!(u32).range(1..=100_000), help_heading = "Data")]
    pub count: u32,
    /// Pictures of one's own (PNG), a comma-separated list, or the flag several times
    ///
    /// A name that holds a comma is taken whole where there is such a file. A picture is scaled to
    /// the model's images without regard to its proportions, and turned as its EXIF orientation
    /// says. Transparent pixels become white where what is visible is dark, black where it is
    /// light. Colours become grey, where the model needs it, as Pillow and torchvision do it: 0.299
    /// R + 0.587 G + 0.114 B (ITU-R BT.601). With pictures, --dataset only says which images the
    /// model is for, where its file does not.
    #[arg(long, value_name = "FILE.png,…", conflicts_with_all = ["indices", "count", "split"], help_heading = "Data")]
    pub image: Vec<PathBuf>,
    /// Dark and light swapped in --image: for ink on paper, where the model knows light on dark
    #[arg(long, requires = "image", help_heading = "Data")]
    pub invert: bool,
    /// Which images, and how to run the models.
    #[command(flatten)]
    pub input: ModelInputArgs,
    /// Share of the features, those of highest saliency, that the masked picture keeps
    #[arg(
        long,
        value_name = "SHARE",
        default_value = "0.5",
        value_parser = share,
        allow_negative_numbers = true,
        help_heading = "Pictures"
    )]
    pub keep: f32,
    /// Colour map of the saliency pictures
    #[arg(long, value_name = "NAME", help_heading = "Pictures")]
    pub cmap: Option<ColorMap>,
    /// Folder for grid.png and attributions.safetensors
    #[arg(long, value_name = "DIR", default_value = "runs/explain", help_heading = "Pictures")]
    pub out: PathBuf,
}

impl ExplainArgs {
    /// Refuses a method named twice, and settings that no chosen method would look at.
    ///
    /// # Errors
    /// [`Error::Usage`] naming the flag.
    pub fn validate(&self) -> Result<()> {
        refuse_repeated(&self.method)?;
        type Takes = fn(Method) -> bool;
        let flags: [(&str, bool, Takes); 6] = [
            ("baseline", self.baseline.is_some(), Method::takes_baseline),
            ("samples", self.samples.is_some(), Method::takes_samples),
            ("noise", self.noise.is_some(), Method::takes_noise),
            ("steps", self.steps.is_some(), Method::takes_steps),
            ("layer", self.layer.is_some(), Method::takes_layer),
            ("lrp-rule", self.lrp_rule.is_some(), Method::takes_lrp_rule),
        ];
        if !self.image.is_empty() && self.target == ExplainTarget::Label {
            return Err(Error::Usage(
                "--target label: a picture of one's own has no label; name the class, or predicted"
                    .into(),
            ));
        }
        for (flag, given, takes) in flags {
            if given && !self.method.iter().any(|&method| takes(method)) {
                let methods: Vec<_> = Method::ALL
                    .into_iter()
                    .filter(|&method| takes(method))
                    .map(Method::name)
                    .collect();
                return Err(Error::Usage(format!(
                    "--{flag} has no effect on the chosen methods: it is for {}",
                    methods.join(", ")
                )));
            }
        }
        Ok(())
    }

    /// The pictures of `--image`: of the names between commas the longest run that is a file, else
    /// a name each.
    ///
    /// # Errors
    /// [`Error::Data`] where neither the whole nor a part of a list is a file.
    pub fn pictures(&self) -> Result<Vec<PathBuf>> {
        let mut pictures = Vec::new();
        for argument in &self.image {
            let Some(text) = argument.to_str().filter(|text| text.contains(',')) else {
                pictures.push(argument.clone());
                continue;
            };
            let parts: Vec<&str> = text.split(',').collect();
            let mut from = 0;
            while from < parts.len() {
                let names = (from + 1..=parts.len())
                    .rev()
                    .map(|to| (to, PathBuf::from(parts[from..to].join(","))));
                let Some((to, path)) = names.into_iter().find(|(_, path)| path.exists()) else {
                    let part = parts[from];
                    return Err(Error::Data(format!(
                        "--image {text}: there is no such file, nor, as a list, a file `{part}`"
                    )));
                };
                pictures.push(path);
                from = to;
            }
        }
        Ok(pictures)
    }

    /// What these arguments ask for, by `methods`, of images with these `numbers`.
    pub fn data_options(
        &self,
        methods: &[Method],
        normalization: (f32, f32),
        numbers: &[u32],
    ) -> DataOptions {
        let defaults = MethodOptions::default();
        let (mean, deviation) = normalization;
        let baseline = match self.baseline.unwrap_or_default() {
            ExplainBaseline::Zero => 0.0,
            ExplainBaseline::Black => -mean / deviation,
            ExplainBaseline::White => (1.0 - mean) / deviation,
        };
        let settings = MethodOptions {
            output: match self.output {
                ExplainOutput::Logit => Output::Logit,
                ExplainOutput::LogSoftmax => Output::LogSoftmax,
            },
            samples: self.samples,
            noise: self.noise,
            steps: self.steps.unwrap_or(defaults.steps),
            baseline: Baseline::Value(baseline),
            lrp_rule: match self.lrp_rule {
                Some(ExplainLrpRule::ZPlus) => LrpRule::ZPlus,
                Some(ExplainLrpRule::Epsilon) | None => LrpRule::Epsilon,
            },
            layer: self.layer.clone(),
            seed: self.seed,
            batch_size: self.input.batch_size,
            ..defaults
        };
        let target = match self.target {
            ExplainTarget::Label => Target::Label,
            ExplainTarget::Predicted => Target::Predicted,
            ExplainTarget::Class(class) => Target::Class(class),
        };
        DataOptions {
            methods: methods.to_vec(),
            target,
            settings,
            normalization,
            keep: self.keep,
            rank: MaskRank::Signed,
            numbers: numbers.to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_and_ranges() {
        let indices = |text: &str| text.parse::<Indices>().map(|indices| indices.0);
        assert_eq!(indices("0,5,7-9,5"), Ok(vec![0, 5, 7, 8, 9, 5]));
        for bad in ["", "a", "3-1", "-3", "1-", "0-4294967295", "0-99999,1", "4294967296"] {
            assert!(indices(bad).is_err(), "{bad}");
        }
        assert_eq!(indices("0-99999").map(|list| list.len()), Ok(100_000));
    }

    #[test]
    fn methods_are_known_or_explained() {
        for method in Method::ALL {
            assert_eq!(super::method(method.name()), Ok(method));
        }
        assert!(
            super::method("gradeint")
                .is_err_and(|reason| reason.contains("did you mean `gradient`?"))
        );
        assert!(super::method("xyz").is_err_and(|reason| !reason.contains("did you mean")));
    }

    #[test]
    fn targets() {
        assert_eq!("label".parse(), Ok(ExplainTarget::Label));
        assert_eq!("3".parse(), Ok(ExplainTarget::Class(3)));
        assert!("lable".parse::<ExplainTarget>().is_err_and(|reason| reason.contains("`label`")));
        assert!("-1".parse::<ExplainTarget>().is_err());
    }
}
