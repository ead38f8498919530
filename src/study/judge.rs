//! Judges one model of a study: its accuracy, its cost and the quality of its explanations.

use std::{collections::BTreeMap, path::Path};

use super::{
    plan::{Plan, PlannedRun, Stage},
    preset::JudgementPlan,
    result::{MethodResult, ModelCost, ModelResult, program_version},
    retraining::Retraining,
    watcher::Watcher,
};
use crate::{
    Error, Result,
    batch::ResidentData,
    config::{
        PixelNormalization, QuantizationConfig, QuantizationOverrides, RunConfig, Shape,
        WeightQuantizer,
    },
    data::{Dataset, Split},
    gpu::Gpu,
    judgement::{
        AccuracyDrop, AlignmentOptions, DropCurve, MaxSensitivity, SensitivityOptions, Subject,
        alignment, clarity, randomization, removed_shares,
    },
    metrics::{Cost, Evaluation, PaperCost},
    model::{MODEL_FILE, Model, Tensor, TensorFile},
    post_training::{Calibration, PostTraining, distributions, quantize as quantize_model},
    quant::QuantizerState,
    report::DistributionChart,
    saliency::{Method, MethodOptions},
    train::RunFolder,
};

/// File with the maps of the judged images in a run's folder. It has one tensor `<method>` [N, C,
/// H, W] per method; `images` and `masked` [N, C, H, W] in 0..1, where the first method determines
/// the masked pixels; `labels`, `predictions` and `probabilities` `[N]`.
pub const MAPS_FILE: &str = "maps.safetensors";
/// File with the distributions of weights and activations in a run's folder, for models trained
/// with quantization.
pub const HISTOGRAMS_FILE: &str = "histograms.svg";
/// Number of training images for the calibration of post-training quantization.
pub(super) const CALIBRATION_IMAGES: u32 = 512;
/// Weight quantizer of post-training quantization: the only quantizer with a step to calibrate.
pub(super) const PTQ_WEIGHTS: WeightQuantizer = WeightQuantizer::Lsq;
/// Number of training images whose activations are in the histograms.
const HISTOGRAM_IMAGES: u32 = 64;
/// Images per pass.
const BATCH: u32 = 128;
/// Number of points of the stored KL curve.
const CURVE_POINTS: usize = 300;
/// Percent of the features between two points of an accuracy-drop curve.
const DROP_STEP: u32 = 10;

/// Quantizes the float model in `float` as `config` says, into `config.out`.
pub(super) async fn quantize(
    gpu: &Gpu,
    config: &RunConfig,
    float: Option<&Path>,
    dataset: &Dataset,
) -> Result<()> {
    let float = float
        .ok_or_else(|| Error::Model("post-training quantization needs a float model".into()))?;
    let model = load(float)?;
    let mut images = dataset.train.clone();
    images.truncate(CALIBRATION_IMAGES as usize, dataset.shape);
    let data = ResidentData::new(gpu, &images, dataset.shape)?;
    let quantization =
        QuantizationConfig { weight_quant: PTQ_WEIGHTS, ..config.quantization.clone() };
    let options = PostTraining { quantization, calibration: Calibration::Mse };
    let normalization = model.normalization()?;
    let (quantized, _) = quantize_model(gpu, &model, &options, &data, normalization).await?;
    Model::save(
        &config.out.join(MODEL_FILE),
        &quantized.config,
        &quantized.graph.layout,
        &quantized.parameters,
    )
}

fn load(folder: &Path) -> Result<Model> {
    Model::load(folder, &QuantizationOverrides::default())
}

/// The method with `name` on the command line.
fn method(name: &str) -> Result<Method> {
    Method::named(name)
        .ok_or_else(|| Error::Model(format!("there is no attribution method {name}")))
}

/// The first `count` images.
fn first(split: &Split, count: u32, dataset: &Dataset) -> Split {
    let mut images = split.clone();
    images.truncate(count as usize, dataset.shape);
    images
}

