//! The flat array of all parameters: PyTorch's names, shapes and order of elements; learned steps,
//! then α's, at the end.

use std::ops::Range;

use crate::{
    Error, Result,
    config::{ActivationQuantizer, WeightInit},
    quant::initial_steps,
    random,
};

/// No network that saliq trains has more parameters than this (1 GiB of f32).
pub(super) const PARAMETER_LIMIT: u64 = 1 << 28;

/// What a parameter is; decay and learning-rate factors depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParameterRole {
    /// Weight of a convolution or linear layer.
    Weight,
    /// Bias.
    Bias,
    /// LSQ's step of a layer's weights, `<layer>.weight_step`: one for the tensor, or one an output
    /// channel.
    WeightStep {
        /// Q_p, the highest level it is for.
        highest: u32,
    },
    /// LSQ's step of an activation, `<activation>.step`.
    ActivationStep {
        /// Q_p, the highest level it is for.
        highest: u32,
    },
    /// LSQ+'s offset β of an activation, `<activation>.offset`, in the activation's units.
    ActivationOffset {
        /// Levels above the lowest that it is for.
        highest: u32,
    },
    /// Scale of weights that are on their levels already, `<layer>.weight_scale`: one for the
    /// tensor, or one an output channel. Not trained.
    LevelScale,
    /// Their zero points (`affine`), `<layer>.weight_zero_point`.
    LevelZeroPoint,
    /// γ of a batch norm.
    Scale,
    /// β of a batch norm.
    Shift,
    /// Slope of a PReLU.
    Slope,
    /// PACT's clipping threshold.
    Alpha,
    /// Running mean of a batch norm: not trained, like all that follow.
    RunningMean,
    /// Running (unbiased) variance of a batch norm.
    RunningVariance,
    /// Batches that a batch norm has seen; exact up to 2^24.
    BatchCount,
}

/// Place of a parameter in [`ParameterLayout::parameters`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ParameterId(pub(super) usize);
impl ParameterRole {
    /// Whether it belongs to a quantizer, and not to the float network.
    pub fn is_quantizers(self) -> bool {
        use ParameterRole::{
            ActivationOffset, ActivationStep, Alpha, LevelScale, LevelZeroPoint, WeightStep,
        };
        matches!(
            self,
            WeightStep { .. }
                | ActivationStep { .. }
                | ActivationOffset { .. }
                | LevelScale
                | LevelZeroPoint
                | Alpha
        )
    }
}

/// One named tensor in the flat array.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// PyTorch's name, e.g. `conv1.weight`, `act1.alpha`.
    pub name: String,
    /// PyTorch's shape: `[out, in, kh, kw]`, `[out, in]`, `[out]`, `[1]`, `[]`.
    pub shape: Vec<usize>,
    /// First element in the flat array.
    pub offset: u32,
    /// What it is.
    pub role: ParameterRole,
    /// Inputs that feed one output (for initialisation).
    pub fan_in: u32,
}

impl Parameter {
    /// Number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// The layer or activation it belongs to.
    pub fn layer(&self) -> &str {
        self.name.rsplit_once('.').map_or(&self.name, |(layer, _)| layer)
    }

    /// Never true: every tensor has elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its place in the flat array.
    pub fn range(&self) -> Range<usize> {
        self.offset as usize..self.offset as usize + self.len()
    }
}

/// Where every parameter lives: weights and biases in layer order, then the learned steps, then the
/// α's, then the offsets of LSQ+, then the running statistics of batch norms, which no optimiser
/// touches.
#[derive(Clone, Debug, PartialEq)]
pub struct ParameterLayout {
    /// All tensors, in order.
    pub parameters: Vec<Parameter>,
    /// First learned step.
    pub step_first: u32,
    /// First α.
    pub alpha_first: u32,
    /// First offset of an activation.
    pub offset_first: u32,
    /// Elements that are trained.
    pub length: u32,
    /// Elements in all, with running statistics.
    pub stored: u32,
    /// Weights that a batch norm scales, its γ, its running variance, and its ε.
    pub(super) normalized: Vec<([ParameterId; 3], f32)>,
}

impl ParameterLayout {
    /// The parameter called `name`.
    pub fn find(&self, name: &str) -> Option<&Parameter> {
        self.parameters.iter().find(|parameter| parameter.name == name)
    }

