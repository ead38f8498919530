//! The presets of `saliq reproduce`: the models that a study trains, and its judgements.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::{judgement::Fill, saliency::Method};

/// Names of all attribution methods.
pub fn method_names() -> Vec<&'static str> {
    Method::ALL.iter().map(|method| method.name()).collect()
}

/// The extent of a study, and the training recipe of its models.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// A few steps on a few built-in digits, to test that everything works together; the numbers
    /// have no meaning.
    Tiny,
    /// The built-in digits and garments with four gradient methods; takes minutes on a CPU.
    Quick,
    /// MNIST and Fashion-MNIST with the paper's batch sizes and plain SGD, all methods, three
    /// seeds.
    Paper,
    /// As paper, with a better recipe: augmentation, dropout, one-cycle schedule, and quantized
    /// models that start from float ones.
    Best,
}

/// The figures that are computed for a model, and the number of test images for each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct JudgementPlan {
    /// Attribution methods by their names on the command line.
    pub methods: Vec<String>,
    /// Number of test images, from the first on, for the accuracy-drop curves.
    pub drop_images: u32,
    /// Values that replace removed features, in the accuracy-drop curves and in ROAR.
    pub fill: Fill,
    /// Number of test images, from the first on, for clarity, stability, alignment and
    /// randomisation.
    pub images: u32,
    /// Number of perturbations per image for max-sensitivity; 0 omits it.
    pub sensitivity_samples: u32,
    /// Whether parameters are randomised layer by layer.
    pub randomisation: bool,
    /// Settings of ROAR, which trains networks again without the most salient features; absent if
    /// ROAR is not run.
    pub retraining: Option<RetrainingPlan>,
    /// Number of images in the figure of the maps.
    pub pictures: u32,
}

/// Settings of ROAR. All maps, also those of quantized models, are tested with the same network,
/// which is float and has plain training. The curves then differ only by the maps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RetrainingPlan {
    /// Attribution methods by their names on the command line. Random order is run with the float
    /// models.
    pub methods: Vec<String>,
    /// Removed shares of the pixels.
    pub shares: Vec<f64>,
    /// Whether the maps of models quantized after training are tested too.
    pub post_training: bool,
    /// Numbers of training and test images, from the first on.
    pub images: [u32; 2],
    /// Training settings in the format of a configuration file.
    pub settings: String,
}

