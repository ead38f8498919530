//! How the images of a data set are read: size, colours, and the share that becomes the test set.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::choices::choices;

/// Largest number of rows or columns that images are resized to.
const MAX_SIDE: u32 = 4096;

choices! {
    /// The channels that images are converted to.
    ColorMode {
        /// Three channels; grey images get three equal ones.
        Rgb,
        /// One channel, the luminance (ITU-R BT.601).
        Grey,
    }
}

impl ColorMode {
    /// Number of channels.
    pub fn channels(self) -> u32 {
        match self {
            ColorMode::Rgb => 3,
            ColorMode::Grey => 1,
        }
    }
}

/// `--image-size`: rows and columns, `H,W`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageSize {
    /// Rows.
    pub height: u32,
    /// Columns.
    pub width: u32,
}

impl FromStr for ImageSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let side = |part: &str| {
            let value = part.trim().parse::<u32>().ok();
            value.filter(|value| (1..=MAX_SIDE).contains(value))
        };
        let sides = text.split(',').map(side).collect::<Option<Vec<u32>>>();
        match sides.as_deref() {
            Some(&[height, width]) => Ok(ImageSize { height, width }),
            _ => Err(format!(
                "`{text}` is not a height and a width from 1 to {MAX_SIDE} such as `64,64`"
            )),
        }
    }
}

impl fmt::Display for ImageSize {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{},{}", self.height, self.width)
    }
}

/// How the images of a data set are read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct ReadOptions {
    /// The shorter side is resized, the centre is cut out; absent: images stay as they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_size: Option<ImageSize>,
    /// The channels; absent: those of the files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub color: Option<ColorMode>,
    /// Share of each class that becomes the test set, for data without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_share: Option<f32>,
    /// Seed of the choice of test images; 0 unless there is a share.
    #[serde(skip_serializing_if = "is_zero")]
    pub seed: u64,
    /// Exchange rows and columns of every image.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub transpose: bool,
}

fn is_zero(seed: &u64) -> bool {
    *seed == 0
}

impl ReadOptions {
    /// Whether images are read as they are.
    pub fn is_default(&self) -> bool {
        *self == ReadOptions::default()
    }

    /// These options, with those of `below` where these say nothing.
    pub fn over(self, below: ReadOptions) -> ReadOptions {
        // The same images are chosen for another share.
        let seed = if below.test_share.is_some() { below.seed } else { self.seed };
        ReadOptions {
            image_size: self.image_size.or(below.image_size),
            color: self.color.or(below.color),
            test_share: self.test_share.or(below.test_share),
            seed,
            transpose: self.transpose || below.transpose,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_height_and_width() {
        assert_eq!("64, 32".parse(), Ok(ImageSize { height: 64, width: 32 }));
        assert_eq!(ImageSize { height: 64, width: 32 }.to_string(), "64,32");
        for wrong in ["", "64", "64,", "64x64", "0,1", "1,5000", "1,2,3", "-1,1"] {
            assert!(wrong.parse::<ImageSize>().is_err(), "{wrong}");
        }
    }
}
