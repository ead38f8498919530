//! Data sets that `saliq data fetch` downloads in the formats of others: their addresses, published
//! sums and class names.

use std::path::Path;

use crate::config::Shape;

/// A published sum of a file as it is downloaded.
#[derive(Clone, Copy, Debug)]
pub(super) enum Sum {
    /// It tells damage, not malice; it is what most publishers give.
    Md5(&'static str),
    Sha256(&'static str),
}

/// The files that are kept of a download.
#[derive(Clone, Copy, Debug)]
pub(super) enum Keep {
    /// The file itself.
    File,
    /// These members of a `.tar.gz` file, by their names without folders.
    Tar(&'static [&'static str]),
    /// These members of a ZIP file, by their names without folders.
    Zip(&'static [&'static str]),
}

/// A file of a set.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source {
    /// Its name in the set's folder.
    pub name: &'static str,
    /// Where it is, the preferred place first.
    pub urls: &'static [&'static str],
    pub sum: Sum,
    /// Most bytes of the download and of what is unpacked of it.
    pub most: u64,
    pub keep: Keep,
}

/// A set that can be downloaded.
#[derive(Clone, Copy, Debug)]
pub(super) struct RemoteSet {
    pub name: &'static str,
    pub shape: Shape,
    pub classes: u32,
    pub train: u32,
    pub test: u32,
    pub licence: &'static str,
    /// Names of the classes, where the files have none.
    pub class_names: &'static [&'static str],
    pub sources: &'static [Source],
}

impl RemoteSet {
    /// Whether its files are in `folder`.
    pub fn is_in(&self, folder: &Path) -> bool {
        self.sources.iter().flat_map(Source::kept).all(|name| folder.join(name).is_file())
    }
}

impl Source {
    /// The names of the files that are kept.
    pub fn kept(&self) -> Vec<&'static str> {
        match self.keep {
            Keep::File => vec![self.name],
            Keep::Tar(members) | Keep::Zip(members) => members.to_vec(),
        }
    }
}

/// The set with exactly this name.
pub(super) fn find(name: &str) -> Option<&'static RemoteSet> {
    SETS.iter().find(|set| set.name == name)
}

const GREY: Shape = Shape::new(1, 28, 28);
const COLOUR: Shape = Shape::new(3, 28, 28);
const MEBI: u64 = 1 << 20;

macro_rules! kmnist {
    ($name:literal, $md5:literal) => {
        Source {
            name: $name,
            urls: &[concat!("https://codh.rois.ac.jp/kmnist/dataset/kmnist/", $name)],
            sum: Sum::Md5($md5),
            most: 64 * MEBI,
            keep: Keep::File,
        }
    };
}

macro_rules! qmnist {
    ($name:literal, $md5:literal) => {
        Source {
            name: $name,
            urls: &[concat!(
                "https://raw.githubusercontent.com/facebookresearch/qmnist/master/",
                $name
            )],
            sum: Sum::Md5($md5),
            most: 64 * MEBI,
            keep: Keep::File,
        }
    };
}

macro_rules! emnist {
    ($split:literal, $classes:literal, $train:literal, $test:literal) => {
        RemoteSet {
            name: concat!("emnist-", $split),
            shape: GREY,
            classes: $classes,
            train: $train,
            test: $test,
            licence: "public domain (NIST; G. Cohen et al. 2017)",
            class_names: &[],
            sources: &[Source {
                name: "gzip.zip",
                urls: &[
                    "https://biometrics.nist.gov/cs_links/EMNIST/gzip.zip",
                    "https://www.itl.nist.gov/iaui/vip/cs_links/EMNIST/gzip.zip",
                ],
                sum: Sum::Md5("58c8d27c78d21e728a6bc7b3cc06412e"),
                most: 1024 * MEBI,
                keep: Keep::Zip(&[
                    concat!("emnist-", $split, "-train-images-idx3-ubyte.gz"),
                    concat!("emnist-", $split, "-train-labels-idx1-ubyte.gz"),
                    concat!("emnist-", $split, "-test-images-idx3-ubyte.gz"),
                    concat!("emnist-", $split, "-test-labels-idx1-ubyte.gz"),
                    concat!("emnist-", $split, "-mapping.txt"),
                ]),
            }],
        }
    };
}

