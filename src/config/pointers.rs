//! Words of other tools, and what saliq has in their place: for a message that would otherwise only
//! say "unknown".

use crate::{Phrase, error::phrase};

/// What is said of a flag of other tools; `<lr>` is a setting of ours, as in [`phrase!`].
const FLAGS: &[(&[&str], &str)] = &[
    (
        &[
            "device",
            "devices",
            "gpu",
            "gpus",
            "cuda",
            "cpu",
            "mps",
            "accelerator",
            "backend",
            "no-cuda",
            "no-accel",
            "no-mps",
            "gpu-id",
        ],
        "the adapter is chosen with `<adapter>` (`saliq devices` lists them)",
    ),
    (&["learning-rate", "rate"], "it is called `<lr>` here"),
    (
        &["bs", "batch", "batchsize", "train-batch-size", "test-batch-size"],
        "it is called `<batch-size>` here",
    ),
    (&["wd", "l2"], "it is called `<weight-decay>` here"),
    (&["lr-schedule", "scheduler", "lr-scheduler", "lr-policy"], "it is called `<schedule>` here"),
    (
        &[
            "quantize",
            "quantization",
            "quant",
            "qat",
            "nbits",
            "num-bits",
            "wbits",
            "abits",
            "precision-bits",
        ],
        "the widths are set with `<bits>`, such as `<bits 4,2>` or `w4a2`; `saliq quantize` \
         quantizes without training",
    ),
    (&["output-dir", "out-dir", "save-dir", "log-dir", "save"], "it is called `<out>` here"),
    (
        &["data", "data-path", "root", "data-root"],
        "the data set is named with `<dataset>`, where it is looked up with `<data-dir>`",
    ),
    (&["num-epochs", "n-epochs", "max-epochs"], "it is called `<epochs>` here"),
    (&["max-steps", "iterations", "iters", "num-iterations"], "it is called `<steps>` here"),
    (
        &["model", "weights", "checkpoint", "ckpt", "pretrained", "load"],
        "a model is given as MODEL, without a flag; to `train`, with `<init>`",
    ),
    (&["amp", "fp16", "half", "mixed-precision"], "it is `<precision f16>` here"),
    (&["optim", "opt"], "it is called `<optimizer>` here"),
    (&["nsamples", "num-samples"], "it is called `<samples>` here"),
    (&["n-steps", "num-steps"], "it is called `<steps>` here"),
    (&["attribution", "attr", "methods", "algorithm"], "it is called `<method>` here"),
    (&["colormap"], "it is called `<cmap>` here"),
    (
        &["workers", "num-workers", "threads", "pin-memory"],
        "there is no need of it: the images lie in the adapter's memory",
    ),
    (&["silent"], "it is called `<quiet>` here"),
    (&["debug"], "it is `-v` here, or `-vv`"),
];

/// What is said of a command of other tools.
const COMMANDS: &[(&[&str], &str)] = &[
    (
        &["test", "evaluate", "evaluation", "predict", "validate", "infer", "inference"],
        "it is called `saliq eval` here",
    ),
    (
        &["attribute", "saliency", "visualize", "interpret", "attributions"],
        "it is called `saliq explain` here",
    ),
    (&["fit"], "it is called `saliq train` here"),
    (&["convert"], "it is called `saliq export` here"),
    (&["benchmark"], "it is called `saliq bench` here"),
    (&["download", "fetch"], "it is called `saliq data fetch` here"),
    (&["ptq", "quantise"], "it is called `saliq quantize` here"),
    (&["gpus", "adapters", "info"], "adapters are listed by `saliq devices`"),
];

