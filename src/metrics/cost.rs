//! The cost of a forward pass of one image: multiply-accumulates, operations and bytes, as executed
//! ([`Cost`]), or with the constants that the paper prints ([`PaperCost`]).

use serde::Serialize;

use crate::{
    Error, Phrase, Result,
    config::{self, ActivationQuantizer, LayerBits, NetworkConfig, QuantizationConfig, Shape},
    error::phrase,
    graph::{Graph, Memory, Op, OpKind, ValueId, Weights},
};

/// Bits of a pixel: the input of the first layer.
const PIXEL_BITS: u32 = 8;

/// Kind of a layer with weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LayerKind {
    /// Convolution.
    Conv,
    /// Fully connected.
    Linear,
}

/// Cost of one weighted layer for one image.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LayerCost {
    /// Layer name.
    pub name: String,
    /// Convolution or fully connected.
    pub kind: LayerKind,
    /// Shape of its input.
    pub input: Shape,
    /// Shape of its output, before any pooling.
    pub output: Shape,
    /// Multiply-accumulates.
    pub macs: u64,
    /// Floating-point operations: 2 · MAC.
    pub flops: u64,
    /// Bits of its weights; 32 is float.
    pub weight_bits: u32,
    /// Bits of its input: 8 for the image, else those of the activations in front of it.
    pub input_bits: u32,
    /// Bits of its output after the activation.
    pub activation_bits: u32,
    /// Bit operations: MAC · bits of the weights · bits of the input.
    pub bit_ops: u64,
    /// The paper's measure: FLOP · weight bits / 32 for a convolution, FLOP for a fully connected
    /// layer.
    pub weighted_flops: u64,
    /// Number of weights and biases, and of γ and β of the batch norm right behind.
    pub parameters: u64,
    /// Bytes of weights and biases in float, the batch norm right behind folded into them.
    #[serde(skip)]
    float_bytes: u64,
    /// Bytes of the weights at their bits, without biases.
    pub weight_bytes: u64,
    /// Bytes that the layer adds to a packed model besides its weights: float biases; a float step
    /// per tensor or output channel, with a byte for the zero point for `affine`; and a float α if
    /// its activations are quantized.
    pub side_bytes: u64,
    /// Bytes of its output at its bits.
    pub activation_bytes: u64,
}

/// Cost of a network for one image, as executed. Activations, pooling (maxima and means) and batch
/// norm (folded into the weights for inference) are not counted as operations, because their share
/// of the work is small.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cost {
    /// `executed`.
    pub accounting: &'static str,
    /// One record per layer with weights.
    pub layers: Vec<LayerCost>,
    /// Multiply-accumulates.
    pub macs: u64,
    /// Floating-point operations: 2 · MAC.
    pub flops: u64,
    /// Bit operations.
    pub bit_ops: u64,
    /// The paper's measure: Σ FLOP · b/32 over the convolutions plus the unscaled fully connected
    /// layers.
    pub weighted_flops: u64,
    /// Number of weights and biases, γ and β of all batch norms among them.
    pub parameters: u64,
    /// Bytes of all weights at their bits, without biases.
    pub weight_bytes: u64,
    /// Bytes of the outputs of all weighted layers at their bits.
    pub activation_bytes: u64,
    /// Bytes of memory that the values of an inference need at most, the image and the outputs
    /// among them: RAM on a microcontroller. A pixel or a quantized number has a byte, a float
    /// four. Values share memory when nobody reads them any more, and what works in place needs
    /// none.
    pub peak_activation_bytes: u64,
    /// The layer during which most of them are needed.
    pub peak_activation_layer: String,
    /// Bytes of the model with its weights packed at their bits, and with biases, steps and α's in
    /// float.
    pub packed_bytes: u64,
    /// Bytes of the file that `saliq export --format packed` writes for a trained model:
    /// `packed_bytes` and a header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packed_file_bytes: Option<u64>,
    /// Bytes of the same model in float.
    pub float_bytes: u64,
    /// Share of `packed_bytes` taken by layers with float weights.
    pub float_share: f64,
}

