//! The GPU with its data sets, models and run.

use std::{collections::BTreeMap, path::Path};

use js_sys::{Float32Array, Object, Reflect, Uint8Array};
use saliq::{
    batch::ResidentData,
    config::{NormalizeSpec, PartialRunConfig, QuantizationOverrides, RunConfig, Shape, resolve},
    data::{self, Dataset, Split},
    gpu::{Buffer, DeviceProfile, Gpu, GpuOptions},
    model::{Images, Model, ModelFile, Reading},
    saliency::{DataOptions, ExplainedNetwork, Method, MethodOptions, Target, explain_data},
    train::{Checkpoint, Stepper},
};
use serde_json::json;
use wasm_bindgen::prelude::{JsValue, wasm_bindgen};

use crate::error::{json, said, to_js};

type Js<T> = Result<T, JsValue>;

/// Samples that are explained at once: a submission is short enough for other users of the GPU.
const MOST_AT_ONCE: u32 = 50;

/// A model, and its parameters on the GPU.
struct Loaded {
    model: Model,
    parameters: Buffer,
}

/// The GPU with what is on it. One call at a time: the page's worker keeps them in order.
#[wasm_bindgen]
pub struct Engine {
    /// A page has one, as long as it is open.
    gpu: &'static Gpu,
    datasets: BTreeMap<String, &'static Dataset>,
    models: BTreeMap<String, Loaded>,
    run: Option<Stepper<'static>>,
}

/// An object with these members.
fn object<const N: usize>(members: [(&str, JsValue); N]) -> JsValue {
    let made = Object::new();
    for (name, value) in members {
        // A plain object takes every member.
        let _ = Reflect::set(&made, &name.into(), &value);
    }
    made.into()
}

fn floats(values: &[f32]) -> JsValue {
    Float32Array::from(values).into()
}

fn sides(shape: Shape) -> Vec<u32> {
    vec![shape.channels, shape.height, shape.width]
}

fn method(name: &str) -> Js<Method> {
    Method::named(name).ok_or_else(|| said(&format!("there is no method {name}")))
}

#[wasm_bindgen]
impl Engine {
    /// Opens the browser's adapter; with `defaults` only what every browser grants.
    pub async fn open(defaults: bool) -> Js<Engine> {
        console_error_panic_hook::set_once();
        let profile =
            if defaults { DeviceProfile::WebGpuDefaults } else { DeviceProfile::default() };
        let options = GpuOptions { adapter: String::new(), profile };
        let gpu = Gpu::new(&options).await.map_err(to_js)?;
        Ok(Engine {
            gpu: Box::leak(Box::new(gpu)),
            datasets: BTreeMap::new(),
            models: BTreeMap::new(),
            run: None,
        })
    }

    /// `{name, isSoftware, limits}` as JSON.
    pub fn adapter(&self) -> String {
        let limits = self.gpu.limits();
        json!({
            "name": self.gpu.adapter_name(),
            "backend": "webgpu",
            "isSoftware": self.gpu.is_software(),
            "limits": {
                "maxStorageBufferBindingSize": limits.max_storage_buffer_binding_size,
                "maxBufferSize": limits.max_buffer_size,
                "maxStorageBuffersPerShaderStage": limits.max_storage_buffers_per_shader_stage,
                "maxComputeInvocationsPerWorkgroup": limits.max_compute_invocations_per_workgroup,
                "maxComputeWorkgroupStorageSize": limits.max_compute_workgroup_storage_size,
            },
        })
        .to_string()
    }

    /// The methods that explain, as JSON.
    pub fn methods(&self) -> String {
        let row = |method: Method| {
            json!({
                "name": method.name(),
                "samples": method.takes_samples(),
                "steps": method.takes_steps(),
            })
        };
        serde_json::Value::from(Method::ALL.map(row).to_vec()).to_string()
    }