/// What is said of a value of a flag.
const VALUES: &[(&str, &[&str], &str)] = &[
    (
        "optimizer",
        &["rmsprop", "adagrad", "nadam", "radam", "adamax", "lamb", "lion", "lbfgs"],
        "it is not built in; `adam` is nearest (there are sgd, momentum, adam, adamw, adadelta)",
    ),
    (
        "optimizer",
        &["nesterov", "sgd-momentum", "momentum-sgd", "nag"],
        "it is `momentum`, for Nesterov's form with `<nesterov>`",
    ),
    ("act-quant", &["lsq+"], "it is called `lsq-plus` here"),
    ("schedule", &["cosine-annealing", "cosine-annealing-lr"], "it is called `cosine` here"),
    ("schedule", &["steplr", "multistep", "multisteplr"], "it is called `step` here"),
    ("schedule", &["onecycle", "onecyclelr"], "it is called `one-cycle` here"),
    ("schedule", &["none", "fixed"], "it is called `constant` here"),
    (
        "schedule",
        &["plateau", "reducelronplateau", "exponential", "exponentiallr", "linear", "polynomial"],
        "it is not built in; `step` or `cosine` is nearest",
    ),
    (
        "format",
        &["tflite", "tensorflow-lite", "litert", "tensorflow", "tf", "keras", "h5"],
        "saliq does not write it; export `onnx` and convert that file",
    ),
    (
        "format",
        &["coreml", "mlmodel", "openvino", "tensorrt", "trt", "ncnn", "tvm", "engine"],
        "saliq does not write it; export `onnx`, which its own converter reads",
    ),
    ("format", &["onnxruntime", "ort"], "`onnx` is what ONNX Runtime reads"),
    (
        "format",
        &["torchscript", "torch", "pytorch", "pt", "pth", "state-dict", "pickle"],
        "`safetensors` has PyTorch's names and shapes (docs/python.md)",
    ),
    ("format", &["header", "c-header", "h", "cmsis", "cmsis-nn", "c99"], "it is called `c` here"),
    (
        "format",
        &["int4", "int8", "gguf", "quantized"],
        "`packed` has weights at their bits; `onnx` and `c` are quantized where the model is",
    ),
    (
        "method",
        &[
            "saliency",
            "saliency-map",
            "vanilla",
            "vanilla-gradient",
            "grad",
            "gradients",
            "backprop",
        ],
        "it is called `gradient` here",
    ),
    (
        "method",
        &["ig", "integrated-gradient", "integrated-grad", "path-integrated-gradients"],
        "it is called `integrated-gradients` here",
    ),
    ("method", &["cam", "layer-grad-cam"], "it is called `grad-cam` here"),
    ("method", &["grad-cam++", "grad-cam-pp"], "it is called `grad-cam-plus-plus` here"),
    ("method", &["guided-gradcam"], "it is called `guided-grad-cam` here"),
    ("method", &["gamma-lrp"], "it is called `lrp-gamma` here"),
    (
        "method",
        &["gradient-x-input", "grad-x-input", "input-times-gradient", "ixg", "gxi"],
        "it is called `input-x-gradient` here",
    ),
    (
        "method",
        &["guided-backpropagation", "gbp", "guided-bp"],
        "it is called `guided-backprop` here",
    ),
    ("method", &["deeplift-rescale"], "it is called `deeplift` here"),
    (
        "method",
        &["shap", "grad-shap", "deep-shap", "deep-lift-shap", "expected-gradients"],
        "`gradient-shap` is nearest",
    ),
    ("method", &["noise-tunnel", "smooth-gradient", "sg"], "it is called `smoothgrad` here"),
    (
        "method",
        &["smoothgrad-squared", "smooth-grad-square", "sgsq"],
        "it is called `smoothgrad-sq` here",
    ),
    ("method", &["feature-ablation", "ablation", "feature-permutation"], "`occlusion` is nearest"),
    (
        "method",
        &["lime", "kernel-shap", "shapley-value-sampling", "anchors"],
        "it is not built in; `rise` is nearest",
    ),
    (
        "method",
        &["deconvolution", "deconvnet", "deconv"],
        "it is not built in; `guided-backprop` is nearest",
    ),
    ("method", &["layer-cam", "xgrad-cam"], "it is not built in; `grad-cam` is nearest"),
    (
        "method",
        &[
            "relevance",
            "layer-wise-relevance-propagation",
            "lrp-epsilon",
            "epsilon-lrp",
            "lrp-z-plus",
        ],
        "it is called `lrp` here, with `<lrp-rule>`",
    ),
    (
        "dataset",
        &["fashion", "fmnist"],
        "it is called `fashion-mnist` here, its small built-in part `fashion-mini`",
    ),
    (
        "dataset",
        &["cifar", "cifar10"],
        "it is called `cifar-10` here; `saliq data fetch cifar-10` gets it",
    ),
    (
        "dataset",
        &["cifar100"],
        "it is called `cifar-100` here; `saliq data fetch cifar-100` gets it",
    ),
    (
        "dataset",
        &["emnist"],
        "its parts have names, such as `emnist-letters`; `saliq data fetch emnist-letters` gets it",
    ),
    (
        "dataset",
        &["medmnist"],
        "its parts have names, such as `pathmnist`; `saliq data fetch pathmnist` gets it",
    ),
    ("dataset", &["digits", "mini"], "`mnist-mini` is built in"),
    (
        "dataset",
        &["imagenet", "tiny-imagenet", "svhn", "stl10", "celeba", "usps", "omniglot"],
        "it is not built in; give a folder of pictures, or a file of another format that is read",
    ),
];

