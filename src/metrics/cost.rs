//! What a forward pass costs: multiply-accumulates, operations, bytes (algorithms: section 7; counts what is executed).

use serde::Serialize;

use crate::{
    Result,
    config::{LayerConfig, NetworkConfig, QuantizationConfig},
};

/// Cost of one weighted layer for one image.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LayerCost {
    /// Layer name.
    pub name: String,
    /// Multiply-accumulates.
    pub macs: u64,
    /// Bits of its weights; 32 is float.
    pub weight_bits: u32,
    /// Number of weights and biases.
    pub parameters: u64,
    /// Bytes of the weights at their width, biases in float.
    pub weight_bytes: u64,
    /// Whether the paper scales its operations by b/32: convolutions only.
    pub convolution: bool,
}

/// Cost of a network for one image.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cost {
    /// A record a weighted layer.
    pub layers: Vec<LayerCost>,
    /// Multiply-accumulates.
    pub macs: u64,
    /// Floating-point operations: 2 · MAC.
    pub flops: u64,
    /// The paper's measure: Σ FLOP · b/32 over the convolutions plus the unscaled fully connected layers.
    pub weighted_flops: u64,
    /// Bytes of all weights.
    pub weight_bytes: u64,
}

impl Cost {
    /// The cost of `network` with `quantization`.
    ///
    /// # Errors
    /// [`crate::Error::Model`] for a network that cannot be.
    pub fn new(network: &NetworkConfig, quantization: &QuantizationConfig) -> Result<Cost> {
        let shapes = network.shapes()?;
        let mut input = network.input;
        let mut layers = Vec::new();
        for (layer, &output) in network.layers.iter().zip(&shapes) {
            let weighted = match layer {
                LayerConfig::Conv { name, kernel, .. } => {
                    Some((name, u64::from(input.channels) * u64::from(*kernel) * u64::from(*kernel), true))
                }
                LayerConfig::Linear { name, .. } => Some((name, u64::from(input.elements()), false)),
                _ => None,
            };
            if let Some((name, fan_in, convolution)) = weighted {
                let weight_bits = quantization.layer_bits(layers.len()).weight;
                let (weights, biases) = (fan_in * u64::from(output.channels), u64::from(output.channels));
                layers.push(LayerCost {
                    name: name.clone(),
                    macs: fan_in * u64::from(output.elements()),
                    weight_bits,
                    parameters: weights + biases,
                    weight_bytes: (weights * u64::from(weight_bits)).div_ceil(8) + biases * 4,
                    convolution,
                });
            }
            input = output;
        }
        let scaled = |layer: &LayerCost| 2 * layer.macs * u64::from(if layer.convolution { layer.weight_bits } else { 32 }) / 32;
        let macs = layers.iter().map(|layer| layer.macs).sum();
        Ok(Cost {
            macs,
            flops: 2 * macs,
            weighted_flops: layers.iter().map(scaled).sum(),
            weight_bytes: layers.iter().map(|layer| layer.weight_bytes).sum(),
            layers,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{LayerBits, Shape};

    #[test]
    fn table_one_counts() {
        let network = NetworkConfig::table_one(Shape::new(1, 28, 28), 10, [0.0; 2]);
        let float = Cost::new(&network, &QuantizationConfig::default()).unwrap();
        assert_eq!(float.macs, 11_992_448);
        assert_eq!(float.layers.iter().map(|layer| layer.parameters).sum::<u64>(), 1_199_882);
        assert_eq!(float.weighted_flops, float.flops);
        let bits = LayerBits::parse_list("4,2").unwrap();
        let quantized = Cost::new(&network, &QuantizationConfig { bits, ..QuantizationConfig::default() }).unwrap();
        // conv1 194,688 · 4/32 + conv2 10,616,832 · 2/32 + 1,180,928, twice.
        assert_eq!(quantized.weighted_flops, 2 * (24_336 + 663_552 + 1_180_928));
        assert_eq!(quantized.layers[1].weight_bytes, 18_432 * 2 / 8 + 256);
    }
}
