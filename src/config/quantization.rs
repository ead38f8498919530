//! Quantizers, the [`QuantizationConfig`] of a network, the way to it from `--bits` and its
//! companions, and what no quantizer can do.

use serde::{Deserialize, Serialize};

use super::{
    BitsList, BitsRequest, LayerBits, activation::ActivationFunction, bits_table::with_ends,
    choices::choices, network::NetworkConfig, text::LooseBits,
};
use crate::{Error, Phrase, Result, error::phrase};

choices! {
    /// Weight fake-quantizers (algorithms: section 3).
    WeightQuantizer {
        /// Asymmetric min/max with a zero point, eq. (1).
        Affine,
        /// tanh-normalised, as the PACT paper used.
        Dorefa,
        /// Statistics-aware weight binning: clip from the means of w² and |w|.
        Sawb,
        /// Levels on both sides of 0, as far as the largest weight.
        Symmetric,
        /// Learned step size.
        Lsq,
        /// 1 bit: sign(w)·E|w|.
        Binary,
    }
}
choices! {
    /// What of a quantized activation is learned.
    ActivationQuantizer {
        /// PACT's clipping threshold α.
        Pact,
        /// The step between levels (LSQ), on PACT's grids.
        Lsq,
        /// The step and an offset of the levels (LSQ+).
        LsqPlus,
    }
}
choices! {
    /// PACT's clipping range and place. LSQ+, whose offset finds its own range, has of it only
    /// whether the ReLU stays: its values are those of a ReLU (unsigned), or all (signed).
    PactKind {
        /// clip(x, 0, α) in the place of the ReLU.
        Unsigned,
        /// clip(x, −α, α) in the place of the ReLU, eq. (6).
        Signed,
        /// clip(x, −α, α) after the ReLU.
        SignedAfterRelu,
    }
}
/// Fake quantization in training (section 3).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct QuantizationConfig {
    /// Bits of each convolution and linear layer in order; layers beyond the list stay in float.
    pub bits: Vec<LayerBits>,
    /// Weight quantizer.
    pub weight_quant: WeightQuantizer,
    /// A range for every output channel instead of one for the tensor.
    pub per_channel: bool,
    /// Layers with 1-bit weights are `binary`, whatever quantizes the others.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub binary_one_bit: bool,
    /// What is learned of the activations.
    pub act_quant: ActivationQuantizer,
    /// Activation clipping.
    pub pact: PactKind,
    /// Initial α; calibrated from the first batches where absent.
    pub alpha_init: Option<f32>,
    /// L2 penalty on α.
    pub alpha_decay: f32,
    /// Factor on the learning rate for α.
    pub alpha_lr_factor: f32,
    /// Factor on the learning rate for learned steps (LSQ).
    pub step_lr_factor: f32,
    /// The weights of quantized layers are on their levels already, as a packed file has them: they
    /// are used as they are. Their scales (and zero points) stand beside them as
    /// `<layer>.weight_scale` (and `<layer>.weight_zero_point`).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub weights_are_levels: bool,
}

impl Default for QuantizationConfig {
    fn default() -> Self {
        QuantizationConfig {
            bits: Vec::new(),
            weight_quant: WeightQuantizer::Sawb,
            per_channel: false,
            binary_one_bit: false,
            act_quant: ActivationQuantizer::Pact,
            pact: PactKind::Unsigned,
            alpha_init: None,
            alpha_decay: 0.0,
            alpha_lr_factor: 1.0,
            step_lr_factor: 1.0,
            weights_are_levels: false,
        }
    }
}

impl WeightQuantizer {
    /// All of them, the default first.
    const ALL: [WeightQuantizer; 6] = {
        use WeightQuantizer::{Affine, Binary, Dorefa, Lsq, Sawb, Symmetric};
        [Sawb, Lsq, Affine, Symmetric, Binary, Dorefa]
    };