/// What is said of a type of layer of other tools.
const LAYER_TYPES: &[(&[&str], &str)] = &[
    (&["conv2d", "convolution", "conv1d"], "`conv`"),
    (&["depthwise", "depthwise-conv", "depthwise-conv2d"], "`conv` with groups = \"depthwise\""),
    (&["dense", "fc", "fully-connected", "inner-product", "gemm"], "`linear`"),
    (&["batch-norm2d", "batch-norm1d", "batch-normalization", "bn"], "`batch-norm`"),
    (&["max-pool2d", "max-pooling2d", "max-pooling", "pool"], "`max-pool`"),
    (&["avg-pool", "avg-pool2d", "average-pooling2d", "mean-pool"], "`average-pool`"),
    (
        &["adaptive-avg-pool2d", "global-average-pooling2d", "global-avg-pool", "gap"],
        "`global-average-pool`",
    ),
    (&["dropout2d"], "`dropout`"),
    (&["relu"], "`activation`"),
    (
        &["relu6", "leaky-relu", "tanh", "sigmoid", "silu", "hard-swish"],
        "`activation` with a `kind`",
    ),
    (&["swish"], "`activation` with kind = \"silu\""),
    (&["sum", "residual", "shortcut", "skip"], "`add`"),
    (&["mul", "product", "scale"], "`multiply`"),
    (&["cat", "concatenate"], "`concat`"),
    (&["reshape", "view"], "`flatten`"),
];

/// What is said of a setting of a layer of other tools.
const LAYER_KEYS: &[(&[&str], &str)] = &[
    (&["kernel-size", "pool-size", "kernel-shape"], "it is called `kernel` here"),
    (&["strides"], "it is called `stride` here"),
    (&["pads", "pad"], "it is called `padding` here"),
    (&["filters", "num-filters", "channels", "out-planes"], "it is called `out_channels` here"),
    (&["units", "outputs", "out-dim"], "it is called `out_features` here"),
    (&["dilations", "dilation-rate"], "it is called `dilation` here"),
    (&["group"], "it is called `groups` here"),
    (&["use-bias"], "it is called `bias` here"),
    (&["eps"], "it is called `epsilon` here"),
    (&["p", "probability"], "it is called `rate` here"),
    (&["negative-slope", "alpha"], "it is called `slope` here"),
    (&["activation", "function", "nonlinearity"], "an activation is a layer of its own here"),
    (
        &["in-channels", "in-features", "num-features", "in-planes", "input-shape"],
        "it follows from the layer in front",
    ),
    (&["from", "bottom"], "it is called `input` here"),
];

