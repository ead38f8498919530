//! Arguments of `saliq explain`.

use std::{path::PathBuf, str::FromStr};

use clap::{Args, ValueEnum};

use super::ModelInputArgs;
use crate::{
    Error, Result,
    cli::words::phrased,
    config::{MaskRank, PixelNormalization, pointers, real, suggestion},
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
    /// The class in words, for captions.
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

/// The score whose gradient is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExplainOutput {
    /// The class's logit.
    Logit,
    /// The class's log-probability.
    LogSoftmax,
}

/// How layer-wise relevance propagation distributes relevance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExplainLrpRule {
    /// To all contributions, including biases (ε = 1e-9); the default.
    Epsilon,
    /// To positive contributions only.
    ZPlus,
}

/// The image that stands for the absence of features.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ExplainBaseline {
    /// 0 after normalisation, which is the mean of all pixels with standard normalisation.
    #[default]
    Zero,
    /// Pixel 0.
    Black,
    /// Pixel 255.
    White,
}

impl ExplainBaseline {
    /// The baseline in the units of a network's input.
    pub(super) fn normalized(self, normalization: &PixelNormalization) -> Baseline {
        match self {
            ExplainBaseline::Zero => Baseline::Value(0.0),
            ExplainBaseline::Black => Baseline::of_pixel(0.0, normalization),
            ExplainBaseline::White => Baseline::of_pixel(1.0, normalization),
        }
    }
}

/// Images in the order given, by number or by file name, such as `0,5,7-20,cat/001.png`; at most
/// 100,000.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Indices(pub Vec<Selected>);

/// An image of a data set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selected {
    /// Its number.
    Number(u32),
    /// The end of its path in the data set's folder.
    File(String),
}

impl FromStr for Indices {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const MOST: usize = 100_000;
        let number = |part: &str| {
            part.trim()
                .parse::<u32>()
                .map_err(|_| format!("`{part}` is not an image number, a range or a file name"))
        };
        let mut indices = Vec::new();
        for part in text.split(',') {
            if part.contains(['.', '/']) {
                indices.push(Selected::File(part.trim().into()));
                continue;
            }
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
            indices.extend((first..=last).map(Selected::Number));
        }
        Ok(Indices(indices))
    }
}

impl Indices {
    /// The numbers of the images of a split whose images have these files (none, if they have no
    /// names).
    ///
    /// # Errors
    /// [`Error::Usage`] for a name that no file has, or several.
    pub fn numbers(&self, files: &[String]) -> Result<Vec<u32>> {
        let number = |selected: &Selected| match selected {
            Selected::Number(number) => Ok(*number),
            Selected::File(name) => number_of(name, files).map_err(Error::Usage),
        };
        self.0.iter().map(number).collect()
    }
}

