//! Small networks that have, all together, everything that a network can have.

use saliq::config::NetworkConfig;

/// Blocks by what they are known for; see [`network`].
pub const NETWORKS: [(&str, &str); 14] = [
    ("residual", RESIDUAL),
    ("separable", SEPARABLE),
    ("inverted residual", INVERTED_RESIDUAL),
    ("squeeze and excite", SQUEEZE_AND_EXCITE),
    ("dense block", DENSE_BLOCK),
    ("max-pools", MAX_POOLS),
    ("batch norms in front", NORMS_IN_FRONT),
    ("windows", WINDOWS),
    ("rows", ROWS),
    ("functions", FUNCTIONS),
    ("averages", AVERAGES),
    ("levels at the end", LEVELS_AT_THE_END),
    ("slopes", SLOPES),
    ("uneven pools", UNEVEN_POOLS),
];

/// The network `text` with images of 3 × 9 × 8 and 5 classes.
pub fn network(text: &str) -> NetworkConfig {
    toml::from_str(&format!("input = [3, 9, 8]\nclasses = 5\n{text}")).unwrap()
}

/// A projection with a stride beside two convolutions with padding, batch norms, no bias.
const RESIDUAL: &str = r#"layers = [
    { type = "conv", name = "stem", out-channels = 4, kernel = 3, padding = 1, bias = false },
    { type = "batch-norm" },
    { type = "activation", name = "act1" },
    { type = "conv", out-channels = 6, kernel = 3, stride = 2, padding = 1, bias = false },
    { type = "batch-norm" },
    { type = "activation" },
    { type = "conv", out-channels = 6, kernel = 3, padding = "same", bias = false },
    { type = "batch-norm", name = "main" },
    { type = "conv", input = "act1", out-channels = 6, kernel = 1, stride = 2, bias = false },
    { type = "batch-norm", name = "short" },
    { type = "add", inputs = ["main", "short"] },
    { type = "activation" },
    { type = "global-average-pool" },
    { type = "linear", out-features = 5 },
]"#;

/// Depthwise convolutions whose padding differs from side to side, points behind them.
const SEPARABLE: &str = r#"layers = [
    { type = "conv", out-channels = 6, kernel = 2, stride = 1, padding = "same" },
    { type = "activation" },
    { type = "conv", out-channels = 6, kernel = 3, stride = 2, padding = "same",
      groups = "depthwise" },
    { type = "activation" },
    { type = "conv", out-channels = 8, kernel = 1 },
    { type = "activation" },
    { type = "conv", out-channels = 16, kernel = [3, 2], padding = [2, 0, 0, 1],
      groups = "depthwise", bias = false },
    { type = "activation" },
    { type = "conv", out-channels = 6, kernel = 1, groups = 2 },
    { type = "activation" },
    { type = "linear", out-features = 5 },
]"#;

const INVERTED_RESIDUAL: &str = r#"layers = [
    { type = "conv", name = "stem", out-channels = 4, kernel = 3, stride = 2,
      padding = [0, 0, 1, 1] },
    { type = "conv", out-channels = 12, kernel = 1, bias = false },
    { type = "batch-norm" },
    { type = "activation", kind = "relu6" },
    { type = "conv", out-channels = 12, kernel = 3, padding = 1, groups = "depthwise",
      bias = false },
    { type = "batch-norm" },
    { type = "activation", kind = "relu6" },
    { type = "conv", out-channels = 4, kernel = 1, bias = false },
    { type = "batch-norm", name = "main" },
    { type = "add", inputs = ["stem", "main"] },
    { type = "activation", kind = "relu6" },
    { type = "flatten" },
    { type = "linear", out-features = 5 },
]"#;

/// A factor a channel, and a product of two values of one shape.
const SQUEEZE_AND_EXCITE: &str = r#"layers = [
    { type = "conv", out-channels = 6, kernel = 3, padding = 1 },
    { type = "activation", name = "act1" },
    { type = "global-average-pool" },
    { type = "conv", out-channels = 3, kernel = 1 },
    { type = "activation" },
    { type = "conv", out-channels = 6, kernel = 1 },
    { type = "activation", name = "gate", kind = "sigmoid" },
    { type = "multiply", name = "scaled", inputs = ["gate", "act1"] },
    { type = "conv", out-channels = 6, kernel = 1 },
    { type = "activation", name = "act5", kind = "hard-swish" },
    { type = "multiply", inputs = ["scaled", "act5"] },
    { type = "conv", out-channels = 5, kernel = 1 },
    { type = "global-average-pool" },
]"#;

