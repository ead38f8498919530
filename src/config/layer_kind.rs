//! What a layer computes: its type with its settings, and the shape of its output.

use serde::Deserialize;

use super::{
    activation::{ActivationFunction, Prelu},
    convolution::Convolution,
    pool::{AveragePool, MaxPool},
    shape::Shape,
};

/// What a layer computes.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum LayerKind {
    /// 2-D convolution (cross-correlation).
    Conv(Convolution),
    /// Batch normalisation of every channel, torch.nn.BatchNorm2d (or 1d).
    BatchNorm(BatchNorm),
    /// A function of every value, ReLU where a file says nothing; quantized where the preceding
    /// layer's activations are.
    Activation(ActivationFunction),
    /// An activation of the kind `prelu`.
    #[serde(skip_deserializing)]
    Prelu(Prelu),
    /// Maxima over windows, torch.nn.MaxPool2d; ties go to the first element in row-major order.
    MaxPool(MaxPool),
    /// Means over windows, torch.nn.AvgPool2d.
    AveragePool(AveragePool),
    /// The mean of every channel, torch.nn.AdaptiveAvgPool2d(1).
    GlobalAveragePool {},
    /// A row of all values in C, H, W order, which a linear layer makes of them anyway: it is there
    /// for networks that are written with it, and values stay where they are.
    Flatten {},
    /// Inverted dropout, only while training.
    Dropout {
        /// Probability of zeroing an element, 0 ≤ rate < 1.
        rate: f32,
    },
    /// Fully connected layer; flattens in C, H, W order.
    Linear {
        /// Number of outputs.
        out_features: u32,
        /// Whether there is a bias.
        #[serde(default = "yes")]
        bias: bool,
    },
    /// Sum of values of one shape.
    Add {},
    /// Product of two values of one shape, or of one with a value a channel, which meets all pixels
    /// of the other.
    Multiply {},
    /// Channels of several values one after another.
    Concat {},
}

/// All types as files have them.
pub(super) const TYPES: [&str; 12] = [
    "conv",
    "batch-norm",
    "activation",
    "max-pool",
    "average-pool",
    "global-average-pool",
    "flatten",
    "dropout",
    "linear",
    "add",
    "multiply",
    "concat",
];