impl Cost {
    /// The cost of `network` with `quantization`.
    ///
    /// # Errors
    /// [`Error::Model`] for an impossible network.
    pub fn new(network: &NetworkConfig, quantization: &QuantizationConfig) -> Result<Cost> {
        let graph = Graph::new(network, quantization)?;
        let layer = |(op, weights): (&Op, &Weights)| {
            let (input, output) = (graph.input_of(op), graph.output_of(op));
            let input_bits = bits_of(&graph, op.inputs[0]);
            let bits = weights.bits;
            let kind = match op.kind {
                OpKind::Convolution { .. } => LayerKind::Conv,
                _ => LayerKind::Linear,
            };
            let fan_in = u64::from(graph.parameter(weights.weight).fan_in);
            let count = fan_in * u64::from(output.channels);
            let channels = u64::from(output.channels);
            let biases = weights.bias.map_or(0, |_| channels);
            let scales = weights.norm.map_or(0, |_| 2 * channels);
            // A batch norm that is folded leaves a bias.
            let folded = biases.max(scales / 2);
            let macs = fan_in * u64::from(output.elements());
            let scaled_bits = if kind == LayerKind::Conv { bits.weight } else { 32 };
            let steps = match (bits.quantizes_weights(), quantization.per_channel) {
                (false, _) => 0,
                (true, false) => 1,
                (true, true) => u64::from(output.channels),
            };
            let activation = weights.activation.and_then(|id| match &graph.op(id).kind {
                OpKind::Activation(activation) => Some(activation),
                _ => None,
            });
            let activation_bits = activation.map_or(32, |_| bits.activation);
            let quantizer = quantization.weight_quantizer(bits.weight);
            LayerCost {
                name: op.name.clone(),
                kind,
                input,
                output,
                macs,
                flops: 2 * macs,
                weight_bits: bits.weight,
                input_bits,
                activation_bits,
                bit_ops: macs * u64::from(bits.weight) * u64::from(input_bits),
                weighted_flops: 2 * macs * u64::from(scaled_bits) / 32,
                parameters: count + biases + scales,
                weight_bytes: packed_bytes(count, bits.weight),
                float_bytes: 4 * (count + folded),
                side_bytes: 4 * folded
                    + steps * if quantizer.has_zero_point() { 5 } else { 4 }
                    + match (activation_bits, activation.map(|own| own.quantizer)) {
                        (32.., _) | (_, None) => 0,
                        (_, Some(ActivationQuantizer::Pact | ActivationQuantizer::Lsq)) => 4,
                        (_, Some(ActivationQuantizer::LsqPlus)) => 8,
                    },
                activation_bytes: packed_bytes(u64::from(output.elements()), activation_bits),
            }
        };
        let layers: Vec<LayerCost> = graph.weighted().map(layer).collect();
        let memory = Memory::new(&graph, |value| if bits_of(&graph, value) < 32 { 1 } else { 4 });
        let largest = memory.largest.map(|index| graph.ops[index].name.clone());
        let total = |count: fn(&LayerCost) -> u64| layers.iter().map(count).sum();
        let packed: u64 = total(LayerCost::packed_bytes);
        let float: u64 = layers
            .iter()
            .filter(|layer| layer.weight_bits == 32)
            .map(LayerCost::packed_bytes)
            .sum();
        Ok(Cost {
            accounting: "executed",
            macs: total(|layer| layer.macs),
            flops: total(|layer| layer.flops),
            bit_ops: total(|layer| layer.bit_ops),
            weighted_flops: total(|layer| layer.weighted_flops),
            parameters: network.parameter_count()?,
            weight_bytes: total(|layer| layer.weight_bytes),
            activation_bytes: total(|layer| layer.activation_bytes),
            peak_activation_bytes: memory.bytes,
            peak_activation_layer: largest.unwrap_or_default(),
            packed_bytes: packed,
            packed_file_bytes: None,
            float_bytes: total(|layer| layer.float_bytes),
            float_share: float as f64 / packed.max(1) as f64,
            layers,
        })
    }

