//! A data set in memory.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::spread::spread_order;
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
    pub labels: Vec<u32>,
}

/// SHA-256 of all images and labels of `splits`, in hexadecimal; it distinguishes data sets with
/// the same name. Labels below 256 count as one byte, others as four.
pub fn digest<'a>(splits: impl IntoIterator<Item = &'a Split>) -> String {
    let parts: Vec<_> = splits
        .into_iter()
        .flat_map(|split| {
            let narrow: Option<Vec<u8>> =
                split.labels.iter().map(|&label| u8::try_from(label).ok()).collect();
            let labels = narrow.unwrap_or_else(|| split.label_bytes());
            [Cow::from(&split.images), Cow::from(labels)]
        })
        .collect();
    sha256_hex(parts.iter().map(|part| &part[..]))
}

impl Split {
    /// The labels as 32-bit words, little-endian.
    fn label_bytes(&self) -> Vec<u8> {
        self.labels.iter().flat_map(|label| label.to_le_bytes()).collect()
    }

    /// SHA-256 of all pixels, followed by all labels as 32-bit words, little-endian.
    pub fn sha256(&self) -> String {
        sha256_hex([&self.images[..], &self.label_bytes()])
    }

    /// `limit` images, and of these `share` (0..1, rounded) to validate with, of every class
    /// alike, chosen by `seed`. Both are in file order.
    pub fn spread(&self, limit: usize, share: f32, seed: u64, shape: Shape) -> (Split, Split) {
        let order = spread_order(&self.labels, seed);
        let kept = &order[..limit.min(order.len())];
        let (train, validation) = kept.split_at(kept.len() - tail_length(kept.len(), share));
        let select = |places: &[usize]| {
            let mut places = places.to_vec();
            places.sort_unstable();
            self.select(&places, shape)
        };
        (select(train), select(validation))
    }

    /// Number of images of each of `classes` classes.
    pub fn per_class(&self, classes: u32) -> Vec<u64> {
        let mut counts = vec![0; classes as usize];
        for &label in &self.labels {
            if let Some(count) = counts.get_mut(label as usize) {
                *count += 1;
            }
        }
        counts
    }

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
        self.labels.iter().map(|&label| Some(label)).collect()
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

/// A file that was not used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// Its path in the data set's folder.
    pub file: String,
    /// Why.
    pub reason: String,
}

/// What the files of a data set say besides images and labels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Details {
    /// The file of each training image, in the data set's folder; empty where images have none.
    pub train_files: Vec<String>,
    /// The file of each test image.
    pub test_files: Vec<String>,
    /// Whether the files have test images of their own.
    pub has_own_test: bool,
    /// Images that the files set apart for validation.
    pub validation: Option<Split>,
    /// Files that were not used.
    pub skipped: Vec<Skipped>,
    /// What is odd, a line each.
    pub warnings: Vec<String>,
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
    /// The folder or file it was read from, or `built-in`.
    pub source: String,
    /// Files, and what was odd about them.
    pub details: Details,
}

impl Dataset {
    /// The properties that the defaults of a run depend on.
    pub fn info(&self) -> DatasetInfo {
        DatasetInfo { name: self.name.clone(), shape: self.shape, classes: self.classes }
    }

    /// Whether the training images are files in the order of at least two classes: the first or
    /// last of them then lack classes.
    pub fn is_in_order_of_classes(&self) -> bool {
        let labels = &self.train.labels;
        !self.details.train_files.is_empty()
            && labels.is_sorted()
            && labels.first() != labels.last()
    }

    /// Classes without any image in either split: gaps in the labels.
    pub fn empty_classes(&self) -> Vec<u32> {
        let mut is_there = vec![false; self.classes as usize];
        for &label in self.train.labels.iter().chain(&self.test.labels) {
            if let Some(there) = is_there.get_mut(label as usize) {
                *there = true;
            }
        }
        (0..self.classes).filter(|&class| !is_there[class as usize]).collect()
    }

    /// The same images with the labels of `names`, if it calls its classes so in another order;
    /// `None` if it has names that are not there, or the same order.
    pub fn with_labels_of(&self, names: &[String]) -> Option<Dataset> {
        let place = |name: &String| names.iter().position(|other| other == name);
        let places: Option<Vec<usize>> = self.class_names.iter().map(place).collect();
        let places = places.filter(|places| {
            // A name that is there twice has no place of its own.
            let distinct: std::collections::BTreeSet<_> = places.iter().collect();
            distinct.len() == self.classes as usize
                && names.iter().collect::<std::collections::BTreeSet<_>>().len() == names.len()
                && places.iter().enumerate().any(|(index, place)| index != *place)
        })?;
        let mut own = self.clone();
        for labels in [&mut own.train.labels, &mut own.test.labels] {
            labels.iter_mut().for_each(|label| *label = places[*label as usize] as u32);
        }
        own.classes = names.len() as u32;
        own.class_names = names.to_vec();
        Some(own)
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
            let own = self.channel_statistics();
            let pair = |&(mean, deviation): &(f64, f64)| {
                (mean as f32, deviation.max(SMALLEST_DEVIATION) as f32)
            };
            let pairs: Vec<(f32, f32)> = own.iter().map(pair).collect();
            PixelNormalization::per_channel(&pairs).unwrap_or_else(|_| {
                let mean_of = |of: &dyn Fn(&(f64, f64)) -> f64| {
                    own.iter().map(of).sum::<f64>() / own.len().max(1) as f64
                };
                let mean = mean_of(&|pair| pair.0);
                let square = mean_of(&|pair| pair.0 * pair.0 + pair.1 * pair.1);
                let (mean, deviation) = pair(&(mean, (square - mean * mean).max(0.0).sqrt()));
                PixelNormalization::uniform(mean, deviation)
            })
        };
        let standard = || self.published_normalization.unwrap_or_else(measured);
        mode.constants().unwrap_or_else(standard)
    }

    /// Mean and (population) standard deviation of the training pixels in 0..1, a pair a channel.
    pub fn channel_statistics(&self) -> Vec<(f64, f64)> {
        let (channels, plane) = (self.shape.channels as usize, self.shape.pixels() as usize);
        let mut histograms = vec![[0u64; 256]; channels];
        for (index, values) in self.train.images.chunks(plane.max(1)).enumerate() {
            let histogram = &mut histograms[index % channels];
            values.iter().for_each(|&value| histogram[usize::from(value)] += 1);
        }
        histograms.iter().map(moments).collect()
    }
}

/// Mean and standard deviation of pixels in 0..1 from the number of pixels of each value.
fn moments(histogram: &[u64; 256]) -> (f64, f64) {
    let pixels = histogram.iter().sum::<u64>().max(1);
    let expectation = |f: &dyn Fn(f64) -> f64| {
        let sum: f64 = histogram
            .iter()
            .enumerate()
            .map(|(value, &count)| count as f64 * f(value as f64 / 255.0))
            .sum();
        sum / pixels as f64
    };
    let mean = expectation(&|p| p);
    let variance = expectation(&|p| (p - mean).powi(2));
    (mean, variance.sqrt())
}
