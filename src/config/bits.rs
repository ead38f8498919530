//! Bit widths of a layer's weights and output activations.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Bits of one layer: its weights and the activations it puts out (paper, Table III). 32 is float.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct LayerBits {
    /// Bits of the weights: 1–8, or 32 for float.
    pub weight: u32,
    /// Bits of the output activations: 1–8, or 32 for float.
    pub activation: u32,
}

impl LayerBits {
    /// Unquantized.
    pub const FLOAT: LayerBits = LayerBits { weight: 32, activation: 32 };

    /// Whether the weights are quantized.
    pub fn quantizes_weights(self) -> bool {
        self.weight < 32
    }

    /// Whether the output activations are quantized.
    pub fn quantizes_activations(self) -> bool {
        self.activation < 32
    }

    /// `w4a8`, also where both are equal.
    pub fn in_full(self) -> String {
        format!("w{}a{}", self.weight, self.activation)
    }

    /// Parses a comma-separated list, e.g. `4,2`, `32,32`, `w4a2,w2a2`.
    pub fn parse_list(text: &str) -> Result<Vec<LayerBits>, String> {
        text.split(',').map(|part| part.trim().parse()).collect()
    }
}

impl fmt::Display for LayerBits {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.weight == self.activation {
            write!(formatter, "{}", self.weight)
        } else {
            formatter.write_str(&self.in_full())
        }
    }
}

impl FromStr for LayerBits {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let width = |digits: &str| -> Result<u32, String> {
            match digits.parse::<u32>() {
                Ok(bits @ (1..=8 | 32)) => Ok(bits),
                _ => Err(format!(
                    "`{text}` is not a bit width: use 1 to 8, 32 for float, or w4a2 for weights \
                     and activations apart"
                )),
            }
        };
        if let Some((weight, activation)) =
            text.strip_prefix('w').and_then(|rest| rest.split_once('a'))
        {
            return Ok(LayerBits { weight: width(weight)?, activation: width(activation)? });
        }
        let bits = width(text)?;
        Ok(LayerBits { weight: bits, activation: bits })
    }
}

impl From<LayerBits> for String {
    fn from(bits: LayerBits) -> String {
        bits.to_string()
    }
}

impl TryFrom<String> for LayerBits {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}