    /// A line for a model in which some layers are quantized but float layers are most of the
    /// bytes. It gives their share and the bits that include them, and names `command` if other
    /// flags alone cannot do it.
    pub fn float_bulk(&self, command: &str) -> Option<Phrase> {
        let (float, quantized): (Vec<_>, Vec<_>) =
            self.layers.iter().partition(|layer| layer.weight_bits == 32);
        let model = quantized.iter().max_by_key(|layer| layer.weight_bits)?;
        if self.float_share <= 0.5 {
            return None;
        }
        let last = self.layers.len() - 1;
        // The output of the last layer is always float.
        let width = |(at, layer): (usize, &LayerCost)| match layer.weight_bits {
            32 => LayerBits { weight: model.weight_bits, activation: model.activation_bits }
                .to_string(),
            own if at == last && own == model.weight_bits => {
                LayerBits { weight: own, activation: model.activation_bits }.to_string()
            }
            own if at == last => own.to_string(),
            own => LayerBits { weight: own, activation: layer.activation_bits }.to_string(),
        };
        let list: Vec<String> = self.layers.iter().enumerate().map(width).collect();
        let is_one = |width: &String| *width == list[0];
        let all = if list.iter().all(is_one) {
            match command {
                "" => phrase!("<bits {}> <all-layers>, or <bits {}>", list[0], list.join(",")),
                _ => phrase!("<bits {}> <all-layers>", list[0]),
            }
        } else {
            phrase!("<bits {}>", list.join(","))
        };
        let names: Vec<&str> = float.iter().map(|layer| layer.name.as_str()).collect();
        let said = phrase!(
            "{} {} in float: {} % of the packed model's bytes; to include {}: {}",
            names.join(", "),
            if names.len() == 1 { "is" } else { "are" },
            // Below 100 if any layer is quantized.
            format!("{:.1}", (1000.0 * self.float_share).floor() / 10.0),
            if names.len() == 1 { "it" } else { "them" },
            command
        );
        Some(said.then(all))
    }
}

impl LayerCost {
    /// Bytes of the layer in a packed model.
    pub fn packed_bytes(&self) -> u64 {
        self.weight_bytes + self.side_bytes
    }
}

/// Bits of one number of `value` in inference: pixels have 8, and dropout changes nothing.
fn bits_of(graph: &Graph, value: ValueId) -> u32 {
    let value = graph.value(value);
    match (value.quantizer, value.producer.map(|id| graph.op(id))) {
        (Some(quantizer), _) => quantizer.bits,
        (None, None) => PIXEL_BITS,
        (None, Some(op)) if op.kind.weights().is_some() => 32,
        // Means, sums and products are floats, whatever the input.
        (None, Some(op)) if makes_floats(&op.kind) => 32,
        (None, Some(op @ Op { kind: OpKind::Concat, .. })) => {
            op.inputs.iter().map(|&input| bits_of(graph, input)).max().unwrap_or(32)
        }
        (None, Some(op)) => bits_of(graph, op.inputs[0]),
    }
}

/// Whether an operation makes floats of anything, where no quantizer follows.
fn makes_floats(kind: &OpKind) -> bool {
    match kind {
        OpKind::Activation(own) => !own.function.is_rectifier(),
        OpKind::AveragePool(_)
        | OpKind::Add
        | OpKind::Multiply
        | OpKind::BatchNorm(_)
        | OpKind::Prelu(_) => true,
        _ => false,
    }
}

/// Number of bytes of `count` values of `bits` bits each, one after the other.
fn packed_bytes(count: u64, bits: u32) -> u64 {
    (count * u64::from(bits)).div_ceil(8)
}

/// FLOPs of one layer as the paper counts them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PaperLayerCost {
    /// Layer name.
    pub name: String,
    /// FLOPs with the paper's own constants.
    pub flops: u64,
    /// Bits that scale it; 32 for the fully connected layers, which the paper does not scale.
    pub bits: u32,
    /// FLOPs · bits / 32.
    pub weighted_flops: u64,
}