    /// Whether weights of `bits` bits keep the scale that the float ones have. DoReFa's are on
    /// levels from −1 to 1 whatever that is: by its definition, for networks that are trained with
    /// it. Its 1-bit form has a scale.
    pub fn keeps_scale(self, bits: u32) -> bool {
        self != WeightQuantizer::Dorefa || matches!(bits, 1 | 32)
    }

    /// Whether its integers are offset by a zero point.
    pub fn has_zero_point(self) -> bool {
        self == WeightQuantizer::Affine
    }

    /// Its name as a flag has it.
    pub fn name(self) -> &'static str {
        match self {
            WeightQuantizer::Affine => "affine",
            WeightQuantizer::Dorefa => "dorefa",
            WeightQuantizer::Sawb => "sawb",
            WeightQuantizer::Symmetric => "symmetric",
            WeightQuantizer::Lsq => "lsq",
            WeightQuantizer::Binary => "binary",
        }
    }

    /// What quantizes weights of `bits` bits where it was asked for. DoReFa's published form for 1
    /// bit is `binary`; with `binary_one_bit` that is the form of all.
    pub(super) fn of_width(self, bits: u32, binary_one_bit: bool) -> WeightQuantizer {
        match (self, bits) {
            (WeightQuantizer::Dorefa, 1) => WeightQuantizer::Binary,
            (_, 1) if binary_one_bit => WeightQuantizer::Binary,
            (quantizer, _) => quantizer,
        }
    }

    /// Why there are no weights of `bits` bits with it, and what to use instead; `None` where there
    /// are (32: nothing to quantize). DoReFa's published form for 1 bit is `binary`.
    pub fn refusal(self, bits: u32) -> Option<Phrase> {
        use WeightQuantizer::{Binary, Dorefa, Sawb};
        match (self, bits) {
            (_, 32) | (Binary | Dorefa, 1) => None,
            (_, 0 | 9..) => Some("bit widths are 1 to 8, or 32 for float".into()),
            (_, 1) => Some(phrase!(
                "`{}` has no form for weights of 1 bit; use <weight-quant binary>, or 2 or more \
                 bits for the weights",
                self.name()
            )),
            (Binary, _) => Some(phrase!(
                "`binary` is for 1-bit weights, not {}; use w1, or <weight-quant dorefa>, whose \
                 1-bit layers are binary, or another",
                bits
            )),
            (Sawb, 6 | 7) => Some(phrase!(
                "`sawb` has constants for 2, 3, 4, 5 and 8 bits only; use one of those, or \
                 <weight-quant lsq>, dorefa or affine"
            )),
            _ => None,
        }
    }
}

impl QuantizationConfig {
    /// Bits of the `index`-th convolution or linear layer.
    pub fn layer_bits(&self, index: usize) -> LayerBits {
        self.bits.get(index).copied().unwrap_or(LayerBits::FLOAT)
    }

    /// What quantizes weights of `bits` bits.
    pub fn weight_quantizer(&self, bits: u32) -> WeightQuantizer {
        self.weight_quant.of_width(bits, self.binary_one_bit)
    }

    /// What quantizes the values of `function`: what was asked for a ReLU and a ReLU6, LSQ+ the
    /// others, whose values no clip at 0 can stand for.
    pub fn quantizer_of(&self, function: ActivationFunction) -> ActivationQuantizer {
        match function.is_rectifier() {
            true => self.act_quant,
            false => ActivationQuantizer::LsqPlus,
        }
    }