/// The number of the file with this path, or with a path that ends so.
fn number_of(name: &str, files: &[String]) -> Result<u32, String> {
    if files.is_empty() {
        return Err(format!(
            "--indices {name}: the images of this data set have no file names; use numbers"
        ));
    }
    let ends = |file: &String| {
        file.strip_suffix(name).is_some_and(|before| before.is_empty() || before.ends_with('/'))
    };
    let exact = files.iter().position(|file| file == name);
    let mut found = files.iter().enumerate().filter(|(_, file)| ends(file));
    match (exact, found.next(), found.next()) {
        (Some(place), ..) | (None, Some((place, _)), None) => Ok(place as u32),
        (None, Some((_, one)), Some((_, other))) => {
            Err(format!("--indices {name}: {one} and {other} end so; name the folder too"))
        }
        (None, None, _) => {
            let hint = suggestion(name, files.iter().take(10_000).map(String::as_str));
            Err(format!("--indices {name}: no image of this split has that file{hint}"))
        }
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

/// Returns an error for a method named twice, because results are stored by the method's name.
pub(super) fn refuse_repeated(methods: &[Method]) -> Result<()> {
    match methods.iter().enumerate().find(|(index, method)| methods[..*index].contains(method)) {
        Some((_, method)) => {
            Err(Error::Usage(format!("--method: {} is named twice", method.name())))
        }
        None => Ok(()),
    }
}

/// The long help of `--method`.
fn methods_in_full() -> String {
    format!(
        "Attribution methods, a comma-separated list\n\n{}.\n\nMaps are signed, with respect to \
         the normalised input. The gradient of a quantized model is defined as that of the \
         straight-through estimator, because the integer function itself has no gradient.",
        Method::ALL.map(Method::name).join(", ")
    )
}

/// `saliq explain`.
#[derive(Clone, Debug, Args)]
pub struct ExplainArgs {
    /// Models: .safetensors files (of saliq or PyTorch), ONNX files or run folders; each has a
    /// group of columns in the grid
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
    /// Class to explain: label, predicted, or a class number
    #[arg(long, value_name = "CLASS", default_value = "predicted", help_heading = "Method")]
    pub target: ExplainTarget,
    /// Score whose gradient is taken: the class's logit or its log-probability
    #[arg(long, value_enum, value_name = "WHAT", default_value = "logit", help_heading = "Method")]
    pub output: ExplainOutput,
    /// Image without features, for methods that compare with a baseline [default: zero]
    #[arg(long, value_enum, value_name = "KIND", help_heading = "Method")]
    pub baseline: Option<ExplainBaseline>,
    /// How lrp distributes relevance: to all contributions, or to the positive ones [default:
    /// epsilon]
    #[arg(long, value_enum, value_name = "RULE", help_heading = "Method")]
    pub lrp_rule: Option<ExplainLrpRule>,
    /// Layer whose output methods of the grad-cam kind use, such as conv1 or act2 [default: the
    /// last convolution]
    #[arg(long, value_name = "NAME", help_heading = "Method")]
    pub layer: Option<String>,
    /// Apply a ReLU to the sum of the weighted channels in methods of the grad-cam kind: no
    /// negative values, as published [default: signed maps; guided-grad-cam always has the ReLU]
    #[arg(long, help_heading = "Method")]
    pub grad_cam_relu: bool,
    /// Number of samples per image in methods that average over noise or masks [default: 50, rise
    /// 1000]
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..=1_000_000),
        help_heading = "Method"
    )]
    pub samples: Option<u32>,
    /// Standard deviation of the noise in methods that add noise, as a share of the image's range
    /// [default: 0.15, gradient-shap 0]
    #[arg(
        long,
        value_name = "SHARE",
        value_parser = not_negative,
        allow_negative_numbers = true,
        help_heading = "Method"
    )]
    pub noise: Option<f32>,
    /// Number of steps in methods that integrate along a path [default: 50]
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..=10_000),
        help_heading = "Method"
    )]
    pub steps: Option<u32>,
    /// Seed of the random numbers of methods
    #[arg(long, value_name = "N", default_value = "0", help_heading = "Method")]
    pub seed: u64,
    /// Images by number, counted from 0, or by the end of their files' paths, such as
    /// 0,5,7-20,cat/001.png
    #[arg(long, value_name = "LIST", conflicts_with = "count", help_heading = "Data")]
    pub indices: Option<Indices>,
    /// Use the first N images
    #[arg(
        long,
        value_name = "N",
        default_value = "8",
        value_parser = clap::value_parser!(u32).range(1..=100_000),
        help_heading = "Data"
    )]
    pub count: u32,
    /// Your own pictures (PNG files): a comma-separated list, or the flag several times
    ///
    /// A name with a comma is one name if such a file exists. A picture is scaled to the size of
    /// the model's images, whatever its proportions, and rotated by its EXIF orientation.
    /// Transparent pixels become white if the visible pixels are dark, and black if they are light.
    /// If the model needs grey images, colours become grey as in Pillow and torchvision: 0.299 R +
    /// 0.587 G + 0.114 B (ITU-R BT.601). With pictures, --dataset only says which images the model
    /// is for, if its file does not say it.
    #[arg(
        long,
        value_name = "FILE.png,…",
        conflicts_with_all = ["indices", "count", "split"],
        help_heading = "Data"
    )]
    pub image: Vec<PathBuf>,
    /// Invert the pictures of --image, for example dark ink on white paper if the model was trained
    /// on light digits on black
    #[arg(long, requires = "image", help_heading = "Data")]
    pub invert: bool,
    /// Folder of masks, with a picture for each image at the same path (cat/001.png for
    /// cat/001.jpg): black is outside; adds pointing game, relevance mass, rank and overlap
    #[arg(
        long,
        value_name = "DIR",
        conflicts_with_all = ["image", "array"],
        help_heading = "Data"
    )]
    pub masks: Option<PathBuf>,
    /// Images of a NumPy array, [N, C, H, W], in the place of a data set: all of them
    ///
    /// Bytes (uint8) are pixels, 0 to 255. Floats stand where pixel/255 stands, 0 to 1, and are
    /// normalised as such; with --normalize none they go into the network exactly as they are.
    #[arg(
        long,
        value_name = "FILE.npy",
        conflicts_with_all = ["image", "indices", "count", "split"],
        help_heading = "Data"
    )]
    pub array: Option<PathBuf>,
    /// Class numbers of the images of --array, one an image
    #[arg(
        long,
        value_name = "FILE.npy",
        requires = "array",
        // clap asks for nothing that conflicts with what is given.
        conflicts_with_all = ["image", "indices", "count", "split"],
        help_heading = "Data"
    )]
    pub labels: Option<PathBuf>,
    /// The images, and how to run the models.
    #[command(flatten)]
    pub input: ModelInputArgs,
    /// Share of the features, those of highest saliency, that the masked picture keeps, 0 to 1
    #[arg(
        long,
        value_name = "SHARE",
        default_value = "0.5",
        value_parser = share,
        allow_negative_numbers = true,
        help_heading = "Pictures"
    )]
    pub keep: f32,
    /// A column for the map of each colour channel [default: their sum]
    ///
    /// attributions.safetensors has the channels apart in any case.
    #[arg(long, help_heading = "Pictures")]
    pub per_channel_maps: bool,
    /// Colour map of the saliency pictures
    #[arg(long, value_name = "NAME", help_heading = "Pictures")]
    pub cmap: Option<ColorMap>,
    /// Write attributions.npz too, which numpy.load reads: the same arrays, and the names of the
    /// images' files as image_files
    #[arg(long, help_heading = "Pictures")]
    pub npz: bool,
    /// Folder for the outputs grid.png and attributions.safetensors
    #[arg(long, value_name = "DIR", default_value = "runs/explain", help_heading = "Pictures")]
    pub out: PathBuf,
}