    /// The parameter called `name`, which the layout must have.
    ///
    /// # Errors
    /// [`Error::Model`] naming it.
    pub fn require(&self, name: &str) -> Result<&Parameter> {
        self.find(name).ok_or_else(|| {
            Error::Model(format!("the network has no parameter {name}, which its layers need"))
        })
    }

    /// The values of the parameter called `name` in `all`, a flat array of this layout.
    ///
    /// # Errors
    /// [`Error::Model`] naming a parameter that the layout, or the array, does not have.
    pub fn values<'a>(&self, name: &str, all: &'a [f32]) -> Result<&'a [f32]> {
        let range = self.require(name)?.range();
        all.get(range).ok_or_else(|| {
            Error::Model(format!("{name} is behind the end of {} parameters", all.len()))
        })
    }

    /// The α or step that the activation called `name` learns where it is quantized by `quantizer`.
    ///
    /// # Errors
    /// As [`Self::require`].
    pub fn require_learned(
        &self,
        name: &str,
        quantizer: ActivationQuantizer,
    ) -> Result<&Parameter> {
        self.require(&learned_name(name, quantizer))
    }

    /// The values of another layout's flat array in this one's order, by name.
    ///
    /// # Errors
    /// [`Error::Model`] naming a parameter that `other` does not have in the same shape.
    pub fn gather(&self, other: &ParameterLayout, values: &[f32]) -> Result<Vec<f32>> {
        self.gather_but(other, values, |_| false)
    }

    /// As [`Self::gather`], with 0 for parameters of quantizers that `other` does not have, or has
    /// in another shape: for quantizers that are about to be calibrated.
    ///
    /// # Errors
    /// As [`Self::gather`], of any other parameter.
    pub fn gather_network(&self, other: &ParameterLayout, values: &[f32]) -> Result<Vec<f32>> {
        self.gather_but(other, values, |own| own.role.is_quantizers())
    }

    /// As [`Self::gather`], with 0 for the biases `missing`.
    ///
    /// # Errors
    /// As [`Self::gather`], of any other parameter.
    pub fn gather_biases(
        &self,
        other: &ParameterLayout,
        values: &[f32],
        missing: &[String],
    ) -> Result<Vec<f32>> {
        self.gather_but(other, values, |own| missing.contains(&own.name))
    }

    fn gather_but(
        &self,
        other: &ParameterLayout,
        values: &[f32],
        is_free: impl Fn(&Parameter) -> bool,
    ) -> Result<Vec<f32>> {
        let mut gathered = vec![0.0; self.padded_length() as usize];
        for parameter in &self.parameters {
            match other.find(&parameter.name) {
                Some(source) if source.shape == parameter.shape => {
                    gathered[parameter.range()].copy_from_slice(&values[source.range()]);
                }
                _ if is_free(parameter) => {}
                found => {
                    let has = found.map_or("is missing".into(), |source| {
                        format!("has shape {:?}", source.shape)
                    });
                    return Err(Error::Model(format!(
                        "{} of shape {:?} {has}",
                        parameter.name, parameter.shape
                    )));
                }
            }
        }
        Ok(gathered)
    }

    /// The α's.
    pub fn alphas(&self) -> impl Iterator<Item = &Parameter> {
        self.parameters.iter().filter(|parameter| parameter.role == ParameterRole::Alpha)
    }

    /// The learned steps of activations.
    pub fn activation_steps(&self) -> impl Iterator<Item = &Parameter> {
        self.parameters
            .iter()
            .filter(|parameter| matches!(parameter.role, ParameterRole::ActivationStep { .. }))
    }

    /// The offset that the activation of `step` learns beside it (LSQ+).
    pub fn offset_beside(&self, step: &Parameter) -> Option<&Parameter> {
        self.find(&offset_name(step.layer()))
    }

    /// The offsets of activations.
    pub fn offsets(&self) -> impl Iterator<Item = &Parameter> {
        self.parameters
            .iter()
            .filter(|parameter| matches!(parameter.role, ParameterRole::ActivationOffset { .. }))
    }

    /// The α's or steps of activations: what takes data to find, as do the offsets beside steps.
    pub fn calibrated(&self) -> impl Iterator<Item = &Parameter> {
        self.alphas().chain(self.activation_steps())
    }

    /// The learned steps of weights.
    pub fn steps(&self) -> impl Iterator<Item = &Parameter> {
        self.parameters
            .iter()
            .filter(|parameter| matches!(parameter.role, ParameterRole::WeightStep { .. }))
    }

    /// Multiplies the values of `weight` by γ/σ of the batch norm behind its layer, as they are
    /// before they are quantized; `all` are flat.
    fn scale_by_norm(&self, weight: &Parameter, values: &mut [f32], all: &[f32]) {
        let is_own =
            |own: &&([ParameterId; 3], f32)| self.parameters[own.0[0].0].offset == weight.offset;
        let Some(([_, scale, variance], epsilon)) = self.normalized.iter().find(is_own) else {
            return;
        };
        let of = |id: &ParameterId| &all[self.parameters[id.0].range()];
        let (scale, variance) = (of(scale), of(variance));
        let per_channel = values.len() / scale.len();
        for (channel, values) in values.chunks_exact_mut(per_channel).enumerate() {
            let factor = scale[channel] / (variance[channel] + epsilon).sqrt();
            values.iter_mut().for_each(|weight| *weight *= factor);
        }
    }

    /// Sets LSQ's step `parameter` of some layer's weights to its initial value for the weights in
    /// `values` (flat).
    pub fn initialize_step(&self, parameter: &Parameter, values: &mut [f32]) {
        let weight = parameter.name.strip_suffix("_step").and_then(|name| self.find(name));
        if let (ParameterRole::WeightStep { highest }, Some(weight)) = (parameter.role, weight) {
            let mut weights = values[weight.range()].to_vec();
            self.scale_by_norm(weight, &mut weights, values);
            let steps = initial_steps(&weights, parameter.len(), highest);
            values[parameter.range()].copy_from_slice(&steps);
        }
    }

    /// Elements of the flat buffer: a multiple of 4.
    pub fn padded_length(&self) -> u32 {
        self.stored.next_multiple_of(4)
    }

    /// Checks values read for `parameter`: all finite, α's and steps above 0, a variance and a
    /// count not negative.
    ///
    /// # Errors
    /// What is wrong, as a sentence that starts with the parameter's name.
    pub fn check(parameter: &Parameter, values: &[f32]) -> Result<(), String> {
        let name = &parameter.name;
        if let Some(value) = values.iter().find(|value| !value.is_finite()) {
            return Err(format!("{name} contains {value}"));
        }
        let lowest = values.iter().copied().fold(f32::INFINITY, f32::min);
        match parameter.role {
            ParameterRole::Alpha
            | ParameterRole::WeightStep { .. }
            | ParameterRole::ActivationStep { .. }
                if lowest <= 0.0 =>
            {
                Err(format!("{name} is {lowest}, it must be above 0"))
            }
            ParameterRole::LevelZeroPoint
                if values
                    .iter()
                    .any(|&zero| zero.fract() != 0.0 || !(0.0..=255.0).contains(&zero)) =>
            {
                Err(format!("{name} must hold integers from 0 to 255"))
            }
            ParameterRole::LevelScale
            | ParameterRole::RunningVariance
            | ParameterRole::BatchCount
                if lowest < 0.0 =>
            {
                Err(format!("{name} contains {lowest}, it must not be negative"))
            }
            _ => Ok(()),
        }
    }

    /// Initial values: PyTorch's default U(±1/√fan_in), or Kaiming-normal weights with zero biases;
    /// batch norms are the identity; steps of weights by these; α's and steps of activations are 1
    /// and offsets 0 until they are calibrated.
    pub fn initialize(&self, seed: u64, init: WeightInit) -> Vec<f32> {
        let mut values = vec![0.0; self.padded_length() as usize];
        let key = random::random_key(seed, 0, random::INITIALIZE);
        for parameter in &self.parameters {
            let scale = 1.0 / f64::from(parameter.fan_in).sqrt();
            for (index, value) in values[parameter.range()].iter_mut().enumerate() {
                let [a, b, ..] = random::random_bits(key, parameter.offset + index as u32, 0, 0);
                let (a, b) = (f64::from(random::uniform01(a)), f64::from(random::uniform01(b)));
                *value = match (parameter.role, init) {
                    (
                        ParameterRole::Alpha
                        | ParameterRole::WeightStep { .. }
                        | ParameterRole::ActivationStep { .. },
                        _,
                    ) => 1.0,
                    (
                        ParameterRole::Scale
                        | ParameterRole::RunningVariance
                        | ParameterRole::LevelScale,
                        _,
                    ) => 1.0,
                    (
                        ParameterRole::Shift
                        | ParameterRole::RunningMean
                        | ParameterRole::ActivationOffset { .. }
                        | ParameterRole::BatchCount,
                        _,
                    )
                    | (ParameterRole::LevelZeroPoint, _) => 0.0,
                    (ParameterRole::Weight | ParameterRole::Bias, WeightInit::KaimingUniform) => {
                        ((2.0 * a - 1.0) * scale) as f32
                    }
                    // PyTorch's.
                    (ParameterRole::Slope, _) => 0.25,
                    (ParameterRole::Bias, WeightInit::KaimingNormal) => 0.0,
                    (ParameterRole::Weight, WeightInit::KaimingNormal) => {
                        // Box–Muller; 1 − a is in (0, 1].
                        let normal =
                            (-2.0 * (1.0 - a).ln()).sqrt() * (std::f64::consts::TAU * b).cos();
                        (normal * scale * std::f64::consts::SQRT_2) as f32
                    }
                };
            }
        }
        for step in self.steps() {
            self.initialize_step(step, &mut values);
        }
        values
    }
}

