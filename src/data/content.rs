//! What the reader of a format found, before it is checked as a whole.

use crate::{
    Error, Result,
    config::{ColorMode, ImageSize, ReadOptions, Shape},
    data::{
        dataset::{Skipped, Split},
        pixels,
    },
};

/// Images with labels of one shape.
#[derive(Clone, Debug, Default)]
pub(super) struct Part {
    /// Shape of every image.
    pub shape: Shape,
    /// Images and labels.
    pub split: Split,
    /// The file of each image; empty where images have none.
    pub files: Vec<String>,
    /// What to call it in messages, such as `x_test in set.npz`.
    pub name: String,
}

/// A data set as its files have it.
#[derive(Clone, Debug, Default)]
pub(super) struct Content {
    /// Training images, or all images where there is no test set.
    pub train: Part,
    /// Test images.
    pub test: Option<Part>,
    /// Images that were set apart for validation.
    pub validation: Option<Part>,
    /// Names of the classes; absent: their numbers.
    pub class_names: Option<Vec<String>>,
    /// Least number of classes: labels alone do not show all.
    pub least_classes: u32,
    /// Files that were not used.
    pub skipped: Vec<Skipped>,
    /// What is odd, a line each.
    pub warnings: Vec<String>,
}

impl Content {
    /// Every part, in the order training, test, validation.
    pub fn parts(&self) -> impl Iterator<Item = &Part> {
        std::iter::once(&self.train).chain(&self.test).chain(&self.validation)
    }

    /// Transposes, converts and resizes the images of every part.
    ///
    /// # Errors
    /// [`Error::Data`] for images that have neither one nor three channels.
    pub fn convert(&mut self, options: &ReadOptions) -> Result<()> {
        let parts =
            std::iter::once(&mut self.train).chain(&mut self.test).chain(&mut self.validation);
        for part in parts {
            if options.transpose {
                part.transpose();
            }
            if let Some(color) = options.color {
                part.recolor(color)?;
            }
            if let Some(size) = options.image_size {
                part.resize(size)?;
            }
        }
        Ok(())
    }
}

impl Part {
    /// The same images with `shape`, `change` applied to each.
    fn map(&mut self, shape: Shape, change: impl Fn(&[u8], &mut Vec<u8>)) {
        let before = (self.shape.elements() as usize).max(1);
        let mut images = Vec::with_capacity(self.split.len() * shape.elements() as usize);
        for image in self.split.images.chunks_exact(before) {
            change(image, &mut images);
        }
        (self.shape, self.split.images) = (shape, images);
    }

    fn transpose(&mut self) {
        let Shape { channels, height, width } = self.shape;
        let (rows, columns) = (height as usize, width as usize);
        self.map(Shape::new(channels, width, height), |image, out| {
            for plane in image.chunks_exact(rows * columns) {
                for column in 0..columns {
                    out.extend((0..rows).map(|row| plane[row * columns + column]));
                }
            }
        });
    }

    fn recolor(&mut self, color: ColorMode) -> Result<()> {
        let Shape { channels, height, width } = self.shape;
        if channels == color.channels() {
            return Ok(());
        }
        let shape = Shape::new(color.channels(), height, width);
        match channels {
            1 => self.map(shape, |image, out| (0..3).for_each(|_| out.extend(image))),
            3 => self.map(shape, |image, out| {
                let (red, rest) = image.split_at(shape.pixels() as usize);
                let (green, blue) = rest.split_at(shape.pixels() as usize);
                let pixels = red.iter().zip(green).zip(blue);
                out.extend(
                    pixels.map(|((&red, &green), &blue)| pixels::luminance([red, green, blue])),
                );
            }),
            _ => {
                return Err(Error::Data(format!(
                    "{}: images have {channels} channels; only images of 1 or 3 channels are \
                     converted to {}",
                    self.name,
                    color.channels()
                )));
            }
        }
        Ok(())
    }

    fn resize(&mut self, size: ImageSize) -> Result<()> {
        let Shape { channels, height, width } = self.shape;
        if (height, width) == (size.height, size.width) {
            return Ok(());
        }
        let shape = Shape::new(channels, size.height, size.width);
        pixels::check_bytes(&self.name, self.split.len(), shape)?;
        self.map(shape, |image, out| {
            for plane in image.chunks_exact((height * width) as usize) {
                out.extend(pixels::fit_plane(plane, [height, width], size));
            }
        });
        Ok(())
    }
}
