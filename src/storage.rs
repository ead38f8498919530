//! Storage formats of activations and their gradients in a kernel's tensors
//! (shaders/common/storage.wgsl).
//!
//! With [`Precision::F16`] every tensor between the images and the logits takes 16 bits per number.
//! Images and ∂/∂X, logits and their gradients, weights, parameters, their gradients and optimiser
//! states stay in f32, as does all arithmetic. Gradients are bf16, which has the range of f32.
//! Unlike f16 it needs no loss scaling, and 8 bits of precision are enough for numbers that are
//! only summed.

use crate::{config::Precision, shaders::Specialization};

/// Format of a tensor of activations or of their gradients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// IEEE binary32.
    #[default]
    F32,
    /// IEEE binary16, saturating at ±65,504: values.
    F16,
    /// The upper half of binary32: gradients.
    Bf16,
    /// Integers from 0 to 255: levels of integer inference, and pixels.
    U8,
    /// Integers from −128 to 127: levels of integer inference.
    I8,
}

impl Format {
    /// The format of values between layers.
    pub fn of_values(precision: Precision) -> Format {
        match precision {
            Precision::F32 => Format::F32,
            Precision::F16 => Format::F16,
        }
    }

    /// The format of the gradient with respect to values of this format.
    #[must_use]
    pub fn of_gradient(self) -> Format {
        match self {
            Format::F32 | Format::U8 | Format::I8 => Format::F32,
            Format::F16 | Format::Bf16 => Format::Bf16,
        }
    }

    /// Bytes of a group of 4 channels.
    pub fn group_bytes(self) -> u64 {
        match self {
            Format::F32 => 16,
            Format::F16 | Format::Bf16 => 8,
            Format::U8 | Format::I8 => 4,
        }
    }

    /// The values that the words of a buffer in this format represent.
    pub fn decode(self, words: &[u32]) -> Vec<f32> {
        let halves = words.iter().flat_map(|&word| [word as u16, (word >> 16) as u16]);
        match self {
            Format::F32 => words.iter().map(|&word| f32::from_bits(word)).collect(),
            Format::F16 => halves.map(f16_value).collect(),
            Format::Bf16 => halves.map(|half| f32::from_bits(u32::from(half) << 16)).collect(),
            Format::U8 => words.iter().flat_map(|word| word.to_le_bytes()).map(f32::from).collect(),
            Format::I8 => words
                .iter()
                .flat_map(|word| word.to_le_bytes())
                .map(|byte| f32::from(byte as i8))
                .collect(),
        }
    }
}

/// The value of an IEEE binary16.
fn f16_value(bits: u16) -> f32 {
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f32::from(bits & 0x3ff));
    let magnitude = match exponent {
        0 => fraction * 2f32.powi(-24),
        31 if fraction == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        _ => (1024.0 + fraction) * 2f32.powi(exponent - 25),
    };
    if bits >> 15 == 0 { magnitude } else { -magnitude }
}

/// Formats of a kernel's tensors: its input, its output, and the state of an activation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Storage {
    /// `Input` in the kernel.
    pub input: Format,
    /// `Output`.
    pub output: Format,
    /// `State`.
    pub state: Format,
}

impl Storage {
    /// A kernel without a state.
    pub fn new(input: Format, output: Format) -> Storage {
        Storage { input, output, state: Format::F32 }
    }

    /// The formats of the gradients with respect to these values, without a state.
    #[must_use]
    pub fn of_gradients(self) -> Storage {
        Storage::new(self.input.of_gradient(), self.output.of_gradient())
    }

    /// The formats with input and output exchanged, for a kernel whose input is the output's
    /// gradient.
    #[must_use]
    pub fn mirrored(self) -> Storage {
        Storage { input: self.output, output: self.input, ..self }
    }

    /// Adds the features that select the formats in the kernel; f32 everywhere adds none.
    pub fn specialize(self, specialization: Specialization) -> Specialization {
        let feature = |specialization: Specialization,
                       format,
                       [f16, bf16, u8, i8]: [&'static str; 4]| match format {
            Format::F32 => specialization,
            Format::F16 => specialization.feature(f16, true),
            Format::Bf16 => specialization.feature(bf16, true),
            Format::U8 => specialization.feature(u8, true),
            Format::I8 => specialization.feature(i8, true),
        };
        let specialization = feature(
            specialization,
            self.input,
            ["input_f16", "input_bf16", "input_u8", "input_i8"],
        );
        let specialization = feature(
            specialization,
            self.output,
            ["output_f16", "output_bf16", "output_u8", "output_i8"],
        );
        feature(specialization, self.state, ["state_f16", "state_bf16", "state_u8", "state_i8"])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_have_their_values() {
        let words = [0x3c00_0001, 0xfbff_7bff, 0x0400_03ff, 0x8000_b555];
        let f16 = [
            2f32.powi(-24),
            1.0,
            65504.0,
            -65504.0,
            1023.0 * 2f32.powi(-24),
            2f32.powi(-14),
            -0.333_251_95,
            0.0,
        ];
        assert_eq!(Format::F16.decode(&words), f16);
        assert_eq!(Format::Bf16.decode(&[0xc040_3f80]), [1.0, -3.0]);
        assert_eq!(Format::F32.decode(&[1.5f32.to_bits()]), [1.5]);
        assert_eq!(Format::U8.decode(&[0xff80_0100]), [0.0, 1.0, 128.0, 255.0]);
        assert_eq!(Format::I8.decode(&[0xff80_0100]), [0.0, 1.0, -128.0, -1.0]);
    }
}
