//! What a user can do about a model that cannot be used as it is. How it is done, by which flag, is
//! the program's to say.

/// What would help.
#[derive(Clone, Debug, PartialEq)]
pub enum Remedy {
    /// To say to how many bits it is quantized, or that it is to run in float.
    Bits,
    /// To run it in float, or to train on from it, which calibrates.
    FloatOrCalibration,
    /// To say how pixels are normalised.
    Normalization(Box<KnownNormalization>),
    /// To say how pixels are normalised by numbers, or which data set has them.
    NormalizationOrImages,
    /// To say what network it is.
    Network,
    /// To say what network it is, or what its tensors are called there.
    NetworkOrNames,
    /// To say what network it is, or which images it is for.
    NetworkOrImages,
    /// To say how large the network's images are, or which ones they are.
    InputOrImages,
    /// To train the network that the file has.
    OwnNetwork,
    /// To plan the study anew.
    NewPlan,
    /// To finish its training.
    Training,
}

/// What is known of how the pixels of a model's images may be normalised: means and deviations, as
/// they are written.
#[derive(Clone, Debug, PartialEq)]
pub enum KnownNormalization {
    /// Those of a set that is known by name.
    OfKnown {
        /// Its name.
        name: String,
        /// What is published.
        published: String,
    },
    /// Those of the training images of a folder.
    OfFolder {
        /// Its name.
        name: String,
        /// What they have.
        own: String,
        /// What is published of the known set that is called alike, where there is one.
        alike: Option<String>,
    },
    /// The images are not known: those of the sets that there are.
    OfAny(Vec<(String, String)>),
}
