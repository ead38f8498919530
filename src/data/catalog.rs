//! The named data sets: their contents, mirrors, checksums, and the embedded mini sets.

use super::{
    dataset::{Dataset, Details, Split},
    remote,
};
use crate::config::{PixelNormalization, Shape, pointers};

/// One of the four files of a set.
#[derive(Clone, Copy, Debug)]
pub struct PinnedFile {
    /// Name of the decompressed file, e.g. `train-images-idx3-ubyte`; mirrors offer it with `.gz`
    /// appended.
    pub name: &'static str,
    /// SHA-256 of the decompressed file (gzip files of the same data differ from mirror to mirror),
    /// 64 hexadecimal digits.
    pub sha256: &'static str,
    /// Length of the decompressed file.
    pub bytes: u64,
}

/// A named data set.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// The name for `--dataset`.
    pub name: &'static str,
    /// Shape of one image.
    pub shape: Shape,
    /// Names of the classes, in label order.
    pub class_names: &'static [&'static str],
    /// Number of training images.
    pub train: u32,
    /// Number of test images.
    pub test: u32,
    /// Published means and standard deviations of the training pixels in 0..1.
    pub normalization: PixelNormalization,
    /// Licence and holder.
    pub licence: &'static str,
    /// Folder in which torchvision keeps the set, below its `root`.
    pub torchvision: Option<&'static str>,
    /// URLs of folders with the files, the preferred one first; each ends with `/`. Empty for
    /// embedded sets.
    pub mirrors: &'static [&'static str],
    /// Training images, training labels, test images, test labels.
    pub files: [PinnedFile; 4],
    /// The files themselves (gzip), for embedded sets; same order.
    pub embedded: Option<[&'static [u8]; 4]>,
}