    /// Adds the built-in set `name` from its files; their pixels stay here, for `image`.
    pub fn add_dataset(
        &mut self,
        name: &str,
        train_images: Vec<u8>,
        train_labels: Vec<u8>,
        test_images: Vec<u8>,
        test_labels: Vec<u8>,
    ) -> Js<()> {
        if !self.datasets.contains_key(name) {
            let files = [train_images, train_labels, test_images, test_labels];
            let made = data::from_files(name, files).map_err(to_js)?;
            self.datasets.insert(name.into(), Box::leak(Box::new(made)));
        }
        Ok(())
    }

    fn dataset(&self, name: &str) -> Js<&'static Dataset> {
        self.datasets.get(name).copied().ok_or_else(|| said(&format!("{name} is not loaded")))
    }

    /// Test image `index` of a set: `{pixels, label, shape, name}`.
    pub fn image(&self, dataset: &str, index: u32) -> Js<JsValue> {
        let own = self.dataset(dataset)?;
        let split = own.test.select(&[index as usize], own.shape);
        let Some(&label) = split.labels.first() else {
            return Err(said(&format!("{dataset} has no test image {index}")));
        };
        Ok(object([
            ("pixels", Uint8Array::from(&split.images[..]).into()),
            ("label", label.into()),
            ("shape", sides(own.shape).into()),
            ("name", own.class_names[label as usize].as_str().into()),
        ]))
    }

    // Learning.

    /// Begins a run with `settings`, the text of a configuration file: from random parameters, from
    /// the model file `init` of that name, or from `checkpoint`. Returns its size as JSON. The run
    /// before it ends.
    pub async fn begin(
        &mut self,
        settings: String,
        dataset: String,
        init_name: Option<String>,
        init: Option<Vec<u8>>,
        checkpoint: Option<Vec<u8>>,
    ) -> Js<String> {
        self.run = None;
        let dataset = self.dataset(&dataset)?;
        let config = configuration(&settings, dataset)?;
        let run = if let Some(bytes) = checkpoint {
            let name = Path::new("the saved run");
            let checkpoint = Checkpoint::parse(name, &bytes).map_err(to_js)?;
            Stepper::resume(self.gpu, &config, dataset, (name, &checkpoint)).await
        } else {
            let init = init_name
                .zip(init)
                .map(|(name, bytes)| ModelFile::parse(name.into(), &bytes, None).map_err(to_js));
            Stepper::new(self.gpu, &config, dataset, init.transpose()?).await
        };
        let run = run.map_err(to_js)?;
        let size = json!({
            "step": run.step(),
            "totalSteps": run.total_steps(),
            "batchSize": config.batch_size,
            "shownImages": run.shown_images(),
        });
        self.run = Some(run);
        Ok(size.to_string())
    }

    fn run(&self) -> Js<&Stepper<'static>> {
        self.run.as_ref().ok_or_else(|| said("there is no run"))
    }

    /// Makes at most `steps` steps; their lines as JSON, none at the end of the run.
    pub async fn advance(&mut self, steps: u32) -> Js<String> {
        let run = self.run.as_mut().ok_or_else(|| said("there is no run"))?;
        json(&run.advance(steps.into()).await.map_err(to_js)?)
    }

    /// Gradient maps of a few test images: `{step, maps}`.
    pub async fn run_maps(&self) -> Js<JsValue> {
        let made = self.run()?.maps().await.map_err(to_js)?;
        Ok(object([("step", (made.step as f64).into()), ("maps", floats(&made.saliency))]))
    }

    /// The figures of the run on its test images, as JSON.
    pub async fn run_evaluation(&self) -> Js<String> {
        json(&self.run()?.evaluate().await.map_err(to_js)?)
    }

    /// The model file of this moment.
    pub async fn run_model(&self) -> Js<Vec<u8>> {
        self.run()?.model().await.map_err(to_js)
    }

    /// What `begin` goes on from.
    pub async fn run_checkpoint(&self) -> Js<Vec<u8>> {
        self.run()?.checkpoint().await.and_then(|made| made.to_bytes()).map_err(to_js)
    }

    /// Loses the device, as a driver's reset does: for tests.
    pub fn lose(&self) {
        self.gpu.destroy();
    }

    // Looking.

    /// Adds the model in `bytes` (ours, packed, ONNX, or a state_dict) as `id`. `normalize` is for
    /// files that do not say it, in the words of `--normalize`. Returns what it is, as JSON.
    pub fn add_model(
        &mut self,
        id: &str,
        file_name: &str,
        bytes: Vec<u8>,
        normalize: Option<String>,
    ) -> Js<String> {
        let file = ModelFile::parse(file_name.into(), &bytes, None).map_err(to_js)?;
        let reading = Reading {
            quantization: &QuantizationOverrides::default(),
            network: None,
            images: None,
        };
        let (mut model, remark) = file.model(&reading).map_err(to_js)?;
        model.require_alphas().map_err(to_js)?;
        let asked = normalize.map(|text| text.parse::<NormalizeSpec>()).transpose();
        let asked = asked.map_err(|reason| said(&reason.to_string()))?;
        let entry = data::catalog::find(&model.config.dataset);
        let images = entry.map_or(Images::Unknown, Images::Named);
        let assumed =
            model.settle_normalization(asked.as_ref().map(|own| &own.0), images).map_err(to_js)?;
        let parameters = self.gpu.upload("parameters", &model.parameters).map_err(to_js)?;
        let config = &model.config;
        let remarks: Vec<_> = [remark, assumed].iter().flatten().map(ToString::to_string).collect();
        let about = json!({
            "shape": sides(config.network.input),
            "classNames": config.class_names,
            "remarks": remarks,
        });
        self.models.insert(id.into(), Loaded { model, parameters });
        Ok(about.to_string())
    }

    /// Forgets model `id`.
    pub fn remove_model(&mut self, id: &str) {
        self.models.remove(id);
    }

    fn model(&self, id: &str) -> Js<&Loaded> {
        self.models.get(id).ok_or_else(|| said(&format!("there is no model {id}")))
    }

    /// What model `id` says of an image and why, by `method` with `samples` samples or steps where
    /// it takes them: `{logits, prediction, probability, map, shape}`. `target` is a class; below 0
    /// the predicted one.
    pub async fn explain(
        &self,
        id: String,
        pixels: Vec<u8>,
        method_name: String,
        target: i32,
        samples: Option<u32>,
    ) -> Js<JsValue> {
        let Loaded { model, parameters } = self.model(&id)?;
        let shape = model.config.network.input;
        if pixels.len() != shape.elements() as usize {
            return Err(said(&format!(
                "the model's images have {} pixels, this one {}",
                shape.elements(),
                pixels.len()
            )));
        }
        let split = Split { images: pixels, labels: vec![0] };
        let data = ResidentData::new(self.gpu, &split, shape).map_err(to_js)?;
        let defaults = MethodOptions::default();
        let options = DataOptions {
            methods: vec![method(&method_name)?],
            target: u32::try_from(target).map_or(Target::Predicted, Target::Class),
            normalization: model.normalization().map_err(to_js)?,
            // The page masks by itself.
            keep: None,
            settings: MethodOptions {
                samples,
                steps: samples.unwrap_or(defaults.steps),
                batch_size: MOST_AT_ONCE,
                ..defaults
            },
            ..DataOptions::default()
        };
        let network = ExplainedNetwork {
            config: &model.config.network,
            quantization: &model.config.quantization,
            parameters,
        };
        let mut made =
            explain_data(self.gpu, network, &data, &options, &mut |_| {}).await.map_err(to_js)?;
        self.gpu.settled().await.map_err(to_js)?;
        Ok(object([
            ("logits", floats(&made.logits)),
            ("prediction", made.predictions[0].into()),
            ("probability", made.probabilities[0].into()),
            ("map", floats(&made.maps.swap_remove(0))),
            ("shape", sides(shape).into()),
        ]))
    }
}

/// The settings of a run, resolved for its images.
fn configuration(settings: &str, dataset: &Dataset) -> Js<RunConfig> {
    let partial = PartialRunConfig::parse(settings, "the settings").map_err(to_js)?;
    resolve(partial, &dataset.info()).map_err(to_js)
}
