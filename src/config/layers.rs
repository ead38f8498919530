//! Layers of a network as data: names, shapes, settings.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Largest window of a max-pool: the position of a maximum takes eight bits.
const MAX_POOL_KERNEL: u32 = 15;
/// ε of batch norms, as torch.nn.BatchNorm2d has it.
pub const BATCH_NORM_EPSILON: f32 = 1e-5;

/// Channels × height × width of one image or activation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "[u32; 3]", from = "[u32; 3]")]
pub struct Shape {
    /// Number of channels.
    pub channels: u32,
    /// Rows.
    pub height: u32,
    /// Columns.
    pub width: u32,
}

impl Shape {
    /// A shape of `channels` × `height` × `width`.
    pub const fn new(channels: u32, height: u32, width: u32) -> Self {
        Shape { channels, height, width }
    }

    /// Rows × columns.
    pub const fn pixels(self) -> u32 {
        self.height * self.width
    }

    /// Channels × rows × columns.
    pub const fn elements(self) -> u32 {
        self.channels * self.height * self.width
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}×{}×{}", self.channels, self.height, self.width)
    }
}

impl From<Shape> for [u32; 3] {
    fn from(shape: Shape) -> [u32; 3] {
        [shape.channels, shape.height, shape.width]
    }
}

impl From<[u32; 3]> for Shape {
    fn from([channels, height, width]: [u32; 3]) -> Shape {
        Shape { channels, height, width }
    }
}

/// One layer of a network: what it computes, what it is called, what it reads. Names of parameters
/// follow PyTorch's (`conv1.weight`, `fc1.bias`, `act1.alpha`).
#[derive(Clone, Debug, PartialEq)]
pub struct LayerConfig {
    /// Its name; a layer without one is called by its type and number, see
    /// [`NetworkConfig::names`](super::NetworkConfig::names).
    pub name: Option<String>,
    /// Names of the layers that it reads; empty for the layer before. [`IMAGES`] are the images.
    pub inputs: Vec<String>,
    /// What it computes.
    pub kind: LayerKind,
}

/// The name of the images among the inputs of a layer.
pub const IMAGES: &str = "input";

/// What a layer computes.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum LayerKind {
    /// 2-D convolution (cross-correlation) with a square kernel and a bias.
    Conv {
        /// Number of filters.
        out_channels: u32,
        /// Kernel height and width.
        kernel: u32,
        /// Step between outputs.
        #[serde(default = "one")]
        stride: u32,
        /// Zero rows and columns added on each side.
        #[serde(default)]
        padding: u32,
    },
    /// Batch normalisation right behind a convolution or linear layer, torch.nn.BatchNorm2d (or
    /// 1d): ε [`BATCH_NORM_EPSILON`], momentum 0.1.
    BatchNorm {},
    /// ReLU, or PACT in its place where the preceding layer's activations are quantized.
    Activation {},
    /// Max-pooling without padding; ties go to the first element in row-major order.
    MaxPool {
        /// Window height and width.
        kernel: u32,
        /// Step between windows.
        stride: u32,
    },
    /// Means over windows, torch.nn.AvgPool2d.
    AveragePool(AveragePool),
    /// Inverted dropout, only while training.
    Dropout {
        /// Probability of zeroing an element, 0 ≤ rate < 1.
        rate: f32,
    },
    /// Fully connected layer; flattens in C, H, W order.
    Linear {
        /// Number of outputs.
        out_features: u32,
    },
    /// Sum of values of one shape.
    Add {},
}

fn one() -> u32 {
    1
}

