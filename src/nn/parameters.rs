//! The flat array of all parameters: PyTorch's names, shapes and order of elements; α's at the end.

use crate::{
    Error, Result,
    config::{LayerConfig, NetworkConfig, QuantizationConfig, WeightInit},
    random,
};

/// No network that saliq trains has more parameters than this (1 GiB of f32).
const PARAMETER_LIMIT: u64 = 1 << 28;

/// What a parameter is; decay and learning-rate factors depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParameterRole {
    /// Weight of a convolution or linear layer.
    Weight,
    /// Bias.
    Bias,
    /// PACT's clipping threshold.
    Alpha,
}

/// One named tensor in the flat array.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// PyTorch's name, e.g. `conv1.weight`, `act1.alpha`.
    pub name: String,
    /// PyTorch's shape: `[out, in, kh, kw]`, `[out, in]`, `[out]`, `[1]`.
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

    /// Never true: every tensor has elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its place in the flat array.
    pub fn range(&self) -> std::ops::Range<usize> {
        self.offset as usize..self.offset as usize + self.len()
    }
}

/// Where every parameter lives: weights and biases in layer order, then the α's.
#[derive(Clone, Debug, PartialEq)]
pub struct ParameterLayout {
    /// All tensors, in order.
    pub parameters: Vec<Parameter>,
    /// First α.
    pub alpha_first: u32,
    /// Elements in all.
    pub length: u32,
}

impl ParameterLayout {
    /// The layout of `network` with `quantization`'s α's.
    ///
    /// # Errors
    /// [`Error::Model`] if shapes do not fit, names repeat, or there are more than 2^28 parameters.
    pub fn new(network: &NetworkConfig, quantization: &QuantizationConfig) -> Result<Self> {
        let shapes = network.shapes()?;
        let mut parameters = Vec::new();
        let mut alphas = Vec::new();
        let mut offset = 0u64;
        let mut input = network.input;
        let mut weighted = 0;
        let mut push = |name: String, shape: Vec<usize>, role, fan_in: u64| -> Result<()> {
            let start = offset;
            offset += shape.iter().map(|&n| n as u64).product::<u64>();
            if offset > PARAMETER_LIMIT {
                return Err(Error::Model(format!("{name}: the network has more than {PARAMETER_LIMIT} parameters")));
            }
            if parameters.iter().any(|other: &Parameter| other.name == name) {
                return Err(Error::Model(format!("two layers share the name of {name}")));
            }
            parameters.push(Parameter { name, shape, offset: start as u32, role, fan_in: fan_in as u32 });
            Ok(())
        };
        for (index, layer) in network.layers.iter().enumerate() {
            match layer {
                LayerConfig::Conv { name, out_channels, kernel, .. } => {
                    let fan_in = u64::from(input.channels) * u64::from(*kernel) * u64::from(*kernel);
                    let kernel = *kernel as usize;
                    let shape = vec![*out_channels as usize, input.channels as usize, kernel, kernel];
                    push(format!("{name}.weight"), shape, ParameterRole::Weight, fan_in)?;
                    push(format!("{name}.bias"), vec![*out_channels as usize], ParameterRole::Bias, fan_in)?;
                    weighted += 1;
                }
                LayerConfig::Linear { name, out_features } => {
                    let fan_in = u64::from(input.elements());
                    let shape = vec![*out_features as usize, input.elements() as usize];
                    push(format!("{name}.weight"), shape, ParameterRole::Weight, fan_in)?;
                    push(format!("{name}.bias"), vec![*out_features as usize], ParameterRole::Bias, fan_in)?;
                    weighted += 1;
                }
                LayerConfig::Activation { name } => {
                    if weighted > 0 && quantization.layer_bits(weighted - 1).quantizes_activations() {
                        alphas.push(format!("{name}.alpha"));
                    }
                }
                LayerConfig::MaxPool { .. } | LayerConfig::Dropout { .. } => {}
            }
            input = shapes[index];
        }
        let alpha_first = parameters.last().map_or(0, |last| last.offset + last.len() as u32);
        let mut layout = ParameterLayout { parameters, alpha_first, length: alpha_first };
        for name in alphas {
            if layout.find(&name).is_some() {
                return Err(Error::Model(format!("two activations share the name of {name}")));
            }
            layout.parameters.push(Parameter {
                name,
                shape: vec![1],
                offset: layout.length,
                role: ParameterRole::Alpha,
                fan_in: 1,
            });
            layout.length += 1;
        }
        Ok(layout)
    }

    /// The parameter called `name`.
    pub fn find(&self, name: &str) -> Option<&Parameter> {
        self.parameters.iter().find(|parameter| parameter.name == name)
    }

    /// The α's.
    pub fn alphas(&self) -> impl Iterator<Item = &Parameter> {
        self.parameters.iter().filter(|parameter| parameter.role == ParameterRole::Alpha)
    }

    /// Elements of the flat buffer: a multiple of 4.
    pub fn padded_length(&self) -> u32 {
        self.length.next_multiple_of(4)
    }

    /// Initial values: PyTorch's default U(±1/√fan_in), or Kaiming-normal weights with zero biases; α's are 1 until they are calibrated.
    pub fn initialize(&self, seed: u64, init: WeightInit) -> Vec<f32> {
        let mut values = vec![0.0; self.padded_length() as usize];
        let key = random::random_key(seed, 0, random::INITIALIZE);
        for parameter in &self.parameters {
            let scale = 1.0 / f64::from(parameter.fan_in).sqrt();
            for (index, value) in values[parameter.range()].iter_mut().enumerate() {
                let [a, b, ..] = random::random_bits(key, parameter.offset + index as u32, 0, 0);
                let (a, b) = (f64::from(random::uniform01(a)), f64::from(random::uniform01(b)));
                *value = match (parameter.role, init) {
                    (ParameterRole::Alpha, _) => 1.0,
                    (_, WeightInit::KaimingUniform) => ((2.0 * a - 1.0) * scale) as f32,
                    (ParameterRole::Bias, WeightInit::KaimingNormal) => 0.0,
                    (ParameterRole::Weight, WeightInit::KaimingNormal) => {
                        // Box–Muller; 1 − a is in (0, 1].
                        let normal = (-2.0 * (1.0 - a).ln()).sqrt() * (std::f64::consts::TAU * b).cos();
                        (normal * scale * std::f64::consts::SQRT_2) as f32
                    }
                };
            }
        }
        values
    }
}
