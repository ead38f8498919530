//! saliq's own kernels in every specialisation that the program can request. To collect them, the
//! whole range of configurations is recorded on a device that executes nothing.

use std::{collections::BTreeSet, path::PathBuf, sync::Arc};

use super::{guard, report::ShaderSource};
use crate::{
    Error, Result,
    batch::ResidentData,
    bench::Peaks,
    config::{
        DatasetInfo, ModelConfig, PartialRunConfig, PixelNormalization, QuantizationConfig,
        RunConfig, Shape, WeightInit, resolve,
    },
    data::{Dataset, Split},
    deploy::{DeployableModel, IntegerPlan},
    gpu::{Abilities, Gpu, Kernel, numbers},
    graph::Graph,
    integer::IntegerNetwork,
    judgement::{
        AccuracyDrop, AlignmentOptions, ClarityPass, Comparison, Fill, Infidelity,
        InfidelityOptions, MaxSensitivity, PixelFlipping, SensitivityOptions, Subject,
    },
    metrics::Evaluator,
    model::Model,
    saliency::{ExplainedNetwork, Explainer, ImageSet, LrpRule, Method, MethodOptions, Output},
    sgt::TeacherModel,
    shaders::{Specialization, kernel_names, link},
    train::Trainer,
};

/// A network that differs from Table I's in every respect.
const ODD_NETWORK: &str = "network.layers = [
  { type = \"conv\", name = \"conv1\", out_channels = 5, kernel = 5, stride = 2, padding = 2 }, \
  { type = \"activation\", name = \"act1\" },
  { type = \"max-pool\", kernel = 3, stride = 2 },
  { type = \"conv\", name = \"conv2\", out_channels = 33, kernel = 2, padding = 1 }, \
  { type = \"max-pool\", kernel = 2, stride = 1 },
  { type = \"activation\", name = \"act2\" },
  { type = \"average-pool\", kernel = 3, stride = 2, padding = 1, ceil_mode = true },
  { type = \"linear\", name = \"fc1\", out_features = 19 }, \
  { type = \"activation\", name = \"act3\" },
  { type = \"linear\", name = \"fc2\", out_features = 10 } ]\n";

/// Sums: of a block's input and output, of three values; a value with several readers.
const SUMS_NETWORK: &str = "network.layers = [
  { type = \"conv\", out_channels = 6, kernel = 3, padding = 1 }, { type = \"activation\" },
  { type = \"conv\", out_channels = 6, kernel = 3, padding = 1 },
  { type = \"add\", inputs = [\"conv2\", \"act1\"] }, { type = \"activation\" },
  { type = \"dropout\", name = \"drop\", rate = 0.5 },
  { type = \"add\", inputs = [\"drop\", \"act2\", \"act1\"] }, { type = \"activation\" },
  { type = \"linear\", out_features = 10 } ]\n";

/// Every function of an activation: behind a convolution, on its own, and in front of a pool.
const FUNCTIONS_NETWORK: &str = "network.layers = [
  { type = \"conv\", out_channels = 6, kernel = 3 }, { type = \"activation\", kind = \"relu6\" },
  { type = \"conv\", out_channels = 6, kernel = 3 },
  { type = \"activation\", kind = \"leaky-relu\" },
  { type = \"max-pool\", kernel = 2, stride = 2 },
  { type = \"conv\", out_channels = 6, kernel = 3 }, { type = \"activation\", kind = \"sigmoid\" },
  { type = \"conv\", out_channels = 6, kernel = 3 }, { type = \"activation\", kind = \"silu\" },
  { type = \"max-pool\", kernel = 3, stride = 2, padding = 1, ceil_mode = true },
  { type = \"activation\", kind = \"hard-swish\" },
  { type = \"linear\", out_features = 9 }, { type = \"activation\", kind = \"tanh\" },
  { type = \"linear\", out_features = 10 } ]\n";

/// Concatenations and products of values that others read too.
const JOINS_NETWORK: &str = "network.layers = [
  { type = \"batch-norm\" },
  { type = \"conv\", out_channels = 5, kernel = 3, padding = 1 }, { type = \"activation\" },
  { type = \"global-average-pool\", name = \"gap\" }, { type = \"flatten\" },
  { type = \"linear\", out_features = 5 },
  { type = \"activation\", name = \"gate\", kind = \"sigmoid\" },
  { type = \"multiply\", inputs = [\"act1\", \"gate\"] },
  { type = \"multiply\", inputs = [\"mul1\", \"act1\"] },
  { type = \"concat\", inputs = [\"mul2\", \"input\", \"act1\"] },
  { type = \"conv\", out_channels = 10, kernel = 3 }, { type = \"global-average-pool\" } ]\n";

/// Convolutions of all families: rectangular, depthwise with strides and dilation, of sets of
/// channels that are groups of 4 and that are not; with and without a bias, and in front of a batch
/// norm; levels side by side; pools of uneven windows, and learned slopes.
const WINDOWS_NETWORK: &str = "network.layers = [
  { type = \"conv\", out_channels = 8, kernel = [3, 4], padding = [1, 0, 2, 1], bias = false },
  { type = \"activation\" },
  { type = \"conv\", out_channels = 8, kernel = 3, padding = \"same\", groups = \"depthwise\" },
  { type = \"activation\" },
  { type = \"conv\", out_channels = 8, kernel = 3, stride = 2, padding = \"same\", \
    groups = \"depthwise\", bias = false },
  { type = \"conv\", out_channels = 8, kernel = 3, padding = 1, groups = 2 },
  { type = \"activation\" },
  { type = \"conv\", out_channels = 6, kernel = 1, groups = 2, bias = false }, NORM
  { type = \"activation\" },
  { type = \"conv\", out_channels = 6, kernel = 3, dilation = 2, padding = 2, \
    groups = \"depthwise\" },
  { type = \"activation\" },
  { type = \"max-pool\", name = \"near\", kernel = [3, 2], stride = 1, \
    padding = [1, 0, 1, 1] },
  { type = \"average-pool\", name = \"mean\", kernel = [1, 3], stride = [1, 1], \
    padding = [0, 2, 0, 0] },
  { type = \"activation\", name = \"bent\", kind = \"prelu\", per_channel = true },
  { type = \"concat\", inputs = [\"act5\", \"bent\"] },
  { type = \"linear\", out_features = 10 } ]\n";

/// Sums over a set of channels that floats do not hold.
const LARGE_NETWORK: &str = "network.layers = [
  { type = \"conv\", out_channels = 4, kernel = 3, padding = 1 }, { type = \"activation\" },
  { type = \"conv\", out_channels = 6, kernel = [27, 28], groups = 2 },
  { type = \"activation\" }, { type = \"linear\", out_features = 10 } ]\n";

/// Settings that together request every kernel with every option.
const SETTINGS: &[&str] = &[
    "",
    "sgt = false",
    "class-weights = \"balanced\"",
    "class-weights = \"balanced\"\nsgt = false",
    "bits = \"4,2\"",
    "bits = \"2,2\"\npact = \"signed\"\nweight-quant = \"dorefa\"\nsgt = false",
    "bits = \"4,4\"\n\
     pact = \"signed-after-relu\"\nweight-quant = \"affine\"\nper-channel = true\nsgt = false",
    "dropout = \"0.25,0.5\"\naugment = \"shift,hflip\"\noptimizer = \"adam\"",
    "optimizer = \"momentum\"\nmask-fill = \"zero\"\nmask-rank = \"abs\"",
    "optimizer = \"momentum\"\nnesterov = true\nmask-fill = \"mean\"\nsaliency-target = \"label\"",
    "optimizer = \"adamw\"\n\
     weight-decay = 0.01\nmask-fill = \"corner\"\nsaliency-target = \"predicted\"",
    "optimizer = \"adadelta\"\nmask-fill = \"blur\"\nstop-gradient = true\nno-shuffle = true",
    "bits = \"8,8,8,8\"\nweight-quant = \"symmetric\"\nsgt = false",
    "bits = \"8,8,8,8\"\npact = \"signed\"\nsgt = false",
    "bits = \"4,2\"\nweight-quant = \"lsq\"\nsgt = false",
    "bits = \"4,2\"\nact-quant = \"lsq\"\nsgt = false",
    "bits = \"4,2\"\nact-quant = \"lsq\"\npact = \"signed\"\nsgt = false",
    "bits = \"4,2\"\nact-quant = \"lsq-plus\"\nsgt = false",
    "bits = \"4,2\"\nact-quant = \"lsq-plus\"\npact = \"signed\"\nsgt = false",
    "bits = \"2,4,8\"\nweight-quant = \"lsq\"\nper-channel = true\nsgt = false",
    "bits = \"w1a2,w4a4\"\nweight-quant = \"dorefa\"\nper-channel = true\nsgt = false",
    "batch-size = 1\nsgt = false",
    "ODD",
    "ODD\nbits = \"4,2,4\"\nweight-quant = \"dorefa\"",
    "batch-norm = true\nsgt = false\non-non-finite = \"skip\"",
    "sgt = false\non-non-finite = \"lower-lr\"",
    "batch-norm = true\nbits = \"4,2\"\nfreeze-bn-after = 10",
    "ODD\nbits = \"4,32\"\nsgt = false\nNORM",
    "precision = \"f16\"\ndropout = 0.5",
    "precision = \"f16\"\nbits = \"4,2\"",
    "ODD\nprecision = \"f16\"\nbits = \"4,2,4\"",
    "SUMS",
    "SUMS\nbits = \"4,4\"\nact-quant = \"lsq-plus\"\nsgt = false",
    "SUMS\nprecision = \"f16\"\nbits = \"4,4\"\nsgt = false",
    "JOINS",
    "JOINS\nprecision = \"f16\"\nbits = \"4,4\"\nsgt = false",
    "FUNCTIONS",
    "FUNCTIONS\nbits = \"4,4,4,4,4\"\nsgt = false",
    "FUNCTIONS\nprecision = \"f16\"\nbits = \"4,4,4,4,4\"\nact-quant = \"lsq-plus\"\nsgt = false",
    "WINDOWS",
    "WINDOWS\nbits = \"4,4,4,4,4,4\"\nsgt = false",
    "WINDOWS\nbits = \"4,4,4,4,4,4\"\nweight-quant = \"lsq\"\nper-channel = true\nsgt = false",
    "WINDOWS\nprecision = \"f16\"\nsgt = false",
    "WINDOWS\nprecision = \"f16\"\nbits = \"4,4,4,4,4,4\"\nsgt = false\nNORM",
    "WINDOWS\nbits = \"8\"\npact = \"signed\"\nsgt = false",
    "LARGE\nbits = \"8\"\nweight-quant = \"dorefa\"\nsgt = false",
    "LARGE\nbits = \"8\"\nweight-quant = \"dorefa\"\npact = \"signed\"\nsgt = false",
    "teacher = \"-\"\ndistill = 1\nalign = 1\nalign-target = \"predicted\"",
    "teacher = \"-\"\nalign = 1\nteacher-cache = true\nsgt = false\nbits = \"4,2\"",
    "ODD\nteacher = \"-\"\nalign = 1\ndistill = 1\nbits = \"4,2,4\"\nweight-quant = \"lsq\"",
    "SUMS\nteacher = \"-\"\nalign = 1\nsgt = false",
    "WINDOWS\nteacher = \"-\"\nalign = 1\nsgt = false",
    "WINDOWS\nteacher = \"-\"\nalign = 1\nbits = \"4,4,4,4,4,4\"\nsgt = false\nNORM",
    "batch-norm = true\nteacher = \"-\"\nalign = 1\nsgt = false",
];

/// Networks by the words that stand for them in [`SETTINGS`].
const NETWORKS: [(&str, &str); 6] = [
    ("ODD", ODD_NETWORK),
    ("LARGE", LARGE_NETWORK),
    ("SUMS", SUMS_NETWORK),
    ("FUNCTIONS", FUNCTIONS_NETWORK),
    ("JOINS", JOINS_NETWORK),
    ("WINDOWS", WINDOWS_NETWORK),
];

/// Devices that execute nothing: as software adapters and as GPUs, with and without optional
/// features.
fn devices() -> [Gpu; 5] {
    let plain = Abilities::default();
    let vectors = Abilities { subgroup_lanes: Some(8), ..plain };
    let matrices = |side| Abilities { subgroup_lanes: Some(32), cooperative_side: Some(side) };
    [(true, plain), (true, vectors), (false, plain), (false, matrices(16)), (false, matrices(8))]
        .map(|(software, abilities)| Gpu::noop(software, abilities))
}

/// Every kernel, linked, with the constants of each specialisation; each is named `kernel#number`.
///
/// # Errors
/// [`Error::Shader`] for a kernel that cannot be linked or that no configuration requests;
/// [`Error::Bindings`] for a kernel whose launcher binds other buffers than it declares.
pub fn own_kernels() -> Result<Vec<ShaderSource>> {
    let asked = asked(&devices())?;
    for name in kernel_names() {
        if !asked.iter().any(|(kernel, ..)| *kernel == name) {
            return Err(Error::Shader {
                kernel: name.into(),
                reason: "no configuration of the check asks for it".into(),
            });
        }
    }
    linked(asked)
}

/// As [`own_kernels`], those alone that GPUs with cooperative matrices ask for.
///
/// # Errors
/// As [`own_kernels`].
pub fn own_kernels_of_matrices() -> Result<Vec<ShaderSource>> {
    let [.., wide, narrow] = devices();
    linked(asked(&[wide, narrow])?)
}

/// A kernel with its specialisation and the names of what it binds.
type AskedKernel = (&'static str, Specialization, Vec<&'static str>);
type Asked = BTreeSet<AskedKernel>;

/// What `devices` ask for.
fn asked(devices: &[Gpu]) -> Result<Asked> {
    let of_one = |gpu: &Gpu| -> Result<Asked> {
        let of_kernel = |kernel: &Arc<Kernel>| {
            (kernel.name(), kernel.specialization().clone(), kernel.names().to_vec())
        };
        Ok(requests(gpu)?.iter().map(of_kernel).collect())
    };
    let failed = |_: &Gpu, reason: &str| {
        Err(Error::Shader { kernel: "of the check".into(), reason: reason.into() })
    };
    let mut asked = Asked::new();
    for own in guard::parallel(devices, of_one, failed) {
        asked.extend(own?);
    }
    Ok(asked)
}

/// `wgsl` as the specification has it: naga takes subgroup operations without the directive that
/// enables them, and refuses the directive.
fn with_extensions(wgsl: &str) -> String {
    let enable = if wgsl.contains("subgroup") { "enable subgroups;\n" } else { "" };
    format!("{enable}{wgsl}")
}

fn linked(asked: Asked) -> Result<Vec<ShaderSource>> {
    let mut numbered = Vec::new();
    let mut previous = ("", 0);
    for one in asked {
        previous = if previous.0 == one.0 { (one.0, previous.1 + 1) } else { (one.0, 1) };
        numbered.push((previous.1, one));
    }
    let source = |(number, (name, specialization, names)): &(u32, AskedKernel)| {
        let linked = link(name, specialization)?;
        numbers(name, &linked.bindings, names)?;
        let constants = specialization.constants();
        Ok(ShaderSource {
            name: format!("{name}#{number}"),
            wgsl: with_extensions(&linked.wgsl),
            constants: constants.map(|(own, value)| (own.to_string(), value)).collect(),
            user: false,
        })
    };
    let failed = |(_, (name, ..)): &(u32, AskedKernel), reason: &str| {
        Err(Error::Shader { kernel: (*name).into(), reason: reason.into() })
    };
    guard::parallel(&numbered, source, failed).into_iter().collect()
}

/// Creates the pipeline of every kernel in every specialisation that the program can request, on a
/// device that executes nothing, once as a software adapter and once as a GPU. wgpu then validates
/// bindings, layouts and limits without a driver. Returns the number of pipelines.
///
/// # Errors
/// [`Error::Shader`] with the name of a kernel that wgpu refuses.
pub fn create_own_pipelines() -> Result<usize> {
    let mut count = 0;
    for gpu in devices() {
        let kernels = requests(&gpu)?;
        crate::pipelines::create(&gpu, &kernels)?;
        count += kernels.iter().filter(|kernel| kernel.is_created()).count();
    }
    Ok(count)
}

/// Records training, evaluation, attribution and the benchmark for all [`SETTINGS`].
fn requests(gpu: &Gpu) -> Result<Vec<Arc<Kernel>>> {
    for (number, text) in SETTINGS.iter().enumerate() {
        // The odd network takes colour images.
        let shape =
            if text.starts_with("ODD") { Shape::new(3, 21, 17) } else { Shape::new(1, 28, 28) };
        let dataset = blank(shape);
        let info = DatasetInfo { name: dataset.name.clone(), shape, classes: dataset.classes };
        let mut toml = text.to_string();
        let norm = if text.ends_with("NORM") { "{ type = \"batch-norm\" }," } else { "" };
        for (name, network) in NETWORKS {
            toml = toml.replace(name, &network.replace("NORM", norm));
        }
        if let Some(plain) = toml.strip_suffix("NORM") {
            toml = plain.replace(
                "{ type = \"activation\", name = \"act3\" }",
                "{ type = \"batch-norm\", name = \"bn3\" }",
            );
        }
        let settings = PartialRunConfig::parse(&toml, "check")?;
        let config = resolve(settings, &info)?;
        let trainer = trainer(gpu, &config, &dataset)?;
        if number < 3 || text.starts_with("ODD") || ["FUNCTIONS", "JOINS"].contains(text) {
            let data = ResidentData::new(gpu, &dataset.test, shape)?;
            Evaluator::record(
                gpu,
                trainer.network(),
                &data,
                PixelNormalization::uniform(0.5, 0.5),
                1,
            )?;
            record_explainers(gpu, &config, shape)?;
        }
        let has_levels = config.quantization.bits.iter().any(|bits| bits.quantizes_weights());
        if has_levels {
            record_integers(gpu, trainer.model_config())?;
        }
        if number == 0 || *text == "ODD" {
            record_judgements(gpu, trainer.model_config(), &dataset)?;
        }
    }
    Peaks::record(gpu)?;
    Ok(gpu.kernels_in_use())
}

/// A run of `config`; a teacher is the same network in float.
fn trainer<'a>(gpu: &'a Gpu, config: &RunConfig, dataset: &'a Dataset) -> Result<Trainer<'a>> {
    if config.teaching.is_none() {
        return Trainer::new(gpu, config, dataset);
    }
    let quantization = QuantizationConfig::default();
    let layout = Graph::new(&config.network, &quantization)?.layout;
    let teacher = TeacherModel {
        network: config.network.clone(),
        quantization,
        parameters: vec![0.0; layout.padded_length() as usize],
        normalization: dataset.normalization(&crate::config::Normalize::Standard),
    };
    Trainer::taught(gpu, config, dataset, &teacher)
}

/// Records every attribution method for the network of `config`.
fn record_explainers(gpu: &Gpu, config: &RunConfig, shape: Shape) -> Result<()> {
    let parameters = Graph::new(&config.network, &config.quantization)?.layout;
    let parameters = gpu.buffer("parameters", u64::from(parameters.padded_length()) * 4)?;
    let network = ExplainedNetwork {
        config: &config.network,
        quantization: &config.quantization,
        parameters: &parameters,
    };
    let images = ImageSet::new(gpu, shape, 2, 0)?;
    let maps = images.maps(gpu)?;
    let record = |method: Method, options: &MethodOptions| match Explainer::new(
        gpu, network, method, options, 2,
    ) {
        Ok(explainer) => explainer.record(gpu, &images, &maps).map(|_| ()),
        Err(Error::Unfolded { .. }) => Ok(()),
        Err(error) => Err(error),
    };
    for method in Method::ALL {
        record(method, &MethodOptions::default())?;
        if method.takes_grad_cam_relu() {
            record(method, &MethodOptions { grad_cam_relu: true, ..MethodOptions::default() })?;
        }
    }
    let options = MethodOptions { lrp_rule: LrpRule::ZPlus, ..MethodOptions::default() };
    record(Method::Lrp, &options)?;
    for method in [Method::Gradient, Method::Occlusion] {
        let options = MethodOptions { output: Output::LogSoftmax, ..MethodOptions::default() };
        let explainer = Explainer::new(gpu, network, method, &options, 2)?;
        explainer.record(gpu, &images, &maps)?;
        explainer.record_logits(gpu, &images, &maps, &images.classes)?;
    }
    Ok(())
}

/// Records inference on integers, with images as input too, for one image and for several at a
/// time.
fn record_integers(gpu: &Gpu, config: ModelConfig) -> Result<()> {
    let graph = Graph::new(&config.network, &config.quantization)?;
    let parameters = graph.layout.initialize(0, WeightInit::KaimingUniform);
    let shape = config.network.input;
    let model =
        Model { config, graph, parameters, missing_alphas: Vec::new(), path: PathBuf::new() };
    let deployable = DeployableModel::new(&model)?;
    let plan = IntegerPlan::new(&deployable);
    let data = ResidentData::new(gpu, &blank(shape).test, shape)?;
    for slots in [1, 2] {
        let network = IntegerNetwork::new(gpu, &plan, slots)?;
        Evaluator::record(gpu, &network, &data, PixelNormalization::uniform(0.5, 0.5), slots)?;
    }
    Ok(())
}

/// Records every judgement of a model's explanations, with every fill.
fn record_judgements(gpu: &Gpu, config: ModelConfig, dataset: &Dataset) -> Result<()> {
    let graph = Graph::new(&config.network, &config.quantization)?;
    let parameters = vec![0.0; graph.layout.padded_length() as usize];
    let model =
        Model { config, graph, parameters, missing_alphas: Vec::new(), path: PathBuf::new() };
    let subject = Subject {
        gpu,
        model: &model,
        images: &dataset.test,
        normalization: PixelNormalization::uniform(0.5, 0.5),
        batch_size: 2,
    };
    let targets = vec![0; dataset.test.len()];
    for fill in [Fill::Corner, Fill::Zero, Fill::Mean, Fill::Uniform, Fill::Blur, Fill::Road] {
        AccuracyDrop::record(subject, fill, &[0.0, 0.5], 0)?;
    }
    PixelFlipping::record(subject, &targets, Fill::Zero, 2, 0)?;
    Infidelity::record(subject, &targets, &InfidelityOptions::default())?;
    let options = SensitivityOptions::default();
    MaxSensitivity::record(
        subject,
        Method::Gradient,
        &MethodOptions::default(),
        &targets,
        &options,
    )?;
    ClarityPass::record(gpu, dataset.shape, 2)?;
    for magnitude in [false, true] {
        Comparison::record(
            gpu,
            dataset.shape,
            2,
            &AlignmentOptions { magnitude, ..AlignmentOptions::default() },
        )?;
    }
    Ok(())
}

/// A data set of black images.
fn blank(shape: Shape) -> Dataset {
    let split = |count: usize| Split {
        images: vec![0; count * shape.elements() as usize],
        labels: vec![0; count],
    };
    // Images of one channel have constants of all, others of each.
    let pairs: Vec<(f32, f32)> =
        (0..shape.channels).map(|channel| (0.5, 0.5 + channel as f32)).collect();
    Dataset {
        name: "check".into(),
        shape,
        classes: 10,
        class_names: Vec::new(),
        train: split(4),
        test: split(2),
        published_normalization: PixelNormalization::per_channel(&pairs).ok(),
        source: String::new(),
        details: Default::default(),
    }
}
