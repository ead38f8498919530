//! What a layer computes: its type with its settings, and the shape of its output.

use serde::Deserialize;

use super::{
    activation::ActivationFunction,
    convolution::{Convolution, check_stride},
    shape::Shape,
    windows::{count_windows, extent},
};

/// Largest window of a max-pool: the position of a maximum takes eight bits.
pub(crate) const MAX_POOL_KERNEL: u32 = 15;
/// Largest window of an average-pool: f32 counts its pixels exactly.
const AVERAGE_POOL_KERNEL: u32 = 1 << 12;

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
            LayerKind::Activation(_) => "activation",
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
            LayerKind::Activation(_) => Stem::OfType("act"),
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
            LayerKind::MaxPool(MaxPool { kernel, .. }) if kernel > MAX_POOL_KERNEL => {
                return Err(format!(
                    "pooling windows are at most {MAX_POOL_KERNEL} × {MAX_POOL_KERNEL}, not \
                     {kernel}"
                ));
            }
            LayerKind::MaxPool(pool) => {
                Shape::new(input.channels, pool.windows(input.height)?, pool.windows(input.width)?)
            }
            LayerKind::AveragePool(pool) => {
                Shape::new(input.channels, pool.windows(input.height)?, pool.windows(input.width)?)
            }
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

/// Maxima over square windows, torch.nn.MaxPool2d, with what a file leaves out filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "MaxPoolText")]
pub struct MaxPool {
    /// Height and width of a window, in pixels.
    pub kernel: u32,
    /// Pixels from a window to the next; as large as the window where a file says nothing.
    pub stride: u32,
    /// Rows and columns added on each side, which are never a maximum: at most half a window.
    pub padding: u32,
    /// Whether a last window may reach beyond the padded image; it starts within the image or the
    /// padding in front of it.
    pub ceil_mode: bool,
}

/// [`MaxPool`] as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MaxPoolText {
    kernel: u32,
    stride: Option<u32>,
    #[serde(default)]
    padding: u32,
    #[serde(default)]
    ceil_mode: bool,
}

impl From<MaxPoolText> for MaxPool {
    fn from(text: MaxPoolText) -> MaxPool {
        let MaxPoolText { kernel, stride, padding, ceil_mode } = text;
        MaxPool { kernel, stride: stride.unwrap_or(kernel), padding, ceil_mode }
    }
}

impl MaxPool {
    /// Whole windows inside the image.
    pub const fn inside(kernel: u32, stride: u32) -> MaxPool {
        MaxPool { kernel, stride, padding: 0, ceil_mode: false }
    }

    /// Whether no window has a place that is no pixel: without padding and ceil mode.
    pub fn is_inside(self) -> bool {
        self == MaxPool::inside(self.kernel, self.stride)
    }

    /// Windows along an axis of `size` pixels, or why there are none.
    pub(crate) fn windows(self, size: u32) -> Result<u32, String> {
        let MaxPool { kernel, stride, padding, ceil_mode } = self;
        check_stride(stride)?;
        let count = match kernel == 0 || stride == 0 || padding > kernel / 2 {
            true => None,
            false => count_windows(size, (extent(kernel, 1), stride), [padding; 2], ceil_mode),
        };
        count.ok_or_else(|| {
            format!(
                "a pooling window of {kernel} with stride {stride} and padding {padding} does not \
                 fit {size} pixels"
            )
        })
    }
}

/// Means over square windows, torch.nn.AvgPool2d, with what a file leaves out filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "AveragePoolText")]
pub struct AveragePool {
    /// Height and width of a window, in pixels.
    pub kernel: u32,
    /// Pixels from a window to the next; as large as the window where a file says nothing.
    pub stride: u32,
    /// Zero rows and columns added on each side: at most half a window.
    pub padding: u32,
    /// Whether a last window may reach beyond the padded image; it starts within the image or the
    /// padding in front of it.
    pub ceil_mode: bool,
    /// Whether means are over padded pixels too; pixels beyond the padding never count.
    pub count_include_pad: bool,
}

/// [`AveragePool`] as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AveragePoolText {
    kernel: u32,
    stride: Option<u32>,
    #[serde(default)]
    padding: u32,
    #[serde(default)]
    ceil_mode: bool,
    #[serde(default = "yes")]
    count_include_pad: bool,
}

fn yes() -> bool {
    true
}

impl From<AveragePoolText> for AveragePool {
    fn from(text: AveragePoolText) -> AveragePool {
        let AveragePoolText { kernel, stride, padding, ceil_mode, count_include_pad } = text;
        let stride = stride.unwrap_or(kernel);
        AveragePool { kernel, stride, padding, ceil_mode, count_include_pad }
    }
}

impl AveragePool {
    /// One window over planes of the shape `input`; where these are not square it reaches beyond
    /// them, which does not count.
    pub(crate) fn global(input: Shape) -> AveragePool {
        let kernel = input.height.max(input.width);
        AveragePool {
            kernel,
            stride: kernel,
            padding: 0,
            ceil_mode: input.height != input.width,
            count_include_pad: false,
        }
    }

    /// Whether it is the mean of all pixels of planes of the shape `input`.
    pub(crate) fn is_global(self, input: Shape) -> bool {
        let AveragePool { kernel, padding, .. } = self;
        padding == 0 && kernel >= input.height && kernel >= input.width
    }

    /// Windows along an axis of `size` pixels, or why there are none.
    pub(crate) fn windows(self, size: u32) -> Result<u32, String> {
        let AveragePool { kernel, stride, padding, ceil_mode, .. } = self;
        if kernel == 0 || stride == 0 {
            return Err("an average-pool needs a kernel and a stride of at least 1".into());
        }
        check_stride(stride)?;
        if kernel > AVERAGE_POOL_KERNEL {
            return Err(format!(
                "averaging windows are at most {AVERAGE_POOL_KERNEL} × {AVERAGE_POOL_KERNEL}, not \
                 {kernel}"
            ));
        }
        if padding > kernel / 2 {
            return Err(format!(
                "a padding of {padding} is more than half the averaging window of {kernel}"
            ));
        }
        count_windows(size, (extent(kernel, 1), stride), [padding; 2], ceil_mode).ok_or_else(|| {
            format!(
                "an averaging window of {kernel} with stride {stride} and padding {padding} does \
                 not fit {size} pixels"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{super::convolution::MAX_STRIDE, *};

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
