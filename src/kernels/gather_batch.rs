//! Launcher of `shaders/gather_batch.wgsl`.

use super::common::{elements, picture};
use crate::{
    config::Shape,
    gpu::{Buffer, Launch, Launcher},
    storage::{Format, Storage},
};

/// Means and standard deviations of pixels in 0..1.
#[derive(Clone, Copy, Debug)]
pub enum PixelConstants<'a> {
    /// The bytes stay as they are.
    None,
    /// One pair for all channels.
    ForAll {
        /// Subtracted from the pixel.
        mean: f32,
        /// Divides the difference.
        deviation: f32,
    },
    /// [channel / 4] pairs of vec4: means, then standard deviations.
    OfChannels(&'a Buffer),
}

/// The images that the bytes are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GatherFrom {
    /// All images of the data set.
    All,
    /// `images` of them, from `first` on. The others of the batch are left to other dispatches.
    Shard {
        /// Number of the first.
        first: u32,
        /// Most of them.
        images: u32,
    },
    /// Those of this submission, `part` for each of its parts.
    Window {
        /// Images of a part.
        part: u32,
    },
}

/// Collects a part of a batch from the data set: order, augmentation, normalisation.
#[derive(Clone, Copy, Debug)]
pub struct GatherBatch<'a> {
    /// The current step's record.
    pub current: &'a Buffer,
    /// Bytes of images, [image, channel, row, column], four per word.
    pub data: &'a Buffer,
    /// Labels of all images, one word each.
    pub labels: &'a Buffer,
    /// [image, row, column, channel / 4], of the part.
    pub pixels: &'a Buffer,
    /// Labels of the part's images, and again of their masked copies.
    pub batch_labels: &'a Buffer,
    /// Shape of an image.
    pub shape: Shape,
    /// Largest number of images of the part.
    pub most: u32,
    /// The images that `data` holds.
    pub from: GatherFrom,
    /// The numbers of the images that an epoch draws, if not all of them once.
    pub drawn: Option<&'a Buffer>,
    /// In the epoch's random order, or in file order.
    pub shuffle: bool,
    /// Largest shift of an image in pixels per direction; 0 shifts no image.
    pub shift: u32,
    /// Whether images are mirrored at random.
    pub hflip: bool,
    /// Side of a square that becomes 0 after normalisation; 0 for none.
    pub cutout: u32,
    /// What pixels in 0..1 are normalised with.
    pub constants: PixelConstants<'a>,
    /// Format of the pixels: in [`Format::U8`] they are the bytes, not normalised.
    pub format: Format,
    /// Invocations of a workgroup.
    pub lanes: u32,
    /// Groups of 4 values per invocation.
    pub strip: u32,
}

impl Launcher for GatherBatch<'_> {
    fn launch(&self) -> Launch<'_> {
        let specialization = picture(self.lanes, self.shape)
            .tile("STRIP", self.strip)
            .constant("SHUFFLE", u32::from(self.shuffle))
            .constant("SHIFT", self.shift)
            .constant("HFLIP", u32::from(self.hflip))
            .constant("CUTOUT", self.cutout)
            .feature("drawn", self.drawn.is_some())
            .feature("shard", matches!(self.from, GatherFrom::Shard { .. }))
            .feature("window", matches!(self.from, GatherFrom::Window { .. }));
        let specialization = match self.from {
            GatherFrom::All => specialization,
            GatherFrom::Shard { first, images } => {
                specialization.constant("FIRST_IMAGE", first).constant("IMAGES", images)
            }
            GatherFrom::Window { part } => specialization.constant("PART", part),
        };
        let of_channels = matches!(self.constants, PixelConstants::OfChannels(_));
        let specialization = specialization.feature("constants_of_channels", of_channels);
        let specialization = match self.constants {
            PixelConstants::None => specialization,
            PixelConstants::ForAll { mean, deviation } => {
                specialization.constant("MEAN", mean).constant("DEVIATION", deviation)
            }
            PixelConstants::OfChannels(_) => specialization,
        };
        let storage = Storage::new(Format::F32, self.format);
        let groups = elements(self.shape);
        let launch = Launch::new("gather_batch", storage.specialize(specialization))
            .bind("current", self.current)
            .bind("data", self.data)
            .bind("labels", self.labels)
            .bind("pixels", self.pixels)
            .bind("batch_labels", self.batch_labels)
            .bind_some("drawn_images", self.drawn)
            .over([groups.div_ceil(self.lanes * self.strip), self.most, 1]);
        match self.constants {
            PixelConstants::OfChannels(constants) => launch.bind("constants", constants),
            _ => launch,
        }
    }
}
