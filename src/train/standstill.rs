//! Finds parameters that no longer learn: α's and steps at their lower bound, and layers without a
//! gradient. It uses values that are read back at the end of an epoch anyway, so that a step does
//! no extra work.

use super::{lines::EpochLine, outcome::Record};
use crate::{
    Phrase,
    error::phrase,
    graph::{Parameter, ParameterLayout, ParameterRole},
    nn::ALPHA_FLOOR,
    quant::STEP_FLOOR,
};

/// The α's and learned steps of `layout` that are at their lower bound in `parameters`, flat. With
/// one step per output channel, one at the bound is enough.
pub(super) fn at_floor(layout: &ParameterLayout, parameters: &[f32]) -> Vec<String> {
    let floor = |parameter: &Parameter| match parameter.role {
        ParameterRole::Alpha => Some(ALPHA_FLOOR),
        ParameterRole::WeightStep { .. } | ParameterRole::ActivationStep { .. } => Some(STEP_FLOOR),
        _ => None,
    };
    let is_at_floor = |parameter: &&Parameter| {
        floor(parameter)
            .is_some_and(|floor| parameters[parameter.range()].iter().any(|&value| value <= floor))
    };
    layout.parameters.iter().filter(is_at_floor).map(|parameter| parameter.name.clone()).collect()
}

/// The layers of `layout`, in order, whose weights and biases all have a gradient of exactly 0 in
/// `gradients`, flat.
pub(super) fn without_gradient(layout: &ParameterLayout, gradients: &[f32]) -> Vec<String> {
    let of_layers = |parameter: &&Parameter| {
        matches!(parameter.role, ParameterRole::Weight | ParameterRole::Bias)
    };
    let has_none =
        |parameter: &Parameter| gradients[parameter.range()].iter().all(|&value| value == 0.0);
    let mut layers: Vec<&str> =
        layout.parameters.iter().filter(of_layers).map(Parameter::layer).collect();
    layers.dedup();
    let is_still = |layer: &&str| {
        layout.parameters.iter().filter(of_layers).filter(|own| own.layer() == *layer).all(has_none)
    };
    layers.into_iter().filter(is_still).map(String::from).collect()
}