/// A model of the study with the images that it is judged on. Every map explains the logit of the
/// true label, so that all models explain the same class.
struct Judged<'a> {
    gpu: &'a Gpu,
    wanted: &'a JudgementPlan,
    run: &'a PlannedRun,
    folder: &'a Path,
    model: &'a Model,
    dataset: &'a Dataset,
    normalization: PixelNormalization,
    /// Number of images of the accuracy-drop curves.
    dropped: Split,
    /// The first images of `dropped`, used for all other judgements.
    images: Split,
    /// True classes of `dropped`.
    labels: Vec<u32>,
    settings: MethodOptions,
}

/// Reports the next judgement to the watcher, and stops if a signal asks for it.
fn begin(watcher: &mut dyn Watcher, what: &str) -> Result<()> {
    watcher.judging(what);
    watcher.interrupted().map_or(Ok(()), |signal| Err(Error::Interrupted { signal }))
}

/// Judges the model in the folder of `config`. Its maps are compared with those of the model in the
/// folder `control`.
pub(super) async fn judge(
    gpu: &Gpu,
    plan: &Plan,
    run: &PlannedRun,
    config: &RunConfig,
    control: Option<&Path>,
    dataset: &Dataset,
    watcher: &mut dyn Watcher,
) -> Result<ModelResult> {
    let model = load(&config.out)?;
    let wanted = &plan.judgement;
    let test = first(&dataset.test, config.test_limit.unwrap_or(u32::MAX), dataset);
    let dropped = first(&test, wanted.drop_images, dataset);
    let judged = Judged {
        gpu,
        wanted,
        run,
        folder: &config.out,
        model: &model,
        dataset,
        normalization: model.normalization()?,
        images: first(&test, wanted.images.min(wanted.drop_images), dataset),
        labels: dropped.labels.clone(),
        dropped,
        settings: MethodOptions { seed: run.seed, ..MethodOptions::default() },
    };
    begin(watcher, "accuracy")?;
    let evaluation = judged.subject(&test).evaluate().await?;
    let methods: Vec<Method> =
        wanted.methods.iter().map(|name| method(name)).collect::<Result<_>>()?;
    let reference =
        control.map(|folder| Maps::read(folder, wanted)).transpose()?.map(|(maps, _)| maps);
    let (mut results, random, maps) =
        judged.explanations(&methods, reference.as_ref(), watcher).await?;
    let random_retrained = judged.retrainings(&methods, &mut results, watcher).await?;
    judged.write_maps(maps, &evaluation)?;
    if run.variant.stage == Stage::QuantizationAware {
        begin(watcher, "distributions")?;
        judged.write_histograms().await?;
    }
    let alphas = model.graph.layout.alphas();
    let short = |name: &str| name.strip_suffix(".alpha").unwrap_or(name).to_string();
    Ok(ModelResult {
        variant: run.variant.clone(),
        seed: run.seed,
        folder: run.folder.clone(),
        version: program_version(),
        adapter: gpu.adapter_description(),
        accuracy: evaluation.accuracy,
        correct: evaluation
            .predictions
            .iter()
            .map(|one| if one.class == one.label { '1' } else { '0' })
            .collect(),
        loss: evaluation.loss,
        images: evaluation.images,
        alpha: alphas
            .map(|alpha| (short(&alpha.name), model.parameters[alpha.offset as usize]))
            .collect(),
        kl: if run.variant.sgt && run.variant.stage != Stage::PostTraining {
            kl_curve(&config.out)?
        } else {
            Vec::new()
        },
        quantizers: if run.variant.stage == Stage::QuantizationAware {
            quantizers(&config.out)?
        } else {
            Vec::new()
        },
        cost: cost(&model)?,
        methods: results,
        random_drop: points(&random.0),
        random_areas: random.1,
        random_retrained,
    })
}

