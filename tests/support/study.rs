//! An artificial study in the form that `saliq reproduce` leaves: results of four models and their
//! maps, made without a GPU.

use std::{collections::BTreeMap, fs, path::Path};

use safetensors::{Dtype, tensor::TensorView};
use saliq::{
    config::PartialRunConfig,
    data::{Dataset, Split},
    judgement::{Interval, LayerAgreement},
    study::{
        judge::MAPS_FILE,
        plan::{Plan, PlanOptions, PlannedRun, Stage},
        preset::Preset,
        result::{MethodResult, ModelCost, ModelResult},
    },
};

use super::{MNIST, mnist_like};

/// Number of judged images.
const IMAGES: usize = 3;

/// The plan of a study of the data set `name`: a float model, the same model trained further, one
/// trained with 4 and 2 bits, and one quantized after training.
pub fn plan(name: &str) -> Plan {
    plan_of(Preset::Tiny, name, Some(true))
}

/// The plan of a study by `preset`, with both trainings if none is given.
pub fn plan_of(preset: Preset, name: &str, sgt: Option<bool>) -> Plan {
    let split =
        || Split { images: vec![9; 40 * 784], labels: (0..40).map(|image| image % 10).collect() };
    let dataset = Dataset {
        name: name.into(),
        class_names: vec![name.into(); 10],
        ..mnist_like(split(), split())
    };
    let overrides =
        PartialRunConfig { bits: Some("4,2".parse().unwrap()), sgt, ..PartialRunConfig::default() };
    Plan::new(preset, &PlanOptions { seeds: Some(1), overrides }, &["gradient"], &[dataset])
        .unwrap()
}

/// Artificial figures of `run`, with `name` in every place that can hold a name.
pub fn result(run: &PlannedRun, name: &str) -> ModelResult {
    let compared = run.variant.stage != Stage::Float;
    let values = |value: f64| vec![value; IMAGES];
    let method = MethodResult {
        drop: vec![(0.0, 0.9), (0.5, 0.5), (1.0, 0.1)],
        drop_area: 0.5,
        drop_areas: vec![0.4, 0.5, 0.6],
        gini: values(0.6),
        entropy: values(5.0),
        sensitivity: values(0.3),
        spearman: if compared { values(0.8) } else { Vec::new() },
        ssim: if compared { values(0.7) } else { Vec::new() },
        overlap: if compared { values(0.4) } else { Vec::new() },
        zeros: 0.1,
        randomisation: vec![LayerAgreement {
            layer: name.into(),
            spearman: Interval::unknown(0.1),
        }],
        retrained: vec![(0.5, 0.3)],
    };
    ModelResult {
        variant: run.variant.clone(),
        seed: run.seed,
        folder: run.folder.clone(),
        version: name.into(),
        adapter: name.into(),
        accuracy: 0.75,
        correct: "1101".repeat(10),
        loss: 0.8,
        images: 40,
        alpha: [(name.to_string(), 1.5)].into(),
        kl: vec![(1.0, 0.2), (2.0, 0.1)],
        quantizers: Vec::new(),
        cost: ModelCost {
            macs: 10,
            bit_operations: if run.variant.is_float() { 10_240 } else { 80 },
            weighted_operations: 20,
            paper_operations: Some(20),
            weight_bytes: 100,
        },
        methods: BTreeMap::from([("gradient".into(), method.clone()), (name.to_string(), method)]),
        random_drop: vec![(0.0, 0.9), (1.0, 0.1)],
        random_areas: values(0.5),
        random_retrained: Vec::new(),
    }
}

/// Maps of the judged images.
fn write_maps(folder: &Path) {
    let pictures: Vec<u8> =
        (0..IMAGES * 784).flat_map(|index| (index as f32 / 3000.0).to_le_bytes()).collect();
    let classes: Vec<u8> = (0..IMAGES as u32).flat_map(u32::to_le_bytes).collect();
    let probabilities: Vec<u8> = [0.5_f32; IMAGES].into_iter().flat_map(f32::to_le_bytes).collect();
    let shape = vec![IMAGES, 1, 28, 28];
    let picture = || TensorView::new(Dtype::F32, shape.clone(), &pictures).unwrap();
    let row = |dtype, bytes| TensorView::new(dtype, vec![IMAGES], bytes).unwrap();
    let tensors = [
        ("gradient", picture()),
        ("images", picture()),
        ("masked", picture()),
        ("labels", row(Dtype::U32, &classes)),
        ("predictions", row(Dtype::U32, &classes)),
        ("probabilities", row(Dtype::F32, &probabilities)),
    ];
    assert_eq!(MNIST.elements(), 784);
    fs::write(folder.join(MAPS_FILE), safetensors::serialize(tensors, None).unwrap()).unwrap();
}

/// Writes the study of the data set `name` into the folder `root`.
pub fn write(root: &Path, name: &str) -> Plan {
    let plan = plan(name);
    write_results(root, &plan, name);
    plan
}

/// Writes the results of `plan`, with `name` in every place that can hold a name.
pub fn write_results(root: &Path, plan: &Plan, name: &str) {
    plan.write(root).unwrap();
    for (index, run) in plan.runs.iter().enumerate() {
        let folder = plan.folder(root, index);
        fs::create_dir_all(&folder).unwrap();
        result(run, name).write(&folder).unwrap();
        write_maps(&folder);
    }
}