/// What the activation called `name` learns where it is quantized by `quantizer`.
pub(super) fn learned_name(name: &str, quantizer: ActivationQuantizer) -> String {
    let suffix = match quantizer {
        ActivationQuantizer::Pact => "alpha",
        ActivationQuantizer::Lsq | ActivationQuantizer::LsqPlus => "step",
    };
    format!("{name}.{suffix}")
}

/// The offset that the activation called `name` learns with LSQ+.
pub(super) fn offset_name(name: &str) -> String {
    format!("{name}.offset")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{LayerBits, NetworkConfig, QuantizationConfig, Shape},
        graph::Graph,
    };

    fn layout(bits: u32, act_quant: ActivationQuantizer) -> ParameterLayout {
        let network =
            NetworkConfig::table_one(Shape::new(1, 12, 12), 3, [0.0, 0.0]).with_batch_norm();
        let quantization = QuantizationConfig {
            bits: vec![LayerBits { weight: bits, activation: bits }; 4],
            act_quant,
            ..Default::default()
        };
        Graph::new(&network, &quantization).unwrap().layout
    }

    #[test]
    fn what_must_be_there_is_named_where_it_is_not() {
        let layout = layout(4, ActivationQuantizer::Pact);
        let all = layout.initialize(0, WeightInit::KaimingUniform);
        assert_eq!(layout.require("bn1.running_var").unwrap().role, ParameterRole::RunningVariance);
        assert_eq!(
            layout.require_learned("act1", ActivationQuantizer::Pact).unwrap().name,
            "act1.alpha"
        );
        assert_eq!(layout.values("bn1.weight", &all).unwrap(), [1.0; 32]);
        let errors = [
            layout.require("bn9.weight").map(|_| ()),
            layout.require_learned("act1", ActivationQuantizer::Lsq).map(|_| ()),
            layout.values("conv9.bias", &all).map(|_| ()),
            layout.values("bn2.running_var", &all[..10]).map(|_| ()),
        ];
        for (error, name) in
            errors.into_iter().zip(["bn9.weight", "act1.step", "conv9.bias", "bn2.running_var"])
        {
            let error = error.unwrap_err();
            assert!(matches!(&error, Error::Model(reason) if reason.contains(name)), "{error}");
        }
    }

    #[test]
    fn only_parameters_of_quantizers_may_be_missing_from_what_is_gathered() {
        let (float, quantized) =
            (layout(32, ActivationQuantizer::Pact), layout(4, ActivationQuantizer::Pact));
        let values = float.initialize(1, WeightInit::KaimingUniform);
        let error = quantized.gather(&float, &values).unwrap_err();
        assert!(
            matches!(&error, Error::Model(reason) if reason.starts_with("act1.alpha")),
            "{error}"
        );
        let gathered = quantized.gather_network(&float, &values).unwrap();
        assert_eq!(
            quantized.values("conv2.weight", &gathered).unwrap(),
            float.values("conv2.weight", &values).unwrap()
        );
        assert_eq!(quantized.values("act1.alpha", &gathered).unwrap(), [0.0]);
        for (name, rename) in
            [("bn1.running_mean", true), ("fc2.weight", true), ("fc1.bias", false)]
        {
            let mut other = float.clone();
            let parameter =
                other.parameters.iter_mut().find(|parameter| parameter.name == name).unwrap();
            if rename {
                parameter.name.push('x');
            } else {
                parameter.shape.push(1);
            }
            let error = quantized.gather_network(&other, &values).unwrap_err();
            assert!(matches!(&error, Error::Model(reason) if reason.starts_with(name)), "{error}");
        }
    }
}
