//! What a header can be asked for.

/// The order of an image's bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PixelOrder {
    /// `[channel][row][column]`.
    #[default]
    Chw,
    /// `[row][column][channel]`.
    Hwc,
}

/// How the sums of a quantized layer become levels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rescale {
    /// By floats: the levels of the integer engine.
    #[default]
    Float,
    /// By a multiplier of 32 bits, an offset and a shift; levels can differ at the edge between
    /// two.
    Integer,
}

/// What a header can be asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct COptions {
    /// Of the bytes that the header reads.
    pub pixels: PixelOrder,
    /// Of quantized layers.
    pub rescale: Rescale,
}
