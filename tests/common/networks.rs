//! Small networks of the kinds that people deploy, as their files have them.

use saliq::config::NetworkConfig;

/// A residual block in front of which values are normalised and rectified (He et al. 2016b), and a
/// shortcut by a convolution: batch norms that no layer in front can take up.
const PRE_ACTIVATION: &str = r#"
input = [3, 9, 7]
classes = 4
layers = [
    { type = "conv", name = "stem", out_channels = 6, kernel = 3, padding = 1, bias = false },
    { type = "batch-norm", name = "block.norm1", epsilon = 1e-3 },
    { type = "activation", name = "block.act1" },
    { type = "conv", name = "block.conv1",
      out_channels = 8, kernel = 3, stride = 2, padding = "same", bias = false },
    { type = "batch-norm", name = "block.norm2" },
    { type = "activation", name = "block.act2" },
    { type = "conv", name = "block.conv2",
      out_channels = 8, kernel = 3, padding = 1, bias = false },
    { type = "conv", name = "short", inputs = ["block.act1"],
      out_channels = 8, kernel = 1, stride = 2, bias = false },
    { type = "add", name = "sum", inputs = ["block.conv2", "short"] },
    { type = "batch-norm", name = "norm" },
    { type = "activation", name = "act" },
    { type = "global-average-pool" },
    { type = "linear", name = "head", out_features = 4 },
]
"#;

/// An inverted residual (Sandler et al. 2018) with its window padded on two sides.
const INVERTED_RESIDUAL: &str = r#"
input = [3, 10, 8]
classes = 3
layers = [
    { type = "conv", name = "stem",
      out_channels = 5, kernel = [3, 2], stride = 2, padding = [0, 0, 1, 1] },
    { type = "batch-norm" },
    { type = "activation", name = "act1", kind = "relu6" },
    { type = "conv", name = "expand", out_channels = 10, kernel = 1, bias = false },
    { type = "batch-norm" },
    { type = "activation", name = "act2", kind = "relu6" },
    { type = "conv", name = "depthwise",
      out_channels = 10, kernel = 3, padding = 1, groups = "depthwise", bias = false },
    { type = "batch-norm" },
    { type = "activation", name = "act3", kind = "relu6" },
    { type = "conv", name = "project", out_channels = 5, kernel = 1, bias = false },
    { type = "batch-norm" },
    { type = "add", name = "sum", inputs = ["bn4", "act1"] },
    { type = "max-pool", kernel = 3, stride = 2, padding = 1, ceil_mode = true },
    { type = "linear", name = "head", out_features = 3 },
]
"#;

/// Squeeze and excitation (Hu et al. 2018), and functions that are no ReLU.
const SQUEEZE_AND_EXCITE: &str = r#"
input = [1, 8, 7]
classes = 3
layers = [
    { type = "conv", name = "stem",
      out_channels = 6, kernel = 3, dilation = [2, 1], padding = [2, 1] },
    { type = "batch-norm" },
    { type = "activation", name = "value", kind = "hard-swish" },
    { type = "global-average-pool", name = "squeeze" },
    { type = "linear", name = "fewer", out_features = 3 },
    { type = "activation", name = "act1", kind = "silu" },
    { type = "linear", name = "more", out_features = 6 },
    { type = "activation", name = "gate", kind = "sigmoid" },
    { type = "multiply", name = "excite", inputs = ["value", "gate"] },
    { type = "conv", name = "groups", out_channels = 4, kernel = [1, 3], groups = 2 },
    { type = "activation", name = "act2", kind = "tanh" },
    { type = "average-pool", kernel = 2 },
    { type = "linear", name = "fc1", out_features = 7 },
    { type = "activation", name = "act3", kind = "leaky-relu", slope = 0.2 },
    { type = "linear", name = "head", out_features = 3 },
]
"#;

/// A fire module (Iandola et al. 2016), a dense connection (Huang et al. 2017), and a head that is
/// not linear.
const FIRE_AND_DENSE: &str = r#"
input = [2, 8, 9]
classes = 5
layers = [
    { type = "conv", name = "squeeze", out_channels = 3, kernel = 1 },
    { type = "activation", name = "act1" },
    { type = "conv", name = "one", out_channels = 5, kernel = 1 },
    { type = "activation", name = "act2" },
    { type = "conv", name = "three", inputs = ["act1"], out_channels = 6, kernel = 3, padding = 1 },
    { type = "activation", name = "act3" },
    { type = "concat", name = "fire", inputs = ["act2", "act3"] },
    { type = "max-pool", name = "pool", kernel = 2 },
    { type = "conv", name = "dense", out_channels = 4, kernel = 3, padding = "same" },
    { type = "activation", name = "act4" },
    { type = "concat", name = "all", inputs = ["pool", "act4", "pool"] },
    { type = "conv", name = "head", out_channels = 5, kernel = 1 },
    { type = "global-average-pool" },
]
"#;

/// Every network with its name.
pub fn networks() -> [(&'static str, NetworkConfig); 4] {
    [
        ("pre-activation", PRE_ACTIVATION),
        ("inverted residual", INVERTED_RESIDUAL),
        ("squeeze and excite", SQUEEZE_AND_EXCITE),
        ("fire and dense", FIRE_AND_DENSE),
    ]
    .map(|(name, text)| (name, toml::from_str(text).unwrap()))
}