impl ExplainArgs {
    /// Returns an error for a method named twice, and for settings that no chosen method uses.
    ///
    /// # Errors
    /// [`Error::Usage`] naming the flag.
    pub fn validate(&self) -> Result<()> {
        refuse_repeated(&self.method)?;
        type Takes = fn(Method) -> bool;
        let flags: [(&str, bool, Takes); 7] = [
            ("baseline", self.baseline.is_some(), Method::takes_baseline),
            ("samples", self.samples.is_some(), Method::takes_samples),
            ("noise", self.noise.is_some(), Method::takes_noise),
            ("steps", self.steps.is_some(), Method::takes_steps),
            ("layer", self.layer.is_some(), Method::takes_layer),
            ("grad-cam-relu", self.grad_cam_relu, Method::takes_grad_cam_relu),
            ("lrp-rule", self.lrp_rule.is_some(), Method::takes_lrp_rule),
        ];
        if !self.image.is_empty() && self.target == ExplainTarget::Label {
            return Err(Error::Usage(
                "--target label: your own picture has no label; name the class, or predicted"
                    .into(),
            ));
        }
        if self.array.is_some() && self.labels.is_none() && self.target == ExplainTarget::Label {
            return Err(Error::Usage(
                "--target label: --array has no labels; give them with --labels FILE.npy, or name \
                 the class, or predicted"
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

    /// The pictures of `--image`. Of the parts between commas, the longest sequence that is a file
    /// is one picture; otherwise each part is one.
    ///
    /// # Errors
    /// [`Error::Data`] if neither the whole list nor a part of it is a file.
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

    /// The options of these arguments, with `methods`, for images with these `numbers`.
    pub fn data_options(
        &self,
        methods: &[Method],
        normalization: PixelNormalization,
        numbers: &[u32],
    ) -> DataOptions {
        let defaults = MethodOptions::default();
        let baseline = self.baseline.unwrap_or_default().normalized(&normalization);
        let settings = MethodOptions {
            output: match self.output {
                ExplainOutput::Logit => Output::Logit,
                ExplainOutput::LogSoftmax => Output::LogSoftmax,
            },
            samples: self.samples,
            noise: self.noise,
            steps: self.steps.unwrap_or(defaults.steps),
            baseline,
            lrp_rule: match self.lrp_rule {
                Some(ExplainLrpRule::ZPlus) => LrpRule::ZPlus,
                Some(ExplainLrpRule::Epsilon) | None => LrpRule::Epsilon,
            },
            layer: self.layer.clone(),
            grad_cam_relu: self.grad_cam_relu,
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
            keep: Some(self.keep),
            rank: MaskRank::Signed,
            values: Vec::new(),
            numbers: numbers.to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_and_ranges() {
        let indices = |text: &str| text.parse::<Indices>().map(|list| list.numbers(&[]).unwrap());
        assert_eq!(indices("0,5,7-9,5"), Ok(vec![0, 5, 7, 8, 9, 5]));
        for bad in ["", "a", "3-1", "-3", "1-", "0-4294967295", "0-99999,1", "4294967296"] {
            assert!(indices(bad).is_err(), "{bad}");
        }
        assert_eq!(indices("0-99999").map(|list| list.len()), Ok(100_000));
    }

    #[test]
    fn images_are_selected_by_file() {
        let files = ["test/cat/1.png", "test/cat/2.png", "test/dog/1.png"].map(String::from);
        let numbers = |text: &str| text.parse::<Indices>().unwrap().numbers(&files);
        assert_eq!(numbers("2.png,0-1,test/dog/1.png,cat/1.png").unwrap(), [1, 0, 1, 2, 0]);
        for (text, part) in
            [("1.png", "test/dog/1.png end so"), ("3.png", "no image"), ("g/1.png", "no image")]
        {
            let error = numbers(text).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
        let error = "a.png".parse::<Indices>().unwrap().numbers(&[]).unwrap_err().to_string();
        assert!(error.contains("no file names"), "{error}");
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