/// Values of one layer, of layers that are stored alike and of the image one behind another.
const DENSE_BLOCK: &str = r#"layers = [
    { type = "conv", out-channels = 4, kernel = 3, padding = 1 },
    { type = "activation", name = "act1" },
    { type = "max-pool", name = "pooled", kernel = 3, stride = 1, padding = 1 },
    { type = "concat", name = "same", inputs = ["act1", "pooled"] },
    { type = "conv", out-channels = 3, kernel = 3, padding = 1 },
    { type = "activation", name = "act2" },
    { type = "concat", name = "three", inputs = ["act1", "act2", "input"] },
    { type = "conv", out-channels = 3, kernel = 3, stride = 2, padding = 1 },
    { type = "activation", name = "act3" },
    { type = "concat", inputs = ["act3", "act3", "act3"] },
    { type = "linear", out-features = 5 },
]"#;

/// Of pixels, levels and floats, with padding and beyond the image.
const MAX_POOLS: &str = r#"layers = [
    { type = "max-pool", kernel = 2, stride = 1, padding = 1 },
    { type = "conv", out-channels = 5, kernel = 3, padding = 1 },
    { type = "activation" },
    { type = "max-pool", kernel = 3, stride = 2, padding = 1, ceil-mode = true },
    { type = "conv", out-channels = 6, kernel = 2, padding = [1, 0, 0, 1] },
    { type = "max-pool", kernel = 2, stride = 2, ceil-mode = true },
    { type = "activation", kind = "leaky-relu", slope = 0.25 },
    { type = "max-pool", kernel = 3, stride = 1, padding = 1 },
    { type = "linear", out-features = 5 },
]"#;

/// Of the image, of levels and of rows.
const NORMS_IN_FRONT: &str = r#"layers = [
    { type = "batch-norm" },
    { type = "conv", out-channels = 4, kernel = 3, padding = [1, 2, 0, 1], bias = false },
    { type = "activation" },
    { type = "batch-norm" },
    { type = "activation" },
    { type = "conv", out-channels = 4, kernel = 3, stride = [2, 1] },
    { type = "activation" },
    { type = "linear", out-features = 7 },
    { type = "activation" },
    { type = "batch-norm", epsilon = 0.01 },
    { type = "activation" },
    { type = "linear", out-features = 5 },
]"#;

/// Windows and paddings of all kinds; some reach beyond both sides of the image.
const WINDOWS: &str = r#"layers = [
    { type = "conv", out-channels = 6, kernel = [3, 2], dilation = [2, 3], padding = [3, 1, 1, 2],
      groups = 3 },
    { type = "activation" },
    { type = "conv", out-channels = 4, kernel = 3, dilation = 2, stride = [1, 2], padding = "same",
      groups = 2, bias = false },
    { type = "activation" },
    { type = "conv", out-channels = 5, kernel = [5, 1], stride = [3, 1], padding = [4, 0, 3, 0] },
    { type = "activation" },
    { type = "conv", out-channels = 4, kernel = 2, stride = [3, 2], padding = [1, 0, 1, 1] },
    { type = "activation" },
    { type = "conv", out-channels = 5, kernel = [7, 5], padding = [3, 2, 3, 2] },
    { type = "activation" },
    { type = "conv", out-channels = 5, kernel = 3, dilation = 4, padding = 4 },
    { type = "global-average-pool" },
]"#;

/// Windows of one row or one column.
const ROWS: &str = r#"layers = [
    { type = "conv", out-channels = 4, kernel = [1, 3], padding = [0, 1] },
    { type = "activation" },
    { type = "conv", out-channels = 4, kernel = [3, 1], stride = [2, 1], padding = "same" },
    { type = "activation" },
    { type = "conv", out-channels = 8, kernel = [1, 3], dilation = [1, 2], groups = "depthwise" },
    { type = "activation" },
    { type = "conv", out-channels = 5, kernel = [1, 4] },
    { type = "activation" },
    { type = "conv", out-channels = 5, kernel = [5, 1] },
]"#;