macro_rules! medmnist {
    ($name:literal, $shape:expr, $md5:literal, [$train:literal, $test:literal], $classes:expr) => {
        RemoteSet {
            name: $name,
            shape: $shape,
            classes: $classes.len() as u32,
            train: $train,
            test: $test,
            licence: "CC BY 4.0 (MedMNIST v2, J. Yang et al. 2023)",
            class_names: $classes,
            sources: &[Source {
                name: concat!($name, ".npz"),
                urls: &[concat!(
                    "https://zenodo.org/records/6496656/files/",
                    $name,
                    ".npz?download=1"
                )],
                sum: Sum::Md5($md5),
                most: 512 * MEBI,
                keep: Keep::File,
            }],
        }
    };
}

const ORGANS: &[&str] = &[
    "bladder",
    "femur-left",
    "femur-right",
    "heart",
    "kidney-left",
    "kidney-right",
    "liver",
    "lung-left",
    "lung-right",
    "pancreas",
    "spleen",
];

/// Every set. The MD5 sums are those of torchvision (KMNIST, EMNIST, QMNIST) and of MedMNIST's list
/// (`medmnist/info.py`, version 2.1); ChestMNIST has several labels an image and is left out.
pub(super) static SETS: &[RemoteSet] = &[
    RemoteSet {
        name: "cifar-10",
        shape: Shape::new(3, 32, 32),
        classes: 10,
        train: 50_000,
        test: 10_000,
        licence: "no licence given (A. Krizhevsky 2009)",
        class_names: &[],
        sources: &[Source {
            name: "cifar-10-binary.tar.gz",
            urls: &["https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"],
            sum: Sum::Sha256("c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"),
            most: 256 * MEBI,
            keep: Keep::Tar(&[
                "batches.meta.txt",
                "data_batch_1.bin",
                "data_batch_2.bin",
                "data_batch_3.bin",
                "data_batch_4.bin",
                "data_batch_5.bin",
                "test_batch.bin",
            ]),
        }],
    },
    RemoteSet {
        name: "cifar-100",
        shape: Shape::new(3, 32, 32),
        classes: 100,
        train: 50_000,
        test: 10_000,
        licence: "no licence given (A. Krizhevsky 2009)",
        class_names: &[],
        sources: &[Source {
            name: "cifar-100-binary.tar.gz",
            urls: &["https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz"],
            sum: Sum::Sha256("58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec"),
            most: 256 * MEBI,
            keep: Keep::Tar(&["fine_label_names.txt", "train.bin", "test.bin"]),
        }],
    },
    RemoteSet {
        name: "kmnist",
        shape: GREY,
        classes: 10,
        train: 60_000,
        test: 10_000,
        licence: "CC BY-SA 4.0 (CODH, T. Clanuwat et al. 2018)",
        class_names: &["o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"],
        sources: &[
            kmnist!("train-images-idx3-ubyte.gz", "bdb82020997e1d708af4cf47b453dcf7"),
            kmnist!("train-labels-idx1-ubyte.gz", "e144d726b3acfaa3e44228e80efcd344"),
            kmnist!("t10k-images-idx3-ubyte.gz", "5c965bf0a639b31b8f53240b1b52f4d7"),
            kmnist!("t10k-labels-idx1-ubyte.gz", "7320c461ea6c1c855c0b718fb2a4b134"),
        ],
    },
    RemoteSet {
        name: "qmnist",
        shape: GREY,
        classes: 10,
        train: 60_000,
        test: 60_000,
        licence: "BSD 3-Clause (C. Yadav, L. Bottou 2019)",
        class_names: &[],
        sources: &[
            qmnist!("qmnist-train-images-idx3-ubyte.gz", "ed72d4157d28c017586c42bc6afe6370"),
            qmnist!("qmnist-train-labels-idx2-int.gz", "0058f8dd561b90ffdd0f734c6a30e5e4"),
            qmnist!("qmnist-test-images-idx3-ubyte.gz", "1394631089c404de565df7b7aeaf9412"),
            qmnist!("qmnist-test-labels-idx2-int.gz", "5b5b05890a5e13444e108efe57b788aa"),
        ],
    },
    emnist!("balanced", 47, 112_800, 18_800),
    emnist!("byclass", 62, 697_932, 116_323),
    emnist!("bymerge", 47, 697_932, 116_323),
    emnist!("digits", 10, 240_000, 40_000),
    // Labels from 1 on.
    emnist!("letters", 27, 124_800, 20_800),
    emnist!("mnist", 10, 60_000, 10_000),
    medmnist!(
        "pathmnist",
        COLOUR,
        "a8b06965200029087d5bd730944a56c1",
        [89_996, 7_180],
        &[
            "adipose",
            "background",
            "debris",
            "lymphocytes",
            "mucus",
            "smooth muscle",
            "normal colon mucosa",
            "cancer-associated stroma",
            "colorectal adenocarcinoma epithelium",
        ]
    ),
    medmnist!(
        "dermamnist",
        COLOUR,
        "0744692d530f8e62ec473284d019b0c7",
        [7_007, 2_005],
        &[
            "actinic keratoses and intraepithelial carcinoma",
            "basal cell carcinoma",
            "benign keratosis-like lesions",
            "dermatofibroma",
            "melanoma",
            "melanocytic nevi",
            "vascular lesions",
        ]
    ),
    medmnist!(
        "octmnist",
        GREY,
        "c68d92d5b585d8d81f7112f81e2d0842",
        [97_477, 1_000],
        &["choroidal neovascularization", "diabetic macular edema", "drusen", "normal"]
    ),
    medmnist!(
        "pneumoniamnist",
        GREY,
        "28209eda62fecd6e6a2d98b1501bb15f",
        [4_708, 624],
        &["normal", "pneumonia"]
    ),
    medmnist!(
        "retinamnist",
        COLOUR,
        "bd4c0672f1bba3e3a89f0e4e876791e4",
        [1_080, 400],
        &["0", "1", "2", "3", "4"]
    ),
    medmnist!(
        "breastmnist",
        GREY,
        "750601b1f35ba3300ea97c75c52ff8f6",
        [546, 156],
        &["malignant", "normal, benign"]
    ),
    medmnist!(
        "bloodmnist",
        COLOUR,
        "7053d0359d879ad8a5505303e11de1dc",
        [11_959, 3_421],
        &[
            "basophil",
            "eosinophil",
            "erythroblast",
            "immature granulocytes",
            "lymphocyte",
            "monocyte",
            "neutrophil",
            "platelet",
        ]
    ),
    medmnist!(
        "tissuemnist",
        GREY,
        "ebe78ee8b05294063de985d821c1c34b",
        [165_466, 47_280],
        &[
            "Collecting Duct, Connecting Tubule",
            "Distal Convoluted Tubule",
            "Glomerular endothelial cells",
            "Interstitial endothelial cells",
            "Leukocytes",
            "Podocytes",
            "Proximal Tubule Segments",
            "Thick Ascending Limb",
        ]
    ),
    medmnist!("organamnist", GREY, "866b832ed4eeba67bfb9edee1d5544e6", [34_581, 17_778], ORGANS),
    medmnist!("organcmnist", GREY, "0afa5834fb105f7705a7d93372119a21", [13_000, 8_268], ORGANS),
    medmnist!("organsmnist", GREY, "e5c39f1af030238290b9557d9503af9d", [13_940, 8_829], ORGANS),
];