impl LayerKind {
    /// Its type as files have it.
    pub fn type_name(&self) -> &'static str {
        match self {
            LayerKind::Conv { .. } => "conv",
            LayerKind::BatchNorm {} => "batch-norm",
            LayerKind::Activation {} => "activation",
            LayerKind::MaxPool { .. } => "max-pool",
            LayerKind::AveragePool(_) => "average-pool",
            LayerKind::Dropout { .. } => "dropout",
            LayerKind::Linear { .. } => "linear",
            LayerKind::Add {} => "add",
        }
    }

    /// The name of a layer of this kind that has none: `stem` and a number.
    pub(super) fn stem(&self) -> Stem {
        match self {
            LayerKind::Conv { .. } => Stem::OfType("conv"),
            LayerKind::BatchNorm {} => Stem::OfType("bn"),
            LayerKind::Activation {} => Stem::OfType("act"),
            LayerKind::Linear { .. } => Stem::OfType("fc"),
            LayerKind::Add {} => Stem::OfType("add"),
            LayerKind::MaxPool { .. } | LayerKind::AveragePool(_) => Stem::OfPlace("pool"),
            LayerKind::Dropout { .. } => Stem::OfPlace("dropout"),
        }
    }

    /// Shape of what it makes of values of the shapes `inputs`, or why it makes nothing.
    pub(super) fn output(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let input = inputs[0];
        let window = |what: &str, size: u32, [kernel, stride, padding]: [u32; 3]| {
            let padded = size.saturating_add(padding.saturating_mul(2));
            if kernel == 0 || stride == 0 || padding >= kernel || kernel > padded {
                return Err(format!(
                    "a {what} of {kernel} with stride {stride} and padding {padding} does not fit \
                     {size} pixels"
                ));
            }
            Ok((padded - kernel) / stride + 1)
        };
        Ok(match *self {
            LayerKind::Conv { out_channels, kernel, stride, padding } => Shape::new(
                out_channels,
                window("convolution", input.height, [kernel, stride, padding])?,
                window("convolution", input.width, [kernel, stride, padding])?,
            ),
            LayerKind::MaxPool { kernel, .. } if kernel > MAX_POOL_KERNEL => {
                return Err(format!(
                    "pooling windows are at most {MAX_POOL_KERNEL} × {MAX_POOL_KERNEL}, not {kernel}"
                ));
            }
            LayerKind::MaxPool { kernel, stride } => Shape::new(
                input.channels,
                window("pooling window", input.height, [kernel, stride, 0])?,
                window("pooling window", input.width, [kernel, stride, 0])?,
            ),
            LayerKind::AveragePool(pool) => {
                Shape::new(input.channels, pool.windows(input.height)?, pool.windows(input.width)?)
            }
            LayerKind::Linear { out_features } => Shape::new(out_features, 1, 1),
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
            LayerKind::Activation {}
            | LayerKind::BatchNorm {}
            | LayerKind::Add {}
            | LayerKind::Dropout { .. } => input,
        })
    }

    /// Whether it reads two layers or more.
    pub(super) fn takes_several(&self) -> bool {
        matches!(self, LayerKind::Add {})
    }

    /// Whether it is a convolution or a fully connected layer.
    pub fn is_weighted(&self) -> bool {
        matches!(self, LayerKind::Conv { .. } | LayerKind::Linear { .. })
    }

    /// Whether it is a dropout, which does nothing in inference.
    pub fn is_dropout(&self) -> bool {
        matches!(self, LayerKind::Dropout { .. })
    }

    /// Whether it is a batch norm.
    pub fn is_batch_norm(&self) -> bool {
        matches!(self, LayerKind::BatchNorm {})
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

impl From<LayerKind> for LayerConfig {
    fn from(kind: LayerKind) -> LayerConfig {
        LayerConfig { name: None, inputs: Vec::new(), kind }
    }
}

impl LayerConfig {
    /// A layer called `name`.
    pub fn named(name: impl Into<String>, kind: LayerKind) -> LayerConfig {
        LayerConfig { name: Some(name.into()), ..kind.into() }
    }

    /// A convolution by kernel, stride and padding.
    pub fn conv(name: &str, out_channels: u32, window: [u32; 3]) -> LayerConfig {
        let [kernel, stride, padding] = window;
        LayerConfig::named(name, LayerKind::Conv { out_channels, kernel, stride, padding })
    }

    /// A fully connected layer.
    pub fn linear(name: &str, out_features: u32) -> LayerConfig {
        LayerConfig::named(name, LayerKind::Linear { out_features })
    }

    /// A batch norm.
    pub fn batch_norm(name: &str) -> LayerConfig {
        LayerConfig::named(name, LayerKind::BatchNorm {})
    }

    /// An activation.
    pub fn activation(name: &str) -> LayerConfig {
        LayerConfig::named(name, LayerKind::Activation {})
    }

    /// A max-pool.
    pub fn max_pool(kernel: u32, stride: u32) -> LayerConfig {
        LayerKind::MaxPool { kernel, stride }.into()
    }

    /// An average-pool.
    pub fn average_pool(pool: AveragePool) -> LayerConfig {
        LayerKind::AveragePool(pool).into()
    }

    /// A dropout.
    pub fn dropout(rate: f32) -> LayerConfig {
        LayerKind::Dropout { rate }.into()
    }

    /// The sum of the values of the layers `inputs`.
    pub fn add(name: &str, inputs: &[&str]) -> LayerConfig {
        LayerConfig::named(name, LayerKind::Add {}).reading(inputs)
    }

    /// The same layer, with `inputs` for what it reads.
    #[must_use]
    pub fn reading(self, inputs: &[&str]) -> LayerConfig {
        let inputs = inputs.iter().map(|name| name.to_string()).collect();
        LayerConfig { inputs, ..self }
    }
}

/// Means over square windows, torch.nn.AvgPool2d, with what a file leaves out filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    #[serde(default, alias = "ceil-mode")]
    ceil_mode: bool,
    #[serde(default = "yes", alias = "count-include-pad")]
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
    /// Windows along an axis of `size` pixels, or why there are none.
    pub(crate) fn windows(self, size: u32) -> Result<u32, String> {
        let AveragePool { kernel, stride, padding, ceil_mode, .. } = self;
        if kernel == 0 || stride == 0 {
            return Err("an average-pool needs a kernel and a stride of at least 1".into());
        }
        if padding > kernel / 2 {
            return Err(format!(
                "a padding of {padding} is more than half the averaging window of {kernel}"
            ));
        }
        let [size, kernel, stride, padding] = [size, kernel, stride, padding].map(u64::from);
        let beyond = if ceil_mode { stride - 1 } else { 0 };
        let Some(room) = (size + 2 * padding + beyond).checked_sub(kernel) else {
            return Err(format!(
                "an averaging window of {kernel} with stride {stride} and padding {padding} does \
                 not fit {size} pixels"
            ));
        };
        let last = room / stride;
        // A window that would start behind the image is left out.
        let is_outside = ceil_mode && last * stride >= size + padding;
        u32::try_from(last + u64::from(!is_outside)).map_err(|error| error.to_string())
    }
}