/// The paper's own count (Table II, "Number of Flops"): 225,792·b₁/32 + 30,618,624·b₂/32 +
/// 1,180,928.
///
/// 225,792 = 28·28·32·9 counts conv1 with "same" padding, which the network does not have.
/// 1,180,928 is the number of multiply-accumulates of the fully connected layers. 30,618,624 for
/// conv2 matches no layout of the layer; with valid padding it has 10,616,832 multiply-accumulates.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PaperCost {
    /// `paper`.
    pub accounting: &'static str,
    /// One record per layer with weights.
    pub layers: Vec<PaperLayerCost>,
    /// FLOPs in float.
    pub flops: u64,
    /// FLOPs scaled by the bits: the figure that the paper prints.
    pub weighted_flops: u64,
}

impl PaperCost {
    /// The printed figure for `quantization`, by the bits of the convolutions' weights.
    ///
    /// # Errors
    /// [`Error::Settings`] for every network except that of Table I on images of 1×28×28 with 10
    /// classes, because the constants hold only for it.
    pub fn new(network: &NetworkConfig, quantization: &QuantizationConfig) -> Result<PaperCost> {
        let table_one = NetworkConfig::table_one(Shape::new(1, 28, 28), 10, [0.0; 2]);
        if network.without(config::LayerKind::is_dropout) != table_one {
            return Err(Error::Settings(phrase!(
                "<accounting paper>: the paper's constants are those of the network of Table I on \
                 images of 1×28×28 with 10 classes; leave <accounting> out to count the \
                 operations of this network"
            )));
        }
        let layer = |name: &str, flops: u64, bits: u32| PaperLayerCost {
            name: name.into(),
            flops,
            bits,
            weighted_flops: flops * u64::from(bits) / 32,
        };
        let graph = Graph::new(network, quantization)?;
        let bits = |name: &str| {
            let weights = graph.find(name).and_then(|op| op.kind.weights());
            weights.map_or(32, |weights| weights.bits.weight)
        };
        let layers = vec![
            layer("conv1", 225_792, bits("conv1")),
            layer("conv2", 30_618_624, bits("conv2")),
            layer("fc1", 9216 * 128, 32),
            layer("fc2", 128 * 10, 32),
        ];
        Ok(PaperCost {
            accounting: "paper",
            flops: layers.iter().map(|layer| layer.flops).sum(),
            weighted_flops: layers.iter().map(|layer| layer.weighted_flops).sum(),
            layers,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{LayerBits, LayerConfig, WeightQuantizer, expand_bits};

    fn table_one() -> NetworkConfig {
        NetworkConfig::table_one(Shape::new(1, 28, 28), 10, [0.25, 0.5])
    }

    fn quantization(bits: &str) -> QuantizationConfig {
        let bits = expand_bits(&LayerBits::parse_list(bits).unwrap(), &table_one()).unwrap();
        QuantizationConfig { bits, ..QuantizationConfig::default() }
    }

    #[test]
    fn float_bulk_says_what_to_include() {
        let bulk = |text: &str| {
            let bits = expand_bits(&LayerBits::parse_list(text).unwrap(), &table_one()).unwrap();
            let cost = Cost::new(&table_one(), &QuantizationConfig { bits, ..Default::default() })
                .unwrap();
            (cost.float_share, cost.float_bulk("").unwrap_or_default().to_string())
        };
        let (share, said) = bulk("8");
        // fc1 and fc2 in float: 4·(9216·128 + 128 + 128·10 + 10), next to 9·32 + 288·64 bytes and
        // their other parameters.
        let float = f64::from(4 * (9216 * 128 + 128 + 1280 + 10));
        let packed = float + f64::from(9 * 32 + 288 * 64 + 4 * (32 + 64) + 4 * 4);
        assert!((share - float / packed).abs() < 1e-12, "{share}");
        assert!(said.starts_with("fc1, fc2 are in float: 99.5 % of"), "{said}");
        assert!(said.ends_with("bits = 8 all-layers, or bits = 8,8,8,8"), "{said}");
        assert!(bulk("4,2").1.ends_with("to include them: bits = 4,2,4,4"));
        assert!(bulk("w4a2").1.ends_with("bits = w4a2 all-layers, or bits = w4a2,w4a2,w4a2,w4a2"));
        assert_eq!([bulk("32").1, bulk("8,8,8").1], [""; 2]);
        let cost = Cost::new(&table_one(), &quantization("8")).unwrap();
        let said = cost.float_bulk("saliq train with ").unwrap().to_string();
        assert!(said.ends_with("to include them: saliq train with bits = 8 all-layers"), "{said}");
    }

    #[test]
    fn table_one_counts() {
        let float = Cost::new(&table_one(), &QuantizationConfig::default()).unwrap();
        assert_eq!(
            (float.macs, float.flops, float.parameters),
            (11_992_448, 23_984_896, 1_199_882)
        );
        assert_eq!(float.weighted_flops, float.flops);
        assert_eq!((float.float_bytes, float.packed_bytes), (4 * 1_199_882, 4 * 1_199_882));
        // conv1 32×26×26, conv2 64×24×24, fc1 128, fc2 10, in floats.
        assert_eq!(float.activation_bytes, 4 * (21_632 + 36_864 + 128 + 10));
        // conv2 reads the one and writes the other.
        let peak = (float.peak_activation_bytes, &float.peak_activation_layer[..]);
        assert_eq!(peak, (4 * (21_632 + 36_864), "conv2"));
        // Pixels have 8 bits, everything else 32.
        assert_eq!(float.bit_ops, 194_688 * 32 * 8 + (10_616_832 + 1_179_648 + 1280) * 32 * 32);

        let cost = Cost::new(&table_one(), &quantization("4,2")).unwrap();
        // conv1 194,688 · 4/32 + conv2 10,616,832 · 2/32 + 1,180,928, twice.
        assert_eq!(cost.weighted_flops, 2 * (24_336 + 663_552 + 1_180_928));
        // A level takes a byte, whatever its bits.
        assert_eq!(cost.peak_activation_bytes, 21_632 + 36_864);
        let bit_ops: Vec<u64> = cost.layers.iter().map(|layer| layer.bit_ops).collect();
        assert_eq!(
            bit_ops,
            [194_688 * 4 * 8, 10_616_832 * 2 * 4, 1_179_648 * 32 * 2, 1280 * 32 * 32]
        );
        let weight_bytes: Vec<u64> = cost.layers.iter().map(|layer| layer.weight_bytes).collect();
        assert_eq!(weight_bytes, [288 * 4 / 8, 18_432 * 2 / 8, 1_179_648 * 4, 1280 * 4]);
        let activations: Vec<u64> =
            cost.layers.iter().map(|layer| layer.activation_bytes).collect();
        assert_eq!(activations, [21_632 / 2, 36_864 / 4, 128 * 4, 10 * 4]);
        // Biases of 32 + 64 + 128 + 10 channels, two steps and two α's.
        assert_eq!(cost.packed_bytes, 144 + 4608 + 4_723_712 + 4 * (234 + 2 + 2));
    }

    #[test]
    fn steps_per_channel_zero_points_and_odd_widths_are_counted() {
        let layers = vec![
            LayerConfig::conv("conv1", 5, [3, 2, 1]),
            LayerConfig::max_pool(2, 2),
            LayerConfig::linear("fc1", 4),
        ];
        let network = NetworkConfig { input: Shape::new(3, 11, 13), classes: 4, layers };
        let quantization = QuantizationConfig {
            bits: LayerBits::parse_list("w3a3,w5a5").unwrap(),
            weight_quant: WeightQuantizer::Affine,
            per_channel: true,
            ..QuantizationConfig::default()
        };
        let cost = Cost::new(&network, &quantization).unwrap();
        let conv = &cost.layers[0];
        // 6×7 outputs of 27 inputs; no activation follows, so the output stays in float and nothing
        // has an α.
        assert_eq!((conv.output, conv.macs), (Shape::new(5, 6, 7), 5 * 6 * 7 * 27));
        assert_eq!(
            (conv.weight_bytes, conv.activation_bits, conv.activation_bytes),
            ((5 * 27 * 3u64).div_ceil(8), 32, 4 * 210)
        );
        assert_eq!(conv.side_bytes, 5 * 4 + 5 * 5);
        let linear = &cost.layers[1];
        assert_eq!(
            (linear.input, linear.input_bits, linear.macs),
            (Shape::new(5, 3, 3), 32, 45 * 4)
        );
        assert_eq!((linear.weight_bytes, linear.bit_ops), ((180 * 5u64).div_ceil(8), 180 * 5 * 32));
        // Fully connected layers are not scaled.
        assert_eq!(cost.weighted_flops, 2 * conv.macs * 3 / 32 + 2 * 180);
    }

    /// Of MLPerf Tiny's image classification: sums wait in memory, and count as floats where no
    /// activation follows; projections count as convolutions.
    #[test]
    fn a_residual_network_is_counted() {
        let network = config::Preset::find("resnet-8").unwrap().published();
        let cost = |bits: &str| {
            let list = LayerBits::parse_list(bits).unwrap();
            let request =
                config::BitsRequest { list: Some(&list), all_layers: true, ..Default::default() };
            let bits = request.spread(&network).unwrap();
            Cost::new(&network, &QuantizationConfig { bits, ..Default::default() }).unwrap()
        };
        let float = cost("32");
        assert_eq!((float.parameters, float.macs), (78_186, 12_501_632));
        // Folded: without γ and β of 240 channels.
        assert_eq!(float.float_bytes, 4 * (78_186 - 480));
        // relu1 waits while conv3 reads relu2 and writes: three maps of 16×32×32.
        let peak = (float.peak_activation_bytes, &float.peak_activation_layer[..]);
        assert_eq!(peak, (3 * 4 * 16_384, "conv3"));
        let whole = cost("8");
        // What goes into the sum of the first block is a float.
        assert_eq!(whole.peak_activation_bytes, (2 + 4) * 16_384);
        let widths: Vec<u32> = whole.layers.iter().map(|layer| layer.input_bits).collect();
        assert_eq!(widths, [8, 8, 8, 8, 8, 8, 8, 8, 8, 32]);
    }

    #[test]
    fn an_offset_is_a_number_beside_the_step() {
        let side_bytes = |act_quant| {
            let quantization = QuantizationConfig { act_quant, ..quantization("4,2") };
            let layers = Cost::new(&table_one(), &quantization).unwrap().layers;
            layers.iter().map(|layer| layer.side_bytes).collect::<Vec<_>>()
        };
        let steps = side_bytes(ActivationQuantizer::Lsq);
        assert_eq!(steps, side_bytes(ActivationQuantizer::Pact));
        assert_eq!(
            side_bytes(ActivationQuantizer::LsqPlus),
            [steps[0] + 4, steps[1] + 4, steps[2], steps[3]]
        );
    }

    #[test]
    fn the_printed_figures_of_the_paper() {
        let printed =
            [("32", 32_025_344), ("2,2", 3_108_704), ("4,2", 3_122_816), ("4,4", 5_036_480)];
        for (bits, figure) in printed {
            assert_eq!(
                PaperCost::new(&table_one(), &quantization(bits)).unwrap().weighted_flops,
                figure,
                "{bits}"
            );
        }
        // Quantized fully connected layers do not change the paper's count.
        assert_eq!(
            PaperCost::new(&table_one(), &quantization("4,2,8,8")).unwrap().weighted_flops,
            3_122_816
        );
        let other = NetworkConfig::table_one(Shape::new(3, 28, 28), 10, [0.0; 2]);
        assert!(matches!(
            PaperCost::new(&other, &QuantizationConfig::default()),
            Err(Error::Settings(_))
        ));
    }
}