    /// Checks widths, quantizers and α settings against each other, whoever wrote them.
    ///
    /// # Errors
    /// [`Error::Settings`] naming the setting, the reason and what to use instead.
    pub fn validate(&self) -> Result<()> {
        for &bits in &self.bits {
            let activations = (self.act_quant, self.pact);
            let quantizer = self.weight_quantizer(bits.weight);
            if let Some(reason) = refusal(bits, quantizer, activations) {
                return Err(Error::Settings(phrase!("<bits {}>: ", bits).then(reason)));
            }
        }
        if let Some(reason) = pact_refusal(self.act_quant, self.pact) {
            return Err(Error::Settings(phrase!("<pact signed-after-relu>: ").then(reason)));
        }
        let problem = |flag: &str, value: f32, range: &str| {
            Err(Error::Settings(phrase!("<{} {}>: must be {}", flag, value, range)))
        };
        match self.alpha_init {
            Some(alpha) if !alpha.is_finite() || alpha <= 0.0 => {
                return problem("alpha-init", alpha, "above 0");
            }
            _ => {}
        }
        if !self.alpha_decay.is_finite() || self.alpha_decay < 0.0 {
            return problem("alpha-decay", self.alpha_decay, "0 or more");
        }
        for (flag, factor) in
            [("alpha-lr-factor", self.alpha_lr_factor), ("step-lr-factor", self.step_lr_factor)]
        {
            if !factor.is_finite() || factor < 0.0 {
                return problem(flag, factor, "0 or more");
            }
        }
        Ok(())
    }

    /// Whether the weights of the `position`-th layer of weights have the scale that they are
    /// stored with.
    fn keeps_scale(&self, position: usize) -> bool {
        let bits = self.layer_bits(position).weight;
        self.weights_are_levels || self.weight_quantizer(bits).keeps_scale(bits)
    }

    /// What there is to warn of where weights of `network` that were made for the quantizers of
    /// `made_for` are run with these: layers that lose their scale, or get one that they did not
    /// have, while biases, α's and the layers behind them stay as they are.
    pub fn scale_warning(
        &self,
        made_for: &QuantizationConfig,
        network: &NetworkConfig,
    ) -> Option<Phrase> {
        let layers = network.weight_layers();
        let changed =
            |position: &usize| self.keeps_scale(*position) != made_for.keeps_scale(*position);
        let changed: Vec<usize> = (0..layers.len()).filter(changed).collect();
        let first = *changed.first()?;
        let names = changed
            .iter()
            .map(|&position| &layers[position].name[..])
            .collect::<Vec<_>>()
            .join(", ");
        if self.keeps_scale(first) {
            return Some(phrase!(
                "the weights of {} were trained with `dorefa`, which puts them on levels from −1 \
                 to 1: without it they have another scale than what follows was trained for; use \
                 <weight-quant dorefa> with 2 to 8 bits",
                names
            ));
        }
        let bits = self.layer_bits(first).weight;
        let keep = |quantizer: &WeightQuantizer| {
            quantizer.keeps_scale(bits) && quantizer.refusal(bits).is_none()
        };
        let others: Vec<&str> =
            WeightQuantizer::ALL.into_iter().filter(keep).map(WeightQuantizer::name).collect();
        Some(phrase!(
            "<weight-quant dorefa> puts the weights of {} on levels from −1 to 1, whatever their \
             scale: it is for networks trained with it, and what follows these layers was made for \
             the scale they had; <weight-quant {}> keeps it",
            names,
            others.join(", ")
        ))
    }

    /// The widths as they stand in a folder name: `32` for float, else without the float layers at
    /// the end, such as `4-2`.
    pub(crate) fn label(&self) -> String {
        let used =
            self.bits.iter().rposition(|&bits| bits != LayerBits::FLOAT).map_or(0, |last| last + 1);
        if used == 0 {
            return "32".into();
        }
        self.bits[..used].iter().map(LayerBits::to_string).collect::<Vec<_>>().join("-")
    }
}

/// Why `bits` cannot be had with these quantizers, and what to use instead; `None` where they can
/// (algorithms: section 3).
pub(super) fn refusal(
    bits: LayerBits,
    quantizer: WeightQuantizer,
    (act_quant, pact): (ActivationQuantizer, PactKind),
) -> Option<Phrase> {
    let known = |width: u32| matches!(width, 1..=8 | 32);
    if !known(bits.weight) || !known(bits.activation) {
        return Some("bit widths are 1 to 8, or 32 for float".into());
    }
    if let Some(reason) = quantizer.refusal(bits.weight) {
        return Some(reason);
    }
    let symmetric = pact != PactKind::Unsigned && act_quant != ActivationQuantizer::LsqPlus;
    if bits.activation == 1 && symmetric {
        return Some(phrase!(
            "signed PACT has no level but 0 at 1 bit; use <pact unsigned>, or 2 or more bits for \
             the activations"
        ));
    }
    None
}