/// `text` without what spellings differ in: capitals, hyphens, underscores, spaces.
fn plainly(text: &str) -> String {
    text.chars().filter(|c| !matches!(c, '-' | '_' | ' ')).flat_map(char::to_lowercase).collect()
}

fn find(words: &[&str], text: &str) -> bool {
    let text = plainly(text);
    words.iter().any(|word| plainly(word) == text)
}

/// What to say of the unknown flag `name`, with its dashes or without.
pub(crate) fn of_flag(name: &str) -> Option<Phrase> {
    let found = FLAGS.iter().find(|(words, _)| find(words, name));
    found.map(|(_, said)| Phrase::filled(said, &[]))
}

/// What to say of the unknown command `name`.
pub(crate) fn of_command(name: &str) -> Option<&'static str> {
    COMMANDS.iter().find(|(words, _)| find(words, name)).map(|(_, said)| *said)
}

/// What to say of the unknown `value` of a flag or key, of which `known` are there: another
/// spelling of one of those, or a word of other tools.
pub(crate) fn of_value<'a>(
    flag: &str,
    value: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<Phrase> {
    if let Some(spelling) = known.into_iter().find(|known| plainly(known) == plainly(value)) {
        return Some(phrase!("it is written `{}` here", spelling));
    }
    let said = VALUES.iter().find(|(of, words, _)| *of == flag && find(words, value));
    said.map(|(_, _, said)| Phrase::filled(said, &[]))
}

/// What to say of the unknown type `word` of a layer, of which `known` are there.
pub(super) fn of_layer_type(word: &str, known: &[&str]) -> Option<String> {
    let same = known.iter().find(|known| plainly(known) == plainly(word));
    let own = same.map(|known| format!("`{known}`"));
    let other = LAYER_TYPES.iter().find(|(words, _)| find(words, word));
    let said = own.or_else(|| other.map(|(_, said)| said.to_string()))?;
    Some(format!("`{word}` is {said} here"))
}

/// What to say of the unknown key `word` of a layer.
pub(super) fn of_layer_key(word: &str) -> Option<&'static str> {
    LAYER_KEYS.iter().find(|(words, _)| find(words, word)).map(|(_, said)| *said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_do_not_matter() {
        assert_eq!(of_flag("--learning_rate"), of_flag("learning-rate"));
        assert_eq!(
            of_value("method", "IntegratedGradients", ["integrated-gradients"]),
            Some("it is written `integrated-gradients` here".into())
        );
        assert!(
            of_value("method", "IG", [])
                .is_some_and(|said| said.to_string().contains("`integrated-gradients`"))
        );
        assert!(
            of_value("dataset", "CIFAR-10", [])
                .is_some_and(|said| said.to_string().contains("data fetch cifar-10"))
        );
        assert!(
            of_value("dataset", "SVHN", [])
                .is_some_and(|said| said.to_string().contains("not built in"))
        );
        let levels = of_value("act-quant", "LSQ+", ["pact", "lsq", "lsq-plus"]);
        assert_eq!(levels, Some("it is called `lsq-plus` here".into()));
        assert_eq!(of_value("optimizer", "tflite", ["sgd"]), None);
        assert_eq!(of_flag("mask-ration"), None);
    }

    #[test]
    fn a_word_has_one_meaning() {
        let lists = [FLAGS, COMMANDS, LAYER_TYPES, LAYER_KEYS].map(|list| {
            list.iter()
                .flat_map(|(words, _)| words.iter().map(|word| plainly(word)))
                .collect::<Vec<_>>()
        });
        let values = VALUES
            .iter()
            .flat_map(|(flag, words, _)| {
                words.iter().map(move |word| format!("{flag} {}", plainly(word)))
            })
            .collect();
        for words in lists.into_iter().chain([values]) {
            let distinct: std::collections::HashSet<_> = words.iter().collect();
            assert_eq!(distinct.len(), words.len());
        }
    }
}