impl LayerKind {
    /// Its type as files have it.
    pub fn type_name(&self) -> &'static str {
        match self {
            LayerKind::Conv(_) => "conv",
            LayerKind::BatchNorm(_) => "batch-norm",
            LayerKind::Activation(_) | LayerKind::Prelu(_) => "activation",
            LayerKind::MaxPool(_) => "max-pool",
            LayerKind::AveragePool(_) => "average-pool",
            LayerKind::GlobalAveragePool {} => "global-average-pool",
            LayerKind::Flatten {} => "flatten",
            LayerKind::Dropout { .. } => "dropout",
            LayerKind::Linear { .. } => "linear",
            LayerKind::Add {} => "add",
            LayerKind::Multiply {} => "multiply",
            LayerKind::Concat {} => "concat",
        }
    }

    /// The name of a layer of this kind that has none: `stem` and a number.
    pub(super) fn stem(&self) -> Stem {
        match self {
            LayerKind::Conv(_) => Stem::OfType("conv"),
            LayerKind::BatchNorm(_) => Stem::OfType("bn"),
            LayerKind::Activation(_) | LayerKind::Prelu(_) => Stem::OfType("act"),
            LayerKind::Linear { .. } => Stem::OfType("fc"),
            LayerKind::Add {} => Stem::OfType("add"),
            LayerKind::Multiply {} => Stem::OfType("mul"),
            LayerKind::Concat {} => Stem::OfType("concat"),
            LayerKind::MaxPool(_) | LayerKind::AveragePool(_) | LayerKind::GlobalAveragePool {} => {
                Stem::OfPlace("pool")
            }
            LayerKind::Flatten {} => Stem::OfPlace("flatten"),
            LayerKind::Dropout { .. } => Stem::OfPlace("dropout"),
        }
    }

    /// Shape of what it makes of values of the shapes `inputs`, or why it makes nothing.
    pub(crate) fn output(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let input = inputs[0];
        Ok(match *self {
            LayerKind::Conv(own) => own.output(input)?,
            LayerKind::MaxPool(pool) => pool.output(input)?,
            LayerKind::AveragePool(pool) => pool.output(input)?,
            LayerKind::GlobalAveragePool {} => Shape::new(input.channels, 1, 1),
            LayerKind::Linear { out_features, .. } => Shape::new(out_features, 1, 1),
            LayerKind::Dropout { rate } if !(0.0..1.0).contains(&rate) => {
                return Err(format!("dropout {rate} is not in [0, 1)"));
            }
            LayerKind::Add {} if inputs.iter().any(|other| *other != input) => {
                let sizes: Vec<String> = inputs.iter().map(Shape::to_string).collect();
                return Err(format!(
                    "values of one shape can be added, not {}",
                    sizes.join(" and ")
                ));
            }
            LayerKind::Multiply {} => {
                let [one, other] = *inputs else {
                    return Err(format!("two values can be multiplied, not {}", inputs.len()));
                };
                let is_factor = |small: Shape, large: Shape| {
                    small == large || small == Shape::new(large.channels, 1, 1)
                };
                match (is_factor(other, one), is_factor(one, other)) {
                    (true, _) => one,
                    (false, true) => other,
                    (false, false) => {
                        return Err(format!(
                            "values of one shape can be multiplied, or one has a value a channel: \
                             not {one} and {other}"
                        ));
                    }
                }
            }
            LayerKind::Concat {} => {
                let is_other =
                    |other: &&Shape| (other.height, other.width) != (input.height, input.width);
                if let Some(other) = inputs.iter().find(is_other) {
                    return Err(format!(
                        "channels of planes of one size can stand one after another, not those of \
                         {input} and {other}"
                    ));
                }
                let channels =
                    inputs.iter().try_fold(0u32, |sum, own| sum.checked_add(own.channels));
                let channels = channels.ok_or("more channels than there are numbers")?;
                Shape::new(channels, input.height, input.width)
            }
            LayerKind::BatchNorm(BatchNorm { epsilon, .. })
                if !(epsilon > 0.0 && epsilon.is_finite()) =>
            {
                return Err(format!("epsilon {epsilon} must be above 0"));
            }
            LayerKind::BatchNorm(BatchNorm { momentum, .. })
                if !(0.0..=1.0).contains(&momentum) =>
            {
                return Err(format!("momentum {momentum} is not in [0, 1]"));
            }
            LayerKind::Activation(_)
            | LayerKind::Prelu(_)
            | LayerKind::BatchNorm(_)
            | LayerKind::Add {}
            | LayerKind::Flatten {}
            | LayerKind::Dropout { .. } => input,
        })
    }

    /// Whether it reads two layers or more.
    pub(super) fn takes_several(&self) -> bool {
        matches!(self, LayerKind::Add {} | LayerKind::Multiply {} | LayerKind::Concat {})
    }

    /// Whether it is a convolution or a fully connected layer.
    pub fn is_weighted(&self) -> bool {
        matches!(self, LayerKind::Conv(_) | LayerKind::Linear { .. })
    }

    /// Whether it is a dropout, which does nothing in inference.
    pub fn is_dropout(&self) -> bool {
        matches!(self, LayerKind::Dropout { .. })
    }

    /// Whether what it makes of a row of values is the same as of the planes that they are from.
    pub(super) fn takes_rows(&self) -> bool {
        matches!(
            self,
            LayerKind::Linear { .. }
                | LayerKind::Activation(_)
                | LayerKind::Dropout { .. }
                | LayerKind::Flatten {}
        )
    }

    /// Whether it is a batch norm.
    pub fn is_batch_norm(&self) -> bool {
        matches!(self, LayerKind::BatchNorm(_))
    }
}

fn yes() -> bool {
    true
}

/// How a layer without a name is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stem {
    /// The word and its number among the layers of its type, counted from 1: `conv2`.
    OfType(&'static str),
    /// The word and its place among all layers, counted from 1: `pool5`.
    OfPlace(&'static str),
}

/// Settings of a batch norm.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BatchNorm {
    /// Added to the variance.
    pub epsilon: f32,
    /// Share of a batch's statistics in the running ones.
    pub momentum: f32,
}

impl Default for BatchNorm {
    fn default() -> BatchNorm {
        BatchNorm { epsilon: 1e-5, momentum: 0.1 }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{convolution::MAX_STRIDE, pool::AVERAGE_POOL_KERNEL},
        *,
    };

    /// Kernels count pixels in 32-bit numbers: what would exceed these is refused.
    #[test]
    fn windows_and_strides_have_limits() {
        let image = Shape::new(1, 28, 28);
        let average = |kernel, stride| {
            let text = format!("type = \"average-pool\"\nkernel = {kernel}\nstride = {stride}");
            let padding = kernel / 2;
            toml::from_str::<LayerKind>(&format!("{text}\npadding = {padding}")).unwrap()
        };
        let reason = |kind: LayerKind| kind.output(&[image]).unwrap_err();
        let most = average(AVERAGE_POOL_KERNEL, MAX_STRIDE).output(&[image]);
        assert_eq!(most, Ok(Shape::new(1, 1, 1)));
        let text = reason(average(u32::MAX, 1));
        assert!(text.contains("averaging windows are at most 4096"), "{text}");
        let conv = LayerKind::Conv(Convolution::square(1, [3, MAX_STRIDE + 1, 0]));
        let pool = LayerKind::MaxPool(MaxPool::inside(2, u32::MAX));
        for kind in [average(2, MAX_STRIDE + 1), conv, pool] {
            let text = reason(kind);
            assert!(text.contains("a stride is at most 4096"), "{text}");
        }
    }
}