impl Judged<'_> {
    fn subject<'s>(&'s self, images: &'s Split) -> Subject<'s> {
        Subject {
            gpu: self.gpu,
            model: self.model,
            images,
            normalization: self.normalization,
            batch_size: BATCH,
        }
    }

    /// True classes of the judged images.
    fn judged_labels(&self) -> &[u32] {
        &self.labels[..self.images.len()]
    }

    /// The judgements of the maps of every method, the drop curve of random maps with its area per
    /// image, and the maps of the judged images.
    async fn explanations(
        &self,
        methods: &[Method],
        reference: Option<&Maps>,
        watcher: &mut dyn Watcher,
    ) -> Result<(BTreeMap<String, MethodResult>, (DropCurve, Vec<f64>), Maps)> {
        let subject = self.subject(&self.dropped);
        let drop = AccuracyDrop::record(
            subject,
            self.wanted.fill,
            &removed_shares(DROP_STEP),
            self.run.seed,
        )?;
        let mut results = BTreeMap::new();
        let mut maps = Maps::default();
        for &method in methods {
            begin(watcher, method.name())?;
            let explained =
                subject.explain(&[method], &self.settings, &self.labels, &mut |_| {}).await?;
            let judged_map =
                &explained.maps[0][..self.images.len() * self.dataset.shape.elements() as usize];
            let (curve, drop_areas) = drop.run_by_image(&explained.maps[0], &mut |_| {}).await?;
            let reference = reference.and_then(|reference| reference.of(method));
            let result = self.judge_maps(method, judged_map, reference).await?;
            let result =
                MethodResult { drop: points(&curve), drop_area: curve.area, drop_areas, ..result };
            results.insert(method.name().into(), result);
            if maps.maps.is_empty() {
                maps.masked = explained.masked[0][..judged_map.len()].to_vec();
            }
            maps.maps.push((method.name().into(), judged_map.to_vec()));
        }
        let random =
            subject.explain(&[Method::Random], &self.settings, &self.labels, &mut |_| {}).await?;
        Ok((results, drop.run_by_image(&random.maps[0], &mut |_| {}).await?, maps))
    }

    /// Clarity, stability, agreement with the control's maps (`reference`) and dependence on the
    /// parameters, for the maps of one method.
    async fn judge_maps(
        &self,
        method: Method,
        maps: &[f32],
        reference: Option<&[f32]>,
    ) -> Result<MethodResult> {
        let (gpu, shape, settings) = (self.gpu, self.dataset.shape, &self.settings);
        let zeros =
            maps.iter().filter(|value| **value == 0.0).count() as f64 / maps.len().max(1) as f64;
        let mut result = MethodResult { zeros, ..MethodResult::default() };
        for clarity in clarity(gpu, shape, maps).await? {
            result.gini.push(f64::from(clarity.gini));
            result.entropy.push(f64::from(clarity.entropy));
        }
        let subject = self.subject(&self.images);
        let samples = self.wanted.sensitivity_samples;
        if samples > 0 && !method.takes_samples() {
            let options = SensitivityOptions {
                samples,
                seed: self.run.seed,
                ..SensitivityOptions::default()
            };
            let recorded =
                MaxSensitivity::record(subject, method, settings, self.judged_labels(), &options)?;
            result.sensitivity = recorded.run(&mut |_| {}).await?;
        }
        if let Some(reference) = reference {
            for alignment in
                alignment(gpu, shape, reference, maps, &AlignmentOptions::default(), &mut |_| {})
                    .await?
            {
                result.spearman.push(f64::from(alignment.spearman));
                result.ssim.push(f64::from(alignment.ssim));
                result.overlap.push(f64::from(alignment.top_overlap));
            }
        }
        if self.wanted.randomisation && !method.takes_samples() {
            result.randomisation =
                randomization(&subject, method, settings, self.judged_labels(), maps, &mut |_| {})
                    .await?;
        }
        Ok(result)
    }

    /// Adds the planned ROAR curves. Returns the curve of random order, which only float models
    /// have.
    async fn retrainings(
        &self,
        methods: &[Method],
        results: &mut BTreeMap<String, MethodResult>,
        watcher: &mut dyn Watcher,
    ) -> Result<Vec<(f64, f64)>> {
        let stage = self.run.variant.stage;
        let planned = self
            .wanted
            .retraining
            .as_ref()
            .filter(|plan| plan.post_training || stage != Stage::PostTraining);
        let Some(plan) = planned else { return Ok(Vec::new()) };
        let &Judged { gpu, model, dataset, folder, .. } = self;
        let retraining = Retraining {
            gpu,
            model,
            dataset,
            seed: self.run.seed,
            folder,
            plan,
            fill: self.wanted.fill,
        };
        for &method in
            methods.iter().filter(|method| plan.methods.iter().any(|name| name == method.name()))
        {
            begin(watcher, &format!("training without {}'s features", method.name()))?;
            let curve = points(&retraining.run(method, watcher).await?);
            if let Some(result) = results.get_mut(method.name()) {
                result.retrained = curve;
            }
        }
        if stage != Stage::Float {
            return Ok(Vec::new());
        }
        begin(watcher, "training without random features")?;
        Ok(points(&retraining.run(Method::Random, watcher).await?))
    }

    fn write_maps(&self, mut maps: Maps, evaluation: &Evaluation) -> Result<()> {
        let predictions = &evaluation.predictions[..self.images.len()];
        maps.images = self.images.images.iter().map(|&byte| f32::from(byte) / 255.0).collect();
        maps.labels = self.judged_labels().to_vec();
        maps.predictions = predictions.iter().map(|prediction| prediction.class).collect();
        maps.probabilities = predictions.iter().map(|prediction| prediction.probability).collect();
        maps.write(self.folder, self.dataset.shape)
    }

    async fn write_histograms(&self) -> Result<()> {
        let images =
            first(&self.dataset.train, self.wanted.images.min(HISTOGRAM_IMAGES), self.dataset);
        let shown = ResidentData::new(self.gpu, &images, self.dataset.shape)?;
        let variant = &self.run.variant;
        let title = format!(
            "{} on {}, before and after quantization",
            variant.full_label(),
            variant.dataset
        );
        let tensors = distributions(self.gpu, self.model, &shown, self.normalization).await?;
        let svg = DistributionChart::new(&title, &tensors).to_svg()?;
        crate::files::write_atomically(&self.folder.join(HISTOGRAMS_FILE), svg.as_bytes())
    }
}

