//! Sizes of images and activations.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Channels × height × width of one image or activation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "[u32; 3]", from = "[u32; 3]")]
pub struct Shape {
    /// Number of channels.
    pub channels: u32,
    /// Rows.
    pub height: u32,
    /// Columns.
    pub width: u32,
}

impl Shape {
    /// A shape of `channels` × `height` × `width`.
    pub const fn new(channels: u32, height: u32, width: u32) -> Self {
        Shape { channels, height, width }
    }

    /// Rows × columns.
    pub const fn pixels(self) -> u32 {
        self.height * self.width
    }

    /// Channels × rows × columns.
    pub const fn elements(self) -> u32 {
        self.channels * self.height * self.width
    }

    /// The channel of element `at` of one of several images, [N, C, H, W].
    pub const fn channel_of(self, at: usize) -> usize {
        at / self.pixels() as usize % self.channels as usize
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}×{}×{}", self.channels, self.height, self.width)
    }
}

impl From<Shape> for [u32; 3] {
    fn from(shape: Shape) -> [u32; 3] {
        [shape.channels, shape.height, shape.width]
    }
}

impl From<[u32; 3]> for Shape {
    fn from([channels, height, width]: [u32; 3]) -> Shape {
        Shape { channels, height, width }
    }
}
