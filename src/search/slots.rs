//! What the search decides: a width for each slot.

use crate::{
    Error, Result,
    config::{LayerBits, NetworkConfig, QuantizationConfig},
    error::phrase,
};

/// The weights of a layer, its output activations, or both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// The layer's position among the layers with weights.
    pub layer: usize,
    /// Name: `conv1.weight`, `act1`, or `conv1` for both.
    pub name: String,
    /// Whether it has the layer's weights.
    pub weights: bool,
    /// Whether it has the layer's output activations.
    pub activations: bool,
}

/// The number of a width for each slot.
pub type Assignment = Vec<usize>;

/// All slots and widths.
#[derive(Clone, Debug)]
pub struct Space {
    /// The network.
    pub network: NetworkConfig,
    /// Names of the layers with weights.
    pub layers: Vec<String>,
    /// The slots, in the order of the layers.
    pub slots: Vec<Slot>,
    /// The widths, ascending.
    pub widths: Vec<u32>,
    /// The quantizers.
    quantization: QuantizationConfig,
}

impl Space {
    /// The slots of `network` with `widths`; `tied` gives weights and activations of a layer one
    /// slot. 1-bit weights are `binary`.
    ///
    /// # Errors
    /// [`Error::Settings`] for fewer than two widths, and for widths that a quantizer lacks.
    pub fn new(
        network: &NetworkConfig,
        quantization: &QuantizationConfig,
        widths: &[u32],
        tied: bool,
    ) -> Result<Space> {
        let mut widths = widths.to_vec();
        widths.sort_unstable();
        widths.dedup();
        if widths.len() < 2 {
            return Err(Error::Settings(phrase!(
                "<widths>: there is nothing to choose from fewer than two; give a list such as \
                 2,3,4,8"
            )));
        }
        let quantization = QuantizationConfig {
            binary_one_bit: widths[0] == 1,
            weights_are_levels: false,
            bits: Vec::new(),
            ..quantization.clone()
        };
        let both = |&bits: &u32| LayerBits { weight: bits, activation: bits };
        let all =
            QuantizationConfig { bits: widths.iter().map(both).collect(), ..quantization.clone() };
        all.validate()?;
        let weighted = network.weight_layers();
        let mut slots = Vec::new();
        for (layer, own) in weighted.iter().enumerate() {
            let slot =
                |name: String, weights, activations| Slot { layer, name, weights, activations };
            match (&own.activation, tied) {
                (activation, true) => {
                    slots.push(slot(own.name.clone(), true, activation.is_some()));
                }
                (activation, false) => {
                    slots.push(slot(format!("{}.weight", own.name), true, false));
                    slots.extend(activation.iter().map(|name| slot(name.clone(), false, true)));
                }
            }
        }
        let layers = weighted.into_iter().map(|layer| layer.name).collect();
        Ok(Space { network: network.clone(), layers, slots, widths, quantization })
    }

    /// Bits of each layer where slot s has the width `width(s)`; 32 is float.
    fn bits_by(&self, width: impl Fn(usize) -> u32) -> Vec<LayerBits> {
        let mut bits = vec![LayerBits::FLOAT; self.layers.len()];
        for (index, slot) in self.slots.iter().enumerate() {
            let own = &mut bits[slot.layer];
            if slot.weights {
                own.weight = width(index);
            }
            if slot.activations {
                own.activation = width(index);
            }
        }
        bits
    }

    /// Bits of each layer.
    pub fn bits(&self, assignment: &[usize]) -> Vec<LayerBits> {
        self.bits_by(|slot| self.widths[assignment[slot]])
    }

    /// The quantization of `assignment`.
    pub fn quantization(&self, assignment: &[usize]) -> QuantizationConfig {
        QuantizationConfig { bits: self.bits(assignment), ..self.quantization.clone() }
    }

    /// The quantization in which `slot` alone has the width of number `width`.
    pub fn only(&self, slot: usize, width: usize) -> QuantizationConfig {
        let bits = self.bits_by(|other| if other == slot { self.widths[width] } else { 32 });
        QuantizationConfig { bits, ..self.quantization.clone() }
    }

    /// Every activation quantized at `bits`, and all weights in float.
    pub fn activations(&self, bits: u32) -> QuantizationConfig {
        let all = self.bits_by(|_| bits);
        let bits = all.into_iter().map(|own| LayerBits { weight: 32, ..own }).collect();
        QuantizationConfig { bits, ..self.quantization.clone() }
    }

    /// All slots at the same width, of number `width`.
    pub fn all_at(&self, width: usize) -> Assignment {
        vec![width; self.slots.len()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{BitsList, Shape, WeightQuantizer};

    fn space(widths: &[u32], tied: bool) -> Result<Space> {
        let network = NetworkConfig::table_one(Shape::new(1, 28, 28), 10, [0.0; 2]);
        let weight_quant = WeightQuantizer::Lsq;
        let quantization = QuantizationConfig { weight_quant, ..Default::default() };
        Space::new(&network, &quantization, widths, tied)
    }

    #[test]
    fn the_last_layer_has_weights_only() {
        let apart = space(&[8, 2, 4, 2], false).unwrap();
        let names: Vec<_> = apart.slots.iter().map(|slot| &slot.name[..]).collect();
        assert_eq!(
            names,
            ["conv1.weight", "act1", "conv2.weight", "act2", "fc1.weight", "act3", "fc2.weight"]
        );
        assert_eq!(apart.widths, [2, 4, 8]);
        let bits = |bits| BitsList(bits).to_string();
        assert_eq!(bits(apart.bits(&[0, 1, 2, 0, 1, 2, 0])), "w2a4,w8a2,w4a8,w2a32");
        assert_eq!(bits(apart.only(3, 1).bits), "32,w32a4,32,32");
        assert_eq!(bits(apart.activations(8).bits), "w32a8,w32a8,w32a8,32");
        let tied = space(&[2, 4], true).unwrap();
        assert_eq!(tied.slots.len(), 4);
        assert_eq!(bits(tied.bits(&[0, 1, 1, 0])), "2,4,4,w2a32");
    }

    #[test]
    fn widths_are_those_that_the_quantizers_have() {
        assert!(space(&[1, 2, 4, 8], false).unwrap().quantization(&[0; 7]).validate().is_ok());
        for widths in [&[4][..], &[], &[4, 4], &[2, 9], &[0, 2]] {
            assert!(space(widths, false).is_err(), "{widths:?}");
        }
    }
}