fn cost(model: &Model) -> Result<ModelCost> {
    let cost = Cost::new(&model.config.network, &model.config.quantization)?;
    Ok(ModelCost {
        macs: cost.macs,
        bit_operations: cost.bit_ops,
        weighted_operations: cost.weighted_flops,
        paper_operations: PaperCost::new(&model.config.network, &model.config.quantization)
            .ok()
            .map(|paper| paper.weighted_flops),
        weight_bytes: cost.weight_bytes,
    })
}

fn points(curve: &DropCurve) -> Vec<(f64, f64)> {
    curve.removed.iter().copied().zip(curve.accuracy.iter().copied()).collect()
}

/// The KL term of every step, averaged over intervals so that a few hundred points remain.
fn kl_curve(folder: &Path) -> Result<Vec<(f64, f64)>> {
    let (steps, _) = RunFolder::read_metrics(folder)?;
    let stretch = steps.len().div_ceil(CURVE_POINTS).max(1);
    Ok(steps
        .chunks(stretch)
        .map(|lines| {
            let mean = |value: fn(&crate::train::StepLine) -> f64| {
                lines.iter().map(value).sum::<f64>() / lines.len() as f64
            };
            (mean(|line| line.step as f64), mean(|line| line.kl))
        })
        .collect())
}

