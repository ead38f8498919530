//! A data set in memory.

use crate::{
    config::{DatasetInfo, Normalize, PixelNormalization, Shape},
    digest::sha256_hex,
};

/// Smallest standard deviation that pixels are divided by: one of the 255 steps between black and
/// white.
const SMALLEST_DEVIATION: f64 = 1.0 / 255.0;

/// Images with their labels, in file order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Split {
    /// N·C·H·W bytes, 0 to 255, in N, C, H, W order.
    pub images: Vec<u8>,
    /// N labels, each below the data set's number of classes.
    pub labels: Vec<u8>,
}

/// SHA-256 of all images and labels of `splits`, in hexadecimal; it distinguishes data sets with
/// the same name.
pub fn digest<'a>(splits: impl IntoIterator<Item = &'a Split>) -> String {
    sha256_hex(splits.into_iter().flat_map(|split| [&split.images[..], &split.labels[..]]))
}

impl Split {
    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are no images.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The label of every image, in the type of figures whose images may have no label.
    pub fn known_labels(&self) -> Vec<Option<u32>> {
        self.labels.iter().map(|&label| Some(u32::from(label))).collect()
    }

    /// Keeps the first `n` images of `shape` (all, if there are fewer).
    pub fn truncate(&mut self, n: usize, shape: Shape) {
        if n < self.len() {
            self.labels.truncate(n);
            self.images.truncate(n * shape.elements() as usize);
        }
    }

    /// The images of `shape` with these numbers, in this order; numbers beyond the end are left
    /// out.
    pub fn select(&self, indices: &[usize], shape: Shape) -> Split {
        let size = shape.elements() as usize;
        let mut selected = Split::default();
        for &index in indices.iter().filter(|&&index| index < self.len()) {
            selected.labels.push(self.labels[index]);
            selected.images.extend_from_slice(&self.images[index * size..(index + 1) * size]);
        }
        selected
    }

    /// Removes the last `share` (0..1, rounded to whole images) of the images of `shape` and
    /// returns it: the validation set of `--validation-share`. At least one image stays; a share
    /// that is not above 0 takes none.
    pub fn split_off_tail(&mut self, share: f32, shape: Shape) -> Split {
        let keep = self.len() - tail_length(self.len(), share);
        Split {
            labels: self.labels.split_off(keep),
            images: self.images.split_off(keep * shape.elements() as usize),
        }
    }
}

/// How many of `count` images [`Split::split_off_tail`] takes for `share`.
pub fn tail_length(count: usize, share: f32) -> usize {
    // `as` turns NaN and negative numbers into 0.
    ((count as f64 * f64::from(share)).round() as usize).min(count.saturating_sub(1))
}

/// A data set in memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    /// The known name, or the name of the folder.
    pub name: String,
    /// Shape of every image.
    pub shape: Shape,
    /// Number of classes, at least 2.
    pub classes: u32,
    /// A name for each class.
    pub class_names: Vec<String>,
    /// Training images.
    pub train: Split,
    /// Test images.
    pub test: Split,
    /// Published means and standard deviations of the training pixels in 0..1, if they exist.
    pub published_normalization: Option<PixelNormalization>,
    /// The folder it was read from, or `built-in`.
    pub source: String,
}

impl Dataset {
    /// The properties that the defaults of a run depend on.
    pub fn info(&self) -> DatasetInfo {
        DatasetInfo { name: self.name.clone(), shape: self.shape, classes: self.classes }
    }

    /// Classes without any image in either split: gaps in the labels.
    pub fn empty_classes(&self) -> Vec<u32> {
        let mut is_there = vec![false; self.classes as usize];
        for &label in self.train.labels.iter().chain(&self.test.labels) {
            if let Some(there) = is_there.get_mut(usize::from(label)) {
                *there = true;
            }
        }
        (0..self.classes).filter(|&class| !is_there[class as usize]).collect()
    }

    /// Whether it is a named set and not a folder of the same name.
    pub fn is_named(&self) -> bool {
        self.published_normalization.is_some()
    }

    /// What pixels in 0..1 are normalised with: (p − mean) / deviation.
    ///
    /// [`Normalize::Standard`] is what is published, else what all training images have, every
    /// channel its own (one pair for images of more than 16 channels). A deviation is then at least
    /// 1/255, so that images of one colour do not cause a division by zero.
    pub fn normalization(&self, mode: &Normalize) -> PixelNormalization {
        let measured = || {
            let pairs = channel_statistics(&self.train.images, self.shape);
            PixelNormalization::per_channel(&pairs).unwrap_or_else(|_| {
                let all = Shape::new(1, self.shape.height * self.shape.channels, self.shape.width);
                let (mean, deviation) = channel_statistics(&self.train.images, all)[0];
                PixelNormalization::uniform(mean, deviation)
            })
        };
        let standard = || self.published_normalization.unwrap_or_else(measured);
        mode.constants().unwrap_or_else(standard)
    }
}

/// Mean and (population) standard deviation of the pixels of every channel, scaled to 0..1, the
/// deviation at least 1/255. Computed from their histograms, and exact up to the final rounding.
pub fn channel_statistics(images: &[u8], shape: Shape) -> Vec<(f32, f32)> {
    let mut histograms = vec![[0u64; 256]; shape.channels as usize];
    let planes = images.chunks(shape.pixels().max(1) as usize);
    for (number, plane) in planes.enumerate() {
        let histogram = &mut histograms[number % shape.channels as usize];
        for &pixel in plane {
            histogram[usize::from(pixel)] += 1;
        }
    }
    histograms.iter().map(mean_and_deviation).collect()
}

/// Mean and (population) standard deviation of the pixels that a histogram counts.
fn mean_and_deviation(histogram: &[u64; 256]) -> (f32, f32) {
    let pixels: u64 = histogram.iter().sum();
    let expectation = |f: &dyn Fn(f64) -> f64| {
        let sum: f64 = histogram
            .iter()
            .enumerate()
            .map(|(value, &count)| count as f64 * f(value as f64 / 255.0))
            .sum();
        sum / pixels.max(1) as f64
    };
    let mean = expectation(&|p| p);
    let variance = expectation(&|p| (p - mean).powi(2));
    (mean as f32, variance.sqrt().max(SMALLEST_DEVIATION) as f32)
}
