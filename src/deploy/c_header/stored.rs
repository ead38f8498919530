//! A value in memory.

use super::options::PixelOrder;
use crate::{
    config::{Shape, Window},
    deploy::{Encoding, IntegerStep, WeightedStep},
};

/// What a number is stored as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Number {
    U8,
    I8,
    Float,
}

impl Number {
    pub fn of(encoding: &Encoding) -> Number {
        match encoding {
            Encoding::Float => Number::Float,
            Encoding::Levels(grid) if grid.is_signed() => Number::I8,
            Encoding::Levels(_) | Encoding::Pixels => Number::U8,
        }
    }

    pub fn bytes(self) -> u64 {
        if self == Number::Float { 4 } else { 1 }
    }

    /// Its type in C.
    pub fn name(self) -> &'static str {
        match self {
            Number::U8 => "uint8_t",
            Number::I8 => "int8_t",
            Number::Float => "float",
        }
    }
}

/// Where a value begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The caller's image.
    Pixels,
    /// The caller's scores.
    Scores,
    /// A word of the workspace.
    Word(u64),
}

/// A value in memory.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Stored {
    pub place: Place,
    pub number: Number,
    pub shape: Shape,
    /// Rows and columns of zeros above, to the left, below and to the right.
    pub halo: [u32; 4],
    /// Of everything but the caller's image, `Hwc`.
    pub order: PixelOrder,
}

impl Stored {
    /// Numbers from a row to the next.
    pub fn row(&self) -> u32 {
        match self.order {
            PixelOrder::Chw => self.shape.width,
            PixelOrder::Hwc => (self.shape.width + self.halo[1] + self.halo[3]) * self.pixel(),
        }
    }

    /// Numbers from a pixel to the next one of its row.
    pub fn pixel(&self) -> u32 {
        if self.order == PixelOrder::Chw { 1 } else { self.shape.channels }
    }

    /// Numbers from a channel to the next.
    pub fn channel(&self) -> u32 {
        if self.order == PixelOrder::Chw { self.shape.pixels() } else { 1 }
    }

    /// The number of the pixel `top` rows above and `left` columns in front of the first.
    pub fn first(&self, [top, left]: [u32; 2]) -> u32 {
        (self.halo[0] - top) * self.row() + (self.halo[1] - left) * self.pixel()
    }

    pub fn has_halo(&self) -> bool {
        self.halo != [0; 4]
    }

    /// Bytes of the pixels and the zeros around them.
    pub fn bytes(&self) -> u64 {
        let rows = u64::from(self.shape.height + self.halo[0] + self.halo[2]);
        rows * u64::from(self.row()) * self.number.bytes()
    }
}

/// The window of a step with weights; of a fully connected one, its whole input.
pub(super) fn window_of(step: &IntegerStep, weighted: &WeightedStep) -> Window {
    weighted.window.unwrap_or(Window {
        kernel: [step.input.height, step.input.width],
        stride: [1; 2],
        dilation: [1; 2],
        padding: [0; 4],
    })
}