/// The state of the quantizers at some steps, from the metrics.
fn quantizers(folder: &Path) -> Result<Vec<(u64, QuantizerState)>> {
    let (steps, _) = RunFolder::read_metrics(folder)?;
    let lines = steps.into_iter().map(|line| (line.step, line.quantizers));
    Ok(lines.filter(|(_, state)| *state != QuantizerState::default()).collect())
}

/// Maps of the judged images by method, with the data that a figure of them needs.
#[derive(Default)]
pub(super) struct Maps {
    maps: Vec<(String, Vec<f32>)>,
    /// The images, [N, C, H, W] in 0..1.
    pub images: Vec<f32>,
    /// The images with the less salient half (by the first method) replaced by noise.
    pub masked: Vec<f32>,
    /// True classes.
    pub labels: Vec<u32>,
    /// Predicted classes.
    pub predictions: Vec<u32>,
    /// Probabilities of the predicted classes.
    pub probabilities: Vec<f32>,
}

impl Maps {
    /// The maps of `method`, if there are any.
    pub fn of(&self, method: Method) -> Option<&[f32]> {
        self.named(method.name())
    }

    /// As [`Self::of`], by the method's name.
    pub fn named(&self, method: &str) -> Option<&[f32]> {
        self.maps.iter().find(|(name, _)| name == method).map(|(_, map)| map.as_slice())
    }

    /// Reads the maps of the run in `folder`, and the shape of an image.
    pub fn read(folder: &Path, wanted: &JudgementPlan) -> Result<(Maps, Shape)> {
        let path = folder.join(MAPS_FILE);
        let file = TensorFile::read(&path)?;
        let tensor = |name: &str| {
            file.tensor(name).ok_or_else(|| Error::format(&path, format!("has no tensor {name}")))
        };
        let values = |name: &str| tensor(name)?.to_f32(&path);
        let classes = |name: &str| tensor(name)?.to_u32(&path);
        let &[count, channels, height, width] = tensor("images")?.shape.as_slice() else {
            return Err(Error::format(&path, "images are not [N, C, H, W]"));
        };
        let shape = Shape::new(channels as u32, height as u32, width as u32);
        let maps = wanted
            .methods
            .iter()
            .map(|name| Ok((name.clone(), values(name)?)))
            .collect::<Result<_>>()?;
        let read = Maps {
            maps,
            images: values("images")?,
            masked: values("masked")?,
            labels: classes("labels")?,
            predictions: classes("predictions")?,
            probabilities: values("probabilities")?,
        };
        let pixels = count * shape.elements() as usize;
        let pictures = read.maps.iter().map(|(_, map)| map).chain([&read.images, &read.masked]);
        let rows = [read.labels.len(), read.predictions.len(), read.probabilities.len()];
        if pictures.map(Vec::len).any(|length| length != pixels)
            || rows.iter().any(|&length| length != count)
        {
            return Err(Error::format(&path, "its tensors are of different numbers of images"));
        }
        Ok((read, shape))
    }

    fn write(&self, folder: &Path, shape: Shape) -> Result<()> {
        let count = self.labels.len();
        let dimensions =
            [count, shape.channels as usize, shape.height as usize, shape.width as usize];
        let pictures = |name: &str, values: &[f32]| Tensor::f32(name, &dimensions, values.to_vec());
        let mut tensors: Vec<Tensor> =
            self.maps.iter().map(|(name, map)| pictures(name, map)).collect();
        tensors.push(pictures("images", &self.images));
        tensors.push(pictures("masked", &self.masked));
        tensors.push(Tensor::u32("labels", &[count], self.labels.clone()));
        tensors.push(Tensor::u32("predictions", &[count], self.predictions.clone()));
        tensors.push(Tensor::f32("probabilities", &[count], self.probabilities.clone()));
        TensorFile::write(&folder.join(MAPS_FILE), &tensors, &[])
    }
}