const FUNCTIONS: &str = r#"layers = [
    { type = "conv", out-channels = 4, kernel = 3, padding = 1 },
    { type = "activation", kind = "silu" },
    { type = "conv", out-channels = 4, kernel = 3, padding = [0, 1, 1, 0] },
    { type = "activation", kind = "tanh" },
    { type = "conv", out-channels = 4, kernel = 3, stride = 2, padding = 1 },
    { type = "activation", kind = "leaky-relu" },
    { type = "conv", out-channels = 5, kernel = 2 },
    { type = "activation", kind = "hard-swish" },
    { type = "linear", out-features = 7 },
    { type = "activation", kind = "sigmoid" },
    { type = "linear", out-features = 5 },
    { type = "activation", kind = "tanh" },
]"#;

/// Means of windows that reach beyond the image, and of planes that are not square.
const AVERAGES: &str = r#"layers = [
    { type = "average-pool", kernel = 2, stride = 1, padding = 1 },
    { type = "conv", out-channels = 4, kernel = 3, padding = 1 },
    { type = "activation" },
    { type = "average-pool", kernel = 3, stride = 2, padding = 1, ceil-mode = true },
    { type = "conv", out-channels = 4, kernel = [2, 3], padding = [0, 1, 1, 1] },
    { type = "activation" },
    { type = "average-pool", kernel = 2, stride = 2, padding = 1, ceil-mode = true,
      count-include-pad = false },
    { type = "activation" },
    { type = "conv", out-channels = 5, kernel = [2, 1] },
    { type = "global-average-pool" },
]"#;

/// A maximum of levels is the score.
const LEVELS_AT_THE_END: &str = r#"layers = [
    { type = "conv", out-channels = 4, kernel = 3, stride = 2, padding = 1 },
    { type = "activation" },
    { type = "conv", out-channels = 5, kernel = 3 },
    { type = "activation", kind = "silu" },
    { type = "max-pool", kernel = 3, ceil-mode = true },
]"#;

/// PReLUs of planes, behind a batch norm and a sum, and of rows; one slope or one a channel.
const SLOPES: &str = r#"layers = [
    { type = "conv", out-channels = 4, kernel = 3, padding = 1 },
    { type = "activation", name = "act1", kind = "prelu", per-channel = true },
    { type = "conv", out-channels = 4, kernel = 3, padding = 1, bias = false },
    { type = "batch-norm" },
    { type = "activation", name = "act2", kind = "prelu" },
    { type = "add", inputs = ["act1", "act2"] },
    { type = "activation", kind = "prelu", per-channel = true },
    { type = "max-pool", kernel = 2 },
    { type = "conv", out-channels = 5, kernel = 3, stride = 2, padding = [1, 0, 0, 1] },
    { type = "activation" },
    { type = "linear", out-features = 7 },
    { type = "activation", kind = "prelu", per-channel = true },
    { type = "linear", out-features = 5 },
]"#;

/// Paddings that differ from side to side: of pixels, of levels and of floats.
const UNEVEN_POOLS: &str = r#"layers = [
    { type = "max-pool", kernel = [3, 2], stride = 1, padding = [2, 0, 1, 1] },
    { type = "conv", out-channels = 4, kernel = 3, padding = 1 },
    { type = "activation" },
    { type = "average-pool", kernel = 3, stride = [1, 2], padding = [0, 2, 1, 0] },
    { type = "max-pool", kernel = [2, 3], stride = 1, padding = [0, 0, 1, 2] },
    { type = "conv", out-channels = 5, kernel = 2 },
    { type = "activation", kind = "leaky-relu" },
    { type = "max-pool", kernel = 3, stride = 2, padding = [0, 2, 1, 1], ceil-mode = true },
    { type = "average-pool", kernel = 2, stride = 1, padding = [1, 0, 0, 1], ceil-mode = true,
      count-include-pad = false },
    { type = "activation" },
    { type = "linear", out-features = 5 },
]"#;