impl Preset {
    /// Data sets, in order.
    pub fn datasets(self) -> &'static [&'static str] {
        match self {
            Preset::Tiny => &["mnist-mini"],
            Preset::Quick => &["mnist-mini", "fashion-mini"],
            Preset::Paper | Preset::Best => &["mnist", "fashion-mnist"],
        }
    }

    /// Number of seeds per model without `--seeds`.
    pub fn seeds(self) -> u32 {
        match self {
            Preset::Tiny | Preset::Quick => 1,
            Preset::Paper | Preset::Best => 3,
        }
    }

    /// Whether quantized models start from the float model of their seed and not from scratch. If
    /// so, their control is the float model trained for the same number of further steps with the
    /// same settings.
    pub fn from_float(self) -> bool {
        self != Preset::Paper
    }

    /// Training settings in the format of a configuration file, for a float model, or (`further`)
    /// for a quantized model and its control.
    pub fn training(self, dataset: &str, further: bool) -> &'static str {
        let garments = dataset.starts_with("fashion");
        match (self, further, garments) {
            (Preset::Tiny, false, _) => "steps = 3\nbatch-size = 8\ntest-limit = 40\n",
            (Preset::Tiny, true, _) => "steps = 2\nbatch-size = 8\ntest-limit = 40\n",
            (Preset::Quick, false, _) => {
                "steps = 188\n\
                 batch-size = 64\noptimizer = \"momentum\"\nlr = 0.05\nschedule = \"one-cycle\"\n"
            }
            (Preset::Quick, true, _) => {
                "steps = 56\n\
                 batch-size = 64\noptimizer = \"momentum\"\nlr = 0.02\nschedule = \"one-cycle\"\n"
            }
            // The paper gives the batch size and the learning rate (the defaults of each data set)
            // but no number of epochs.
            (Preset::Paper, ..) => "epochs = 10\noptimizer = \"sgd\"\n",
            (Preset::Best, false, false) => {
                "epochs = 30\n\
                 batch-size = 128\n\
                 optimizer = \"momentum\"\n\
                 nesterov = true\n\
                 lr = 0.05\n\
                 weight-decay = 0.0005\n\
                 schedule = \"one-cycle\"\naugment = \"shift\"\ndropout = [0.25, 0.5]\n"
            }
            (Preset::Best, false, true) => {
                "epochs = 60\n\
                 batch-size = 128\n\
                 optimizer = \"momentum\"\n\
                 nesterov = true\n\
                 lr = 0.05\n\
                 weight-decay = 0.0005\n\
                 schedule = \"one-cycle\"\naugment = \"shift,hflip\"\ndropout = [0.25, 0.5]\n"
            }
            (Preset::Best, true, false) => {
                "epochs = 15\n\
                 batch-size = 128\n\
                 optimizer = \"momentum\"\n\
                 nesterov = true\n\
                 lr = 0.02\nschedule = \"one-cycle\"\naugment = \"shift\"\ndropout = [0.25, 0.5]\n"
            }
            (Preset::Best, true, true) => {
                "epochs = 30\n\
                 batch-size = 128\n\
                 optimizer = \"momentum\"\n\
                 nesterov = true\n\
                 lr = 0.02\n\
                 schedule = \"one-cycle\"\naugment = \"shift,hflip\"\ndropout = [0.25, 0.5]\n"
            }
        }
    }

    /// Target accuracy of a model with Saliency Guided Training and `bits` (`32`: float), for the
    /// preset `best` on full sets.
    pub fn goal(self, dataset: &str, bits: &str) -> Option<f64> {
        let goals = match (self, dataset) {
            (Preset::Best, "mnist") => [0.9950, 0.9940, 0.9935, 0.9930],
            (Preset::Best, "fashion-mnist") => [0.937, 0.932, 0.928, 0.920],
            _ => return None,
        };
        ["32", "4,4", "4,2", "2,2"].iter().position(|own| *own == bits).map(|column| goals[column])
    }

    /// The judgements; `all` are the available attribution methods.
    pub fn judgement(self, all: &[&str]) -> JudgementPlan {
        let some = |names: &[&str]| names.iter().map(|name| (*name).to_string()).collect();
        match self {
            Preset::Tiny => JudgementPlan {
                methods: some(&["gradient"]),
                fill: Fill::default(),
                drop_images: 8,
                images: 4,
                sensitivity_samples: 2,
                randomisation: true,
                retraining: Some(RetrainingPlan {
                    methods: some(&["gradient"]),
                    post_training: false,
                    shares: vec![0.5],
                    images: [16, 40],
                    settings: "steps = 1\nbatch-size = 8\n".into(),
                }),
                pictures: 4,
            },
            Preset::Quick => JudgementPlan {
                methods: some(&["gradient", "input-x-gradient", "guided-backprop", "deeplift"]),
                fill: Fill::default(),
                drop_images: 128,
                images: 96,
                sensitivity_samples: 2,
                randomisation: true,
                retraining: None,
                pictures: 8,
            },
            Preset::Paper | Preset::Best => JudgementPlan {
                methods: some(
                    &all.iter().copied().filter(|name| *name != "random").collect::<Vec<_>>(),
                ),
                fill: Fill::default(),
                drop_images: 2000,
                images: 500,
                sensitivity_samples: 10,
                randomisation: true,
                retraining: Some(RetrainingPlan {
                    methods: some(&["gradient"]),
                    post_training: true,
                    shares: vec![0.3, 0.6, 0.9],
                    images: [u32::MAX; 2],
                    settings: "epochs = 3\n\
                               batch-size = 128\n\
                               optimizer = \"momentum\"\n\
                               nesterov = true\nlr = 0.05\nschedule = \"one-cycle\"\n"
                        .into(),
                }),
                pictures: 10,
            },
        }
    }
}
