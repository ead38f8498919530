//! The newest saliency maps of a run: a file that a viewer reads while the run goes on, and
//! pictures of the maps.

use std::path::Path;

use image::{ExtendedColorType, ImageEncoder, codecs::png::PngEncoder};

use crate::{
    Error, Result,
    config::Shape,
    model::{Tensor, TensorFile},
    report::{ColorMap, SaliencyScale},
    train::Snapshot,
};

/// Name of the file in a run folder.
pub const MAPS_FILE: &str = "newest-maps.safetensors";
/// A map is enlarged until its shorter side has this many pixels.
const SIDE: u32 = 112;

/// The maps of a few images at one moment of training.
#[derive(Clone, Debug, PartialEq)]
pub struct NewestMaps {
    /// Number of steps before it.
    pub step: u64,
    /// Shape of a map.
    pub shape: Shape,
    /// Signed maps, [image, channel, row, column].
    pub maps: Vec<f32>,
}

impl NewestMaps {
    /// Those of a snapshot.
    pub fn of(snapshot: &Snapshot, shape: Shape) -> NewestMaps {
        NewestMaps { step: snapshot.step, shape, maps: snapshot.saliency.clone() }
    }

    /// Writes the file into a run's `folder`.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write(&self, folder: &Path) -> Result<()> {
        let [channels, height, width] = <[u32; 3]>::from(self.shape).map(|size| size as usize);
        let shape = [self.count(), channels, height, width];
        let tensors = [
            Tensor::i64("step", &[1], vec![self.step as i64]),
            Tensor::f32("maps", &shape, self.maps.clone()),
        ];
        TensorFile::write(&folder.join(MAPS_FILE), &tensors, &[])
    }

    /// Reads the file of the run in `folder`; `None` if there is none that can be read.
    pub fn read(folder: &Path) -> Option<NewestMaps> {
        let path = folder.join(MAPS_FILE);
        let file = TensorFile::read(&path).ok()?;
        let step = *file.tensor("step")?.to_i64(&path).ok()?.first()?;
        let tensor = file.tensor("maps")?;
        let &[_, channels, height, width] = tensor.shape.as_slice() else { return None };
        let side = |size: usize| u32::try_from(size).ok().filter(|size| (1..=4096).contains(size));
        let shape = Shape::new(side(channels)?, side(height)?, side(width)?);
        let maps = tensor.to_f32(&path).ok()?;
        Some(NewestMaps { step: u64::try_from(step).ok()?, shape, maps })
    }

    /// Number of maps.
    pub fn count(&self) -> usize {
        self.maps.len() / (self.shape.elements() as usize).max(1)
    }

    /// Map `index` as the mean over its channels, [row, column].
    pub fn plane(&self, index: usize) -> Vec<f32> {
        let plane = (self.shape.height * self.shape.width) as usize;
        let size = self.shape.elements() as usize;
        let map = self.maps.get(index * size..(index + 1) * size).unwrap_or_default();
        let mean = |at: usize| {
            map.iter().skip(at).step_by(plane).sum::<f32>() / self.shape.channels as f32
        };
        if map.is_empty() { Vec::new() } else { (0..plane).map(mean).collect() }
    }

    /// Map `index` as an enlarged PNG file in the colours of the other figures: height, width,
    /// bytes.
    ///
    /// # Errors
    /// [`Error::Data`] where the encoder fails.
    pub fn png(&self, index: usize) -> Result<(u32, u32, Vec<u8>)> {
        let (height, width) = (self.shape.height, self.shape.width);
        let factor = SIDE.div_ceil(height.min(width).max(1));
        let plane = self.plane(index);
        let scale = SaliencyScale::of(&plane);
        let mut pixels = Vec::with_capacity((height * width * factor * factor * 3) as usize);
        for row in 0..height * factor {
            for column in 0..width * factor {
                let at = (row / factor * width + column / factor) as usize;
                pixels.extend(scale.color(ColorMap::Diverging, plane[at]));
            }
        }
        let (rows, columns) = (height * factor, width * factor);
        let mut bytes = Vec::new();
        PngEncoder::new(&mut bytes)
            .write_image(&pixels, columns, rows, ExtendedColorType::Rgb8)
            .map_err(|error| Error::Data(format!("a map as PNG: {error}")))?;
        Ok((rows, columns, bytes))
    }
}