/// The warning at the end of the epoch of `line`, before `record` contains it, about parameters
/// that stopped learning and were not named before. A layer counts if two epochs in a row, or the
/// `last` of the run, ended without a gradient for it. It does not count if the last step had no
/// loss that could give a gradient.
pub(super) fn warning(line: &EpochLine, record: &mut Record, last: bool) -> Option<Phrase> {
    let no_loss = record.steps.last().is_none_or(|step| step.loss == 0.0);
    let before = record.epochs.last().map_or(&[][..], |before| &before.without_gradient);
    let lasts = |layer: &&String| !no_loss && (last || before.contains(layer));
    let still: Vec<String> = line.without_gradient.iter().filter(lasts).cloned().collect();
    let is_new = |names: Vec<String>, record: &mut Record| -> Vec<String> {
        names.into_iter().filter(|name| record.say_once(name)).collect()
    };
    let (pinned, still) = (is_new(line.at_floor.clone(), record), is_new(still, record));
    let mut said = Vec::new();
    if !pinned.is_empty() {
        let are = if pinned.len() == 1 { "is at its floor" } else { "are at their floors" };
        said.push(format!(
            "{} {are}: nearly all values quantized with it are clipped",
            pinned.join(", ")
        ));
    }
    if !still.is_empty() {
        said.push(format!(
            "{}: every gradient was exactly 0, so nothing is learned there",
            still.join(", ")
        ));
    }
    (!said.is_empty()).then(|| {
        phrase!(
            "warning: epoch {}: {}; begin again with a lower <lr> or more <warmup-steps>",
            line.epoch,
            said.join("; ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{
            LayerBits, NetworkConfig, QuantizationConfig, Shape, WeightQuantizer, expand_bits,
        },
        graph::Graph,
        train::StepLine,
    };

    fn layout(weight_quant: WeightQuantizer) -> ParameterLayout {
        let network = NetworkConfig::table_one(Shape::new(1, 12, 12), 3, [0.0; 2]);
        let bits = expand_bits(&LayerBits::parse_list("4,2").unwrap(), &network).unwrap();
        let quantization = QuantizationConfig {
            bits,
            weight_quant,
            per_channel: true,
            ..QuantizationConfig::default()
        };
        Graph::new(&network, &quantization).unwrap().layout
    }

    #[test]
    fn floors_are_those_of_each_kind() {
        let layout = layout(WeightQuantizer::Lsq);
        let mut parameters = vec![0.01; layout.padded_length() as usize];
        assert!(at_floor(&layout, &parameters).is_empty());
        let place = |name: &str| layout.find(name).unwrap().offset as usize;
        parameters[place("conv2.weight")] = 0.0;
        parameters[place("act1.alpha")] = 1.001e-3;
        assert!(at_floor(&layout, &parameters).is_empty());
        parameters[place("act2.alpha")] = ALPHA_FLOOR;
        parameters[place("conv2.weight_step") + 3] = STEP_FLOOR;
        assert_eq!(at_floor(&layout, &parameters), ["conv2.weight_step", "act2.alpha"]);
    }

    #[test]
    fn a_layer_without_any_gradient_is_named() {
        let layout = layout(WeightQuantizer::Sawb);
        let mut gradients = vec![0.0; layout.padded_length() as usize];
        assert_eq!(without_gradient(&layout, &gradients), ["conv1", "conv2", "fc1", "fc2"]);
        gradients[layout.find("fc2.bias").unwrap().offset as usize] = -1e-30;
        gradients[layout.find("conv1.weight").unwrap().offset as usize + 5] = f32::NAN;
        assert_eq!(without_gradient(&layout, &gradients), ["conv2", "fc1"]);
    }

    #[test]
    fn what_stands_still_is_said_once() {
        let mut record = Record::default();
        let mut end_epoch = |epoch: u64, loss: f64, floor: &[&str], still: &[&str], last: bool| {
            let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
            let step: StepLine = serde_json::from_value(serde_json::json!({
                "step": epoch, "loss": loss, "ce": loss, "kl": 0.0, "accuracy": 0.1, "lr": 0.1
            }))
            .unwrap();
            record.add_step(step);
            let mut line: EpochLine = serde_json::from_value(serde_json::json!({
                "epoch": epoch, "step": epoch, "train_loss": loss, "train_ce": loss,
                "train_kl": 0.0, "train_accuracy": 0.1, "test_accuracy": 0.1, "test_loss": 2.3,
                "alpha": {}, "seconds": 1.0, "images_per_second": 1.0
            }))
            .unwrap();
            (line.at_floor, line.without_gradient) = (names(floor), names(still));
            let said = warning(&line, &mut record, last).map(|said| said.to_string());
            record.add_epoch(line);
            said
        };
        assert_eq!(
            end_epoch(1, 2.3, &[], &["conv1"], false),
            None,
            "one batch may have none by chance"
        );
        let said = end_epoch(2, 2.3, &["act2.alpha"], &["conv2"], false).unwrap();
        assert!(
            said.starts_with("warning: epoch 2: act2.alpha is at its floor")
                && !said.contains("conv")
                && said.contains("a lower lr"),
            "{said}"
        );
        let said = end_epoch(3, 2.3, &["act2.alpha"], &["conv2"], false).unwrap();
        assert!(
            said.contains("conv2: every gradient was exactly 0") && !said.contains("act2"),
            "{said}"
        );
        assert_eq!(end_epoch(4, 2.3, &["act2.alpha"], &["conv2"], false), None);
        assert_eq!(end_epoch(5, 0.0, &[], &["conv1"], true), None, "no loss, no gradient");
        assert!(end_epoch(6, 2.3, &[], &["fc1"], true).unwrap().contains("fc1"));
    }
}