/// A convolution or linear layer, as `--bits` counts them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightLayer {
    /// Position in [`super::NetworkConfig::layers`].
    pub index: usize,
    /// Name of its parameters.
    pub name: String,
    /// Convolution (else linear).
    pub convolution: bool,
    /// Name of the activation between this layer and the next one with weights: where its output
    /// can be quantized.
    pub activation: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn average_pools_fill_in_what_is_left_out() {
        let read = |text: &str| toml::from_str::<LayerConfig>(text).map_err(|e| e.to_string());
        let pool = AveragePool {
            kernel: 3,
            stride: 3,
            padding: 0,
            ceil_mode: false,
            count_include_pad: true,
        };
        let short = read("type = \"average-pool\"\nkernel = 3").unwrap();
        assert_eq!(short, LayerConfig::average_pool(pool));
        assert_eq!(read(&toml::to_string(&short).unwrap()), Ok(short));
        let whole = AveragePool { stride: 2, padding: 1, ceil_mode: true, ..pool };
        let whole = LayerConfig::average_pool(AveragePool { count_include_pad: false, ..whole });
        let text = "type = \"average-pool\"\nkernel = 3\nstride = 2\npadding = 1\n";
        for keys in [["ceil_mode", "count_include_pad"], ["ceil-mode", "count-include-pad"]] {
            let [ceil, counts] = keys;
            assert_eq!(read(&format!("{text}{ceil} = true\n{counts} = false")), Ok(whole.clone()));
        }
        assert_eq!(read(&toml::to_string(&whole).unwrap()), Ok(whole));
        assert!(read(&format!("{text}ceil = true")).unwrap_err().contains("unknown field `ceil`"));
    }
}
