//! Layers of a network as data: names, shapes, settings.

use serde::{Deserialize, Serialize};

/// Largest window of a max-pool: the position of a maximum takes eight bits.
pub(super) const MAX_POOL_KERNEL: u32 = 15;
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

/// One layer of a sequential network. Names of parameters follow PyTorch's (`conv1.weight`,
/// `fc1.bias`, `act1.alpha`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(
    tag = "type",
    rename_all = "kebab-case",
    deny_unknown_fields,
    expecting = "a table with `type` and the layer's settings"
)]
pub enum LayerConfig {
    /// 2-D convolution (cross-correlation) with a square kernel and a bias.
    Conv {
        /// Name of its parameters, e.g. `conv1`.
        name: String,
        /// Number of filters.
        #[serde(alias = "out-channels")]
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
    BatchNorm {
        /// Name of its parameters and running statistics, e.g. `bn1`.
        name: String,
    },
    /// ReLU, or PACT in its place where the preceding layer's activations are quantized.
    Activation {
        /// Name of its α, e.g. `act1`.
        name: String,
    },
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
        /// Name of its parameters, e.g. `fc1`.
        name: String,
        /// Number of outputs.
        #[serde(alias = "out-features")]
        out_features: u32,
    },
}

fn one() -> u32 {
    1
}

impl LayerConfig {
    /// Its name, or what it is where layers of its type have none.
    fn naming(&self) -> Result<&str, &'static str> {
        match self {
            LayerConfig::Conv { name, .. }
            | LayerConfig::Linear { name, .. }
            | LayerConfig::BatchNorm { name }
            | LayerConfig::Activation { name } => Ok(name),
            LayerConfig::MaxPool { .. } | LayerConfig::AveragePool(_) => Err("pool"),
            LayerConfig::Dropout { .. } => Err("dropout"),
        }
    }

    /// Its name, where layers of its type have one.
    pub fn name(&self) -> Option<&str> {
        self.naming().ok()
    }

    /// Its name; of layers without one what they are and their place, counted from 1: `pool5`.
    pub fn label(&self, place: usize) -> String {
        self.naming().map_or_else(|kind| format!("{kind}{place}"), str::to_string)
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WeightLayer<'a> {
    /// Position in [`super::NetworkConfig::layers`].
    pub index: usize,
    /// Name of its parameters.
    pub name: &'a str,
    /// Convolution (else linear).
    pub convolution: bool,
    /// Name of the activation between this layer and the next one with weights: where its output
    /// can be quantized.
    pub activation: Option<&'a str>,
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
        assert_eq!(short, LayerConfig::AveragePool(pool));
        assert_eq!(read(&toml::to_string(&short).unwrap()), Ok(short));
        let whole = AveragePool { stride: 2, padding: 1, ceil_mode: true, ..pool };
        let whole = LayerConfig::AveragePool(AveragePool { count_include_pad: false, ..whole });
        let text = "type = \"average-pool\"\nkernel = 3\nstride = 2\npadding = 1\n";
        for keys in [["ceil_mode", "count_include_pad"], ["ceil-mode", "count-include-pad"]] {
            let [ceil, counts] = keys;
            assert_eq!(read(&format!("{text}{ceil} = true\n{counts} = false")), Ok(whole.clone()));
        }
        assert_eq!(read(&toml::to_string(&whole).unwrap()), Ok(whole));
        assert!(read(&format!("{text}ceil = true")).unwrap_err().contains("unknown field `ceil`"));
    }
}
