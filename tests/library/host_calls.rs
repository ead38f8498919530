//! What the host does for one image: counts of pipelines, submissions, read-backs and dispatches,
//! which say on any machine what a clock says on a quiet one.

use saliq::{
    batch::ResidentData,
    config::{NetworkConfig, QuantizationConfig, WeightInit},
    data::Split,
    gpu::Gpu,
    graph::Graph,
    metrics::Evaluator,
    nn::{Network, NetworkOptions},
    saliency::{DataOptions, ExplainedNetwork, Method, MethodOptions, Target, explain_data},
};

use crate::{
    common::own_gpu,
    support::{MNIST, NORMALIZATION},
};

/// The device's counts since it was opened.
#[derive(Debug, PartialEq)]
struct Calls {
    pipelines: u64,
    submissions: u64,
    maps: u64,
    dispatches: u64,
}

fn calls(gpu: &Gpu) -> Calls {
    let ([submissions, maps, ..], [pipelines, dispatches]) =
        (gpu.counters.snapshot(), gpu.counters.work());
    // Kernels that were asked for and never ran have no pipeline.
    let created = gpu.kernels_in_use().iter().filter(|kernel| kernel.is_created()).count();
    assert_eq!(created as u64, pipelines);
    Calls { pipelines, submissions, maps, dispatches }
}

/// Submissions and read-backs are the same on every adapter. Kernels are not; on software drivers
/// there are not more of them.
#[track_caller]
fn check(gpu: &Gpu, expected: Calls) {
    let found = calls(gpu);
    assert_eq!((found.submissions, found.maps), (expected.submissions, expected.maps), "{found:?}");
    if gpu.is_software() {
        let [few, most] = [&found, &expected].map(|calls| [calls.pipelines, calls.dispatches]);
        assert!(few[0] <= most[0] && few[1] <= most[1], "{found:?}");
    }
}

fn network() -> NetworkConfig {
    NetworkConfig::table_one(MNIST, 10, [0.0, 0.0])
}

fn one_image(gpu: &Gpu) -> ResidentData {
    let split = Split { images: (0..784).map(|at| (at % 251) as u8).collect(), labels: vec![3] };
    ResidentData::new(gpu, &split, MNIST).unwrap()
}

#[test]
fn one_image_is_evaluated_in_one_submission() {
    let gpu = own_gpu();
    let (config, quantization) = (network(), QuantizationConfig::default());
    let options = NetworkOptions { slots: 1, ..NetworkOptions::default() };
    let network = Network::new(&gpu, &config, &quantization, options).unwrap();
    let parameters = network.graph.layout.initialize(1, WeightInit::KaimingUniform);
    gpu.write(network.parameters(), 0, &parameters);
    let data = one_image(&gpu);
    let evaluator = Evaluator::record(&gpu, &network, &data, NORMALIZATION, 1).unwrap();
    let evaluation = pollster::block_on(evaluator.run(&gpu, &[], &mut |_| {})).unwrap();
    assert_eq!(evaluation.images, 1);
    check(&gpu, Calls { pipelines: 14, submissions: 1, maps: 1, dispatches: 16 });
}

#[test]
fn one_image_is_explained_in_two_submissions() {
    let gpu = own_gpu();
    let (config, quantization) = (network(), QuantizationConfig::default());
    let layout = Graph::new(&config, &quantization).unwrap().layout;
    let parameters = layout.initialize(1, WeightInit::KaimingUniform);
    let parameters = gpu.upload("parameters", &parameters).unwrap();
    let explained =
        ExplainedNetwork { config: &config, quantization: &quantization, parameters: &parameters };
    let options = DataOptions {
        methods: vec![Method::Gradient],
        settings: MethodOptions::default(),
        target: Target::Predicted,
        normalization: NORMALIZATION,
        ..DataOptions::default()
    };
    let data = one_image(&gpu);
    let made = pollster::block_on(explain_data(&gpu, explained, &data, &options, &mut |_| {}));
    assert_eq!(made.unwrap().maps.len(), 1);
    check(&gpu, Calls { pipelines: 29, submissions: 2, maps: 2, dispatches: 50 });
}