const DIGITS: &[&str] = &["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
const GARMENTS: &[&str] = &[
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
];
const MNIST_LICENCE: &str = "CC BY-SA 3.0 (Y. LeCun, C. Cortes, C. J. C. Burges)";
const FASHION_LICENCE: &str = "MIT (Zalando SE)";

const fn files(train: u64, test: u64, sha256: [&'static str; 4]) -> [PinnedFile; 4] {
    [
        PinnedFile { name: "train-images-idx3-ubyte", sha256: sha256[0], bytes: 16 + train * 784 },
        PinnedFile { name: "train-labels-idx1-ubyte", sha256: sha256[1], bytes: 8 + train },
        PinnedFile { name: "t10k-images-idx3-ubyte", sha256: sha256[2], bytes: 16 + test * 784 },
        PinnedFile { name: "t10k-labels-idx1-ubyte", sha256: sha256[3], bytes: 8 + test },
    ]
}

/// A program in a browser gets the files from its page: [`super::from_files`].
#[cfg(target_family = "wasm")]
macro_rules! embedded {
    ($name:literal) => {
        None
    };
}
#[cfg(not(target_family = "wasm"))]
macro_rules! embedded {
    ($name:literal) => {
        Some([
            include_bytes!(concat!("../../assets/data/", $name, "/train-images-idx3-ubyte.gz")),
            include_bytes!(concat!("../../assets/data/", $name, "/train-labels-idx1-ubyte.gz")),
            include_bytes!(concat!("../../assets/data/", $name, "/t10k-images-idx3-ubyte.gz")),
            include_bytes!(concat!("../../assets/data/", $name, "/t10k-labels-idx1-ubyte.gz")),
        ])
    };
}

/// Every named data set.
pub static CATALOG: [Entry; 4] = [
    Entry {
        name: "mnist",
        shape: Shape::new(1, 28, 28),
        class_names: DIGITS,
        train: 60_000,
        test: 10_000,
        normalization: PixelNormalization::uniform(0.1307, 0.3081),
        licence: MNIST_LICENCE,
        torchvision: Some("MNIST/raw"),
        // yann.lecun.com no longer serves the files; TensorFlow Datasets and torchvision use these
        // copies.
        mirrors: &[
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
        ],
        files: files(
            60_000,
            10_000,
            [
                "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
                "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
                "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
                "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
            ],
        ),
        embedded: None,
    },
    Entry {
        name: "fashion-mnist",
        shape: Shape::new(1, 28, 28),
        class_names: GARMENTS,
        train: 60_000,
        test: 10_000,
        normalization: PixelNormalization::uniform(0.2860, 0.3530),
        licence: FASHION_LICENCE,
        torchvision: Some("FashionMNIST/raw"),
        mirrors: &[
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
            "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
        ],
        files: files(
            60_000,
            10_000,
            [
                "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
                "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
                "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
                "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
            ],
        ),
        embedded: None,
    },
    Entry {
        name: "mnist-mini",
        shape: Shape::new(1, 28, 28),
        class_names: DIGITS,
        train: 6_000,
        test: 1_000,
        normalization: PixelNormalization::uniform(0.1307, 0.3081),
        licence: MNIST_LICENCE,
        torchvision: None,
        mirrors: &[],
        files: files(
            6_000,
            1_000,
            [
                "5e70119ad8ca01350c1b2fd3f58eb4c0617afdc0fa8945a3d63e6a33daeba69d",
                "ff4542eef991f0408428561f51d3e426698657dd02a35148555c89a37d2df31b",
                "b97c8bfeb834d8e7999eaa2d69239abe06653dc09c1e5d7eb0c974c5965bc6a9",
                "41cf2f530031915ba9fbb241407c369dba1acd7515053edff48cebeee8b260f4",
            ],
        ),
        embedded: embedded!("mnist-mini"),
    },
    Entry {
        name: "fashion-mini",
        shape: Shape::new(1, 28, 28),
        class_names: GARMENTS,
        train: 6_000,
        test: 1_000,
        normalization: PixelNormalization::uniform(0.2860, 0.3530),
        licence: FASHION_LICENCE,
        torchvision: None,
        mirrors: &[],
        files: files(
            6_000,
            1_000,
            [
                "cf313073c7eb485392848071d5c433571d7166043e971e3345b095cc30518084",
                "097b93fbcf9bd5bc648b1a457ddc55c9e4ab49afb33f9ecae8ce068399a75e3a",
                "7cee33c3c6414b1b86c25e665a6c4f41584269de3b7cc9768b1d351922845eef",
                "3128d790775889812b73c4f13923559c8b9e281d112c6ea7862acf60a206a909",
            ],
        ),
        embedded: embedded!("fashion-mini"),
    },
];

/// The data set with exactly this `name`.
pub fn find(name: &str) -> Option<&'static Entry> {
    CATALOG.iter().find(|entry| entry.name == name)
}

/// Whether `name` is that of a data set that is looked up in several places.
pub fn is_named(name: &str) -> bool {
    find(name).is_some() || remote::find(name).is_some()
}

/// A data set with the published sizes of the named set and black images of its first class, for
/// computations that depend only on the sizes. `None` for other names.
pub fn blank(name: &str) -> Option<Dataset> {
    let entry = find(name)?;
    let split = |count: u32| Split {
        images: vec![0; count as usize * entry.shape.elements() as usize],
        labels: vec![0; count as usize],
    };
    Some(Dataset {
        name: entry.name.into(),
        shape: entry.shape,
        classes: entry.class_names.len() as u32,
        class_names: entry.class_names.iter().map(ToString::to_string).collect(),
        train: split(entry.train),
        test: split(entry.test),
        published_normalization: Some(entry.normalization),
        source: "blank".into(),
        details: Details::default(),
    })
}

/// The names of all sets.
fn names() -> impl Iterator<Item = &'static str> {
    CATALOG.iter().map(|entry| entry.name).chain(remote::SETS.iter().map(|set| set.name))
}

/// The known name that `name` probably misspells, if there is one.
pub fn suggest(name: &str) -> Option<&'static str> {
    let name = name.to_lowercase().replace('_', "-");
    names()
        .map(|known| (strsim::jaro_winkler(&name, known), known))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .and_then(|(similarity, known)| (similarity > 0.8).then_some(known))
}

/// ` (did you mean X?)` or nothing, followed by the list of all names.
pub(crate) fn hint(name: &str) -> String {
    let names: Vec<&str> = names().collect();
    let meant = match pointers::of_value("dataset", name, []) {
        Some(said) => format!(": {said}"),
        None => suggest(name).map(|known| format!(", did you mean {known}?")).unwrap_or_default(),
    };
    format!("{meant} (known: {})", names.join(", "))
}