/// Why activations quantized by `act_quant` cannot be of the kind `pact`, and what to use instead.
/// PACT's signed grid behind a ReLU wastes the levels below 0; LSQ+ has no such grid.
pub(super) fn pact_refusal(act_quant: ActivationQuantizer, pact: PactKind) -> Option<Phrase> {
    let refused = act_quant == ActivationQuantizer::LsqPlus && pact == PactKind::SignedAfterRelu;
    refused.then(|| {
        phrase!(
            "`lsq-plus` has no levels below 0 behind a ReLU; use <pact unsigned>, or signed for no \
             ReLU"
        )
    })
}

/// Bits of every convolution and linear layer of `network`, from what `--bits` says
/// ([`BitsRequest::spread`]).
///
/// # Errors
/// [`Error::Settings`] for a list longer than the network has layers.
pub fn expand_bits(bits: &[LayerBits], network: &NetworkConfig) -> Result<Vec<LayerBits>> {
    BitsRequest { list: Some(bits), ..BitsRequest::default() }.spread(network)
}

/// `--bits`, `--weight-quant`, `--per-channel` and `--pact` where a model is read: how to run it,
/// over what the file says.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
pub struct QuantizationOverrides {
    /// Bits a layer to run the model with, such as `4,2`, `w4a2,w2a2` or `32` [default: the model's
    /// own]
    #[cfg_attr(
        feature = "cli",
        arg(long, value_name = "B1,B2", help_heading = "Network & quantization")
    )]
    pub bits: Option<BitsList>,
    /// --bits N is that of every layer with weights, the fully connected ones too [default: false]
    #[cfg_attr(feature = "cli", arg(
        long,
        value_name = "true|false",
        num_args = 0..=1,
        // As for --per-channel.
        require_equals = true,
        default_missing_value = "true",
        hide_possible_values = true,
        help_heading = "Network & quantization"
    ))]
    pub all_layers: Option<bool>,
    /// Bits of the first and the last layer with weights, whatever the others have, such as 8
    #[cfg_attr(
        feature = "cli",
        arg(long, value_name = "N", help_heading = "Network & quantization")
    )]
    pub first_last: Option<LooseBits>,
    /// Weight quantizer [default: the model's own, else sawb]
    #[cfg_attr(
        feature = "cli",
        arg(long, value_name = "NAME", help_heading = "Network & quantization")
    )]
    pub weight_quant: Option<WeightQuantizer>,
    /// A range for every output channel of a weight [default: the model's own, else false]
    #[cfg_attr(feature = "cli", arg(
        long,
        value_name = "true|false",
        num_args = 0..=1,
        // So that a file's name behind it is no value; `join_switch_values` makes one of
        // `--per-channel true`.
        require_equals = true,
        default_missing_value = "true",
        hide_possible_values = true,
        help_heading = "Network & quantization"
    ))]
    pub per_channel: Option<bool>,
    /// What is learned of the activations [default: the model's own, else pact]
    #[cfg_attr(
        feature = "cli",
        arg(long, value_name = "NAME", help_heading = "Network & quantization")
    )]
    pub act_quant: Option<ActivationQuantizer>,
    /// Activation clipping [default: the model's own, else unsigned]
    #[cfg_attr(
        feature = "cli",
        arg(long, value_name = "KIND", help_heading = "Network & quantization")
    )]
    pub pact: Option<PactKind>,
}

