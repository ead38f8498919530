//! What a layer computes: its type with its settings, and the shape of its output.

use serde::Deserialize;

use super::shape::Shape;

/// Largest window of a max-pool: the position of a maximum takes eight bits.
const MAX_POOL_KERNEL: u32 = 15;
/// Largest window of an average-pool: f32 counts its pixels exactly.
const AVERAGE_POOL_KERNEL: u32 = 1 << 12;
/// Largest step between windows: places of pixels are 32-bit numbers.
const MAX_STRIDE: u32 = 1 << 12;
/// ε of batch norms, as torch.nn.BatchNorm2d has it.
pub const BATCH_NORM_EPSILON: f32 = 1e-5;

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
        /// Stride between windows.
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

/// Refuses a stride that no image is large enough for.
fn check_stride(stride: u32) -> Result<(), String> {
    match stride {
        ..=MAX_STRIDE => Ok(()),
        _ => Err(format!("a stride is at most {MAX_STRIDE} pixels, not {stride}")),
    }
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
            check_stride(stride)?;
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
                    "pooling windows are at most {MAX_POOL_KERNEL} × {MAX_POOL_KERNEL}, not \
                     {kernel}"
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

#[cfg(test)]
mod tests {
    use super::*;

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
        let conv =
            LayerKind::Conv { out_channels: 1, kernel: 3, stride: MAX_STRIDE + 1, padding: 0 };
        let pool = LayerKind::MaxPool { kernel: 2, stride: u32::MAX };
        for kind in [average(2, MAX_STRIDE + 1), conv, pool] {
            let text = reason(kind);
            assert!(text.contains("a stride is at most 4096"), "{text}");
        }
    }
}
