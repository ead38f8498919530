//! Results as text: `bits.toml` and `frontier.csv`.

use super::frontier::Point;
use crate::config::{
    BitsTable, NetworkConfig, PartialQuantization, PartialRunConfig, QuantizationConfig,
    network_settings,
};

/// A configuration for `saliq train --config` with the bits of each of `layers` in
/// `[quantization.bits]`, the quantizers, and the network, where it is not that of Table I.
/// `remarks` become comments.
pub fn bits_toml(
    network: &NetworkConfig,
    layers: &[String],
    quantization: &QuantizationConfig,
    remarks: &[String],
) -> String {
    let own = quantization;
    let entries = layers.iter().cloned().zip(own.bits.iter().copied());
    let settings = PartialRunConfig {
        weight_quant: Some(own.weight_quant),
        per_channel: own.per_channel.then_some(true),
        binary_one_bit: own.bits.iter().any(|bits| bits.weight == 1).then_some(true),
        act_quant: Some(own.act_quant),
        pact: Some(own.pact),
        quantization: Some(PartialQuantization { bits: BitsTable::new(entries) }),
        ..network_settings(network)
    };
    let remarks: String =
        remarks.iter().map(|line| format!("# {}\n", crate::plain(line))).collect();
    // Settings are structures with text keys: there is nothing to fail on.
    remarks + &toml::to_string(&settings).unwrap_or_default()
}

/// The points as CSV.
pub fn frontier_csv(points: &[Point]) -> String {
    let mut text =
        String::from("method,budget,limit,bits,accuracy,alignment,cosine,loss,bit_ops,bytes\n");
    for point in points {
        let bits: Vec<String> = point.bits.iter().map(|bits| bits.in_full()).collect();
        let measured = point.measured;
        text += &format!(
            "{},{},{},{},{},{},{},{},{},{}\n",
            point.rule.name(),
            point.unit.key(),
            point.limit,
            bits.join(" "),
            measured.accuracy,
            measured.alignment,
            measured.cosine,
            measured.loss,
            point.bit_ops,
            point.bytes
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{DatasetInfo, LayerBits, Preset, Shape, WeightQuantizer, resolve};

    #[test]
    fn train_takes_the_bits() {
        let table_one = NetworkConfig::table_one(Shape::new(1, 28, 28), 10, [0.0; 2]);
        let resnet = Preset::find("resnet-8").unwrap().published();
        for network in [table_one.clone(), table_one.with_batch_norm(), resnet] {
            let layers: Vec<String> =
                network.weight_layers().into_iter().map(|layer| layer.name).collect();
            let mut bits = LayerBits::parse_list("w1a4,w8a2,4,w2a3").unwrap();
            bits.resize(layers.len(), LayerBits { weight: 2, activation: 4 });
            bits.last_mut().unwrap().activation = 32;
            let quantization = QuantizationConfig {
                bits,
                weight_quant: WeightQuantizer::Lsq,
                per_channel: true,
                binary_one_bit: true,
                ..QuantizationConfig::default()
            };
            let text = bits_toml(&network, &layers, &quantization, &["two\nlines".into()]);
            assert!(text.contains("\n[quantization.bits]\n"), "{text}");
            let name = "images".into();
            let info = DatasetInfo { name, shape: network.input, classes: network.classes };
            let parsed = PartialRunConfig::parse(&text, "bits.toml").unwrap();
            let run = resolve(parsed, &info).unwrap();
            assert_eq!(run.network, network, "{text}");
            let names = network.weight_layers();
            for (index, (own, expected)) in
                run.quantization.bits.iter().zip(&quantization.bits).enumerate()
            {
                // Bits of outputs that nothing quantizes are those of floats.
                let activation = names[index].activation.as_ref().map(|_| expected.activation);
                let expected = LayerBits { activation: activation.unwrap_or(32), ..*expected };
                assert_eq!(*own, expected, "{text}");
            }
            let bits = run.quantization.bits.clone();
            assert_eq!(run.quantization, QuantizationConfig { bits, ..quantization });
            // The written configuration repeats it.
            let again = resolve(PartialRunConfig::from(&run), &info).unwrap();
            assert_eq!(again.quantization, run.quantization);
        }
    }
}
