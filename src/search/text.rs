//! Results as text: `bits.toml` and `frontier.csv`.

use super::frontier::Point;
use crate::{config::LayerBits, config::QuantizationConfig};

/// A configuration for `saliq train --config` with the bits of each layer. `remarks` become
/// comments.
pub fn bits_toml(
    layers: &[String],
    quantization: &QuantizationConfig,
    remarks: &[String],
) -> String {
    let mut text = String::new();
    for line in remarks {
        text += &format!("# {}\n", crate::plain(line));
    }
    let own = quantization;
    text += &format!("weight-quant = \"{}\"\n", own.weight_quant.name());
    if own.per_channel {
        text += "per-channel = true\n";
    }
    if own.bits.iter().any(|bits| bits.weight == 1) {
        text += "binary-one-bit = true\n";
    }
    for (key, value) in [("act-quant", printed(&own.act_quant)), ("pact", printed(&own.pact))] {
        text += &format!("{key} = {value}\n");
    }
    text += "\n[quantization.bits]\n";
    for (layer, bits) in layers.iter().zip(&own.bits) {
        text += &format!("\"{layer}\" = \"{}\"\n", spelled(*bits));
    }
    text
}

/// A choice as its quoted name.
fn printed(choice: &impl serde::Serialize) -> String {
    serde_json::to_string(choice).unwrap_or_default()
}

/// `w4a8`, also where both are equal.
fn spelled(bits: LayerBits) -> String {
    format!("w{}a{}", bits.weight, bits.activation)
}

/// The points as CSV.
pub fn frontier_csv(points: &[Point]) -> String {
    let mut text =
        String::from("method,budget,limit,bits,accuracy,alignment,cosine,loss,bit_ops,bytes\n");
    for point in points {
        let bits: Vec<String> = point.bits.iter().map(|&bits| spelled(bits)).collect();
        let measured = point.measured;
        text += &format!(
            "{},{},{},{},{},{},{},{},{},{}\n",
            point.rule.name(),
            printed(&point.unit).trim_matches('"'),
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
    use crate::config::{DatasetInfo, PartialRunConfig, Shape, WeightQuantizer, resolve};

    #[test]
    fn train_takes_the_bits() {
        let bits = LayerBits::parse_list("w1a4,w8a2,4,w2a32").unwrap();
        let quantization = QuantizationConfig {
            bits,
            weight_quant: WeightQuantizer::Lsq,
            per_channel: true,
            binary_one_bit: true,
            ..QuantizationConfig::default()
        };
        let layers = ["conv1", "conv2", "fc1", "fc2"].map(String::from);
        let text = bits_toml(&layers, &quantization, &["two\nlines".into()]);
        let info = DatasetInfo { name: "mnist".into(), shape: Shape::new(1, 28, 28), classes: 10 };
        let run = resolve(PartialRunConfig::parse(&text, "bits.toml").unwrap(), &info).unwrap();
        assert_eq!(run.quantization, quantization, "{text}");
        // The written configuration repeats it.
        let again = resolve(PartialRunConfig::from(&run), &info).unwrap();
        assert_eq!(again.quantization, quantization);
    }
}