impl QuantizationOverrides {
    /// `base` (the model's own settings, or the default for a bare file) with these laid over it,
    /// checked.
    ///
    /// # Errors
    /// [`Error::Settings`] for widths that do not fit the network or the quantizers.
    pub fn apply(
        &self,
        base: &QuantizationConfig,
        network: &NetworkConfig,
    ) -> Result<QuantizationConfig> {
        let mut result = base.clone();
        let has_bits = self.bits.is_some() || self.first_last.is_some();
        if has_bits || self.weight_quant.is_some() || self.per_channel.is_some() {
            // What levels they are on says nothing of others.
            result.weights_are_levels = false;
        }
        let all_layers = self.all_layers.unwrap_or(false);
        if self.bits.is_some() || all_layers {
            let list = self.bits.as_ref().map(|list| &list.0[..]);
            let request = BitsRequest { list, all_layers, ..BitsRequest::default() };
            result.bits = request.spread(network)?;
        }
        if let Some(LooseBits(ends)) = self.first_last {
            result.bits = with_ends(&result.bits, network, ends);
        }
        result.weight_quant = self.weight_quant.unwrap_or(result.weight_quant);
        result.per_channel = self.per_channel.unwrap_or(result.per_channel);
        result.act_quant = self.act_quant.unwrap_or(result.act_quant);
        result.pact = self.pact.unwrap_or(result.pact);
        result.validate()?;
        Ok(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{LayerConfig, Shape};

    fn expand(text: &str) -> String {
        let network = NetworkConfig::table_one(Shape::new(1, 28, 28), 10, [0.0; 2]);
        let bits = LayerBits::parse_list(text).unwrap();
        expand_bits(&bits, &network)
            .map_or_else(|error| error.to_string(), |bits| BitsList(bits).to_string())
    }

    #[test]
    fn bits_spread_over_the_layers() {
        assert_eq!(expand("4"), "4,4,32,32");
        assert_eq!(expand("4,2"), "4,2,32,32");
        assert_eq!(expand("32"), "32,32,32,32");
        assert_eq!(expand("w4a2,w2a2,8,8"), "w4a2,2,8,w8a32");
        assert!(expand("2,2,2,2,2").contains("4 layers with weights (conv1, conv2, fc1, fc2)"));
        let linear = LayerConfig::linear("fc", 10);
        let network =
            NetworkConfig { input: Shape::new(1, 28, 28), classes: 10, layers: vec![linear] };
        let four = LayerBits::parse_list("4").unwrap();
        assert_eq!(
            expand_bits(&four, &network).unwrap(),
            [LayerBits { weight: 4, activation: 32 }]
        );
    }

    #[test]
    fn a_lost_scale_is_said_with_what_keeps_it() {
        use WeightQuantizer::{Dorefa, Lsq, Sawb};
        let network = NetworkConfig::table_one(Shape::new(1, 28, 28), 10, [0.0; 2]);
        let made = |bits: &str, weight_quant| QuantizationConfig {
            bits: expand_bits(&LayerBits::parse_list(bits).unwrap(), &network).unwrap(),
            weight_quant,
            ..QuantizationConfig::default()
        };
        let warning = |run: QuantizationConfig, model: QuantizationConfig| {
            run.scale_warning(&model, &network).map(|said| said.to_string())
        };
        let said = warning(made("4,32,6", Dorefa), made("32", Sawb)).unwrap();
        assert!(
            said.contains("weights of conv1, fc1 on")
                && said.contains("weight-quant = sawb, lsq, affine, symmetric keeps"),
            "{said}"
        );
        let said = warning(made("6,32", Dorefa), made("32", Dorefa)).unwrap();
        assert!(
            said.contains("weights of conv1 on")
                && said.contains("weight-quant = lsq, affine, symmetric keeps"),
            "{said}"
        );
        let said = warning(made("4,32", Dorefa), made("4,4", Dorefa)).unwrap();
        assert!(said.contains("weights of conv2 were trained with `dorefa`"), "{said}");
        assert!(
            warning(made("4,4", Sawb), made("4,4", Dorefa))
                .is_some_and(|said| said.contains("conv1, conv2 were trained"))
        );
        for (run, model) in [
            (made("4,2", Sawb), made("32", Sawb)),
            (made("w1a4", Dorefa), made("32", Sawb)),
            (made("2,2", Dorefa), made("8,3", Dorefa)),
            (made("w32a4", Dorefa), made("32", Sawb)),
            (made("4,4", Lsq), made("2,2", Sawb)),
        ] {
            assert_eq!(warning(run, model), None);
        }
        // Packed weights are what dorefa made of them: any quantizer that keeps a scale keeps
        // theirs.
        let packed = || QuantizationConfig { weights_are_levels: true, ..made("4,4", Dorefa) };
        assert_eq!(warning(packed(), packed()), None);
        assert_eq!(warning(made("4,4", Sawb), packed()), None);
    }

    #[test]
    fn one_value_spreads_over_all_layers() {
        let network = NetworkConfig::table_one(Shape::new(1, 28, 28), 10, [0.0; 2]);
        let spread = |text: Option<&str>| {
            let bits = text.map(|text| LayerBits::parse_list(text).unwrap());
            let request =
                BitsRequest { list: bits.as_deref(), all_layers: true, ..Default::default() };
            let spread = request.spread(&network);
            spread.map_or_else(|error| error.to_string(), |bits| BitsList(bits).to_string())
        };
        assert_eq!(spread(Some("8")), "8,8,8,w8a32");
        assert_eq!(spread(Some("w4a2")), "w4a2,w4a2,w4a2,w4a32");
        assert!(spread(Some("8,4")).contains("give bits one value"));
        assert!(spread(None).contains("without bits = N"));
    }

    #[test]
    fn impossible_combinations_say_what_to_use() {
        use PactKind::{Signed, SignedAfterRelu, Unsigned};
        use WeightQuantizer::{Affine, Binary, Dorefa, Lsq, Sawb, Symmetric};
        let refused = |bits: &str, quantizer, pact| {
            refusal(bits.parse().unwrap(), quantizer, (ActivationQuantizer::Pact, pact))
        };
        for bits in ["2", "3", "4", "5", "8", "32", "w2a1", "w2a7"] {
            assert_eq!(refused(bits, Sawb, Unsigned), None, "{bits}");
        }
        assert!(
            refused("6", Sawb, Unsigned)
                .is_some_and(|reason| reason.to_string().contains("dorefa"))
        );
        assert!(refused("7", Sawb, Unsigned).is_some());
        assert_eq!(refused("7", Dorefa, Signed), None);
        for quantizer in [Affine, Dorefa, Symmetric, Lsq] {
            for bits in ["2", "3", "4", "5", "6", "7", "8", "32"] {
                assert_eq!(refused(bits, quantizer, Unsigned), None, "{bits}");
            }
        }
        for quantizer in [Affine, Sawb, Symmetric, Lsq] {
            assert!(
                refused("w1a4", quantizer, Unsigned)
                    .is_some_and(|reason| reason.to_string().contains("weight-quant = binary"))
            );
        }
        for quantizer in [Binary, Dorefa] {
            assert_eq!(refused("w1a4", quantizer, Unsigned), None);
        }
        assert!(
            refused("2", Binary, Unsigned)
                .is_some_and(|reason| reason.to_string().contains("1-bit weights, not 2"))
        );
        for pact in [Signed, SignedAfterRelu] {
            assert!(
                refused("w2a1", Sawb, pact)
                    .is_some_and(|reason| reason.to_string().contains("pact = unsigned"))
            );
        }
        let lsq_plus = |pact| {
            let act_quant = ActivationQuantizer::LsqPlus;
            let bits = vec!["w2a1".parse().unwrap()];
            QuantizationConfig { bits, act_quant, pact, ..Default::default() }.validate()
        };
        assert!([Unsigned, Signed].map(lsq_plus).iter().all(Result::is_ok));
        let refused = lsq_plus(SignedAfterRelu).unwrap_err().to_string();
        assert!(refused.contains("pact = unsigned"), "{refused}");
    }
}
