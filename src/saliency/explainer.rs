//! Attributions of images in GPU memory. A method is a recording that processes the samples of all
//! images, one chunk at a time.

use std::sync::Arc;

use super::{
    Baseline, Method, MethodOptions, Output,
    applicability::check_applicable,
    folding::Folding,
    layer::layer,
    method::{ChannelWeights, Map, Samples, Spec},
};
use crate::{
    Error, Result, Shortage,
    batch::Batch,
    config::{NetworkConfig, QuantizationConfig, Shape},
    gpu::{Binding, Buffer, Gpu, Kernel, Launcher, Recording},
    kernels::{
        AccumulateGradients, AccumulateScores, ChannelMaskedImages, ChannelMeans, ChannelRanges,
        ClassScore, CollectLogits, CopyChannels, GradCam, GradCamPlusPlusWeights, GradientSum,
        Hiding, ImageRange, ImageStatistics, LANES, PER_IMAGE, RandomAttribution, SampleImages,
        Sampling, Scalar, ScoreCamWeights,
    },
    layout::{ImagesRange, StepRecord, from_nchw, groups},
    nn::{BackwardRule, Layers, Network},
    sgt::record_saliency_seed,
    storage::Storage,
};

/// Largest number of images of an [`ImageSet`]: one workgroup each along one dimension of a
/// dispatch.
const MOST_IMAGES: u32 = 65_535;
/// Largest size of the activations of a chunk in bytes.
const ACTIVATION_BYTES: u64 = 1 << 30;
/// Number of chunks whose records are uploaded at once.
const TABLE_ENTRIES: u64 = 1024;

/// A network to explain: its configuration, and its parameters on the GPU (`Network::parameters`,
/// or any buffer in the order of `ParameterLayout`).
#[derive(Clone, Copy)]
pub struct ExplainedNetwork<'a> {
    /// Layers.
    pub config: &'a NetworkConfig,
    /// Bits and quantizers.
    pub quantization: &'a QuantizationConfig,
    /// All parameters, flat; read at every run.
    pub parameters: &'a Buffer,
}

/// Images in GPU memory, from a data set or any other source.
#[derive(Clone, Debug)]
pub struct ImageSet {
    /// Normalised, [image, row, column, channel / 4] vec4 with zeros in the padding:
    /// `layout::to_nchw`'s source layout.
    pub pixels: Buffer,
    /// The class to explain, one u32 per image.
    pub classes: Buffer,
    /// The key of random numbers, one u32 per image. Copies of an image with the same number have
    /// the same noise and masks.
    pub numbers: Buffer,
    /// Shape of an image.
    pub shape: Shape,
    /// Capacity in images, at most 65,535.
    pub most: u32,
}

impl ImageSet {
    /// Buffers for `most` images, numbered 0, 1, 2, … Kernels that need copies get as many again
    /// behind them (`twins`, 0 or 1).
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] if the adapter cannot bind as much at once; [`Self::room`] says how
    /// many images fit.
    pub fn new(gpu: &Gpu, shape: Shape, most: u32, twins: u32) -> Result<ImageSet> {
        if most > MOST_IMAGES {
            let asked = format!("{most} images asked for at once where {MOST_IMAGES} is the most");
            return Err(Error::OutOfMemory(Shortage::new(asked, "take fewer at a time")));
        }
        let numbers: Vec<u32> = (0..most).collect();
        Ok(ImageSet {
            pixels: gpu.buffer(
                "images to explain",
                u64::from(most) * u64::from(1 + twins) * image_bytes(shape),
            )?,
            classes: gpu.buffer("classes to explain", u64::from(most) * 4)?,
            numbers: gpu.upload("image numbers", &numbers)?,
            shape,
            most,
        })
    }

    /// Number of images of `shape` that fit `gpu` at once, at most `wanted`, if every image has
    /// `twins` copies behind the set.
    pub fn room(gpu: &Gpu, shape: Shape, wanted: u32, twins: u32) -> u32 {
        let fitting = binding_limit(gpu) / (image_bytes(shape) * u64::from(1 + twins));
        u64::from(wanted.min(MOST_IMAGES)).min(fitting).max(1) as u32
    }

    /// A buffer for attributions of these images, in their layout.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn maps(&self, gpu: &Gpu) -> Result<Buffer> {
        gpu.buffer("attributions", u64::from(self.most) * image_bytes(self.shape))
    }
}

/// Bytes of one image of `shape` in the kernels' layout.
fn image_bytes(shape: Shape) -> u64 {
    u64::from(shape.pixels() * groups(shape.channels)) * 16
}

fn binding_limit(gpu: &Gpu) -> u64 {
    let limits = gpu.limits();
    limits.max_storage_buffer_binding_size.min(limits.max_buffer_size)
}

/// A method for a network: buffers for a chunk of samples, and the passes over them.
pub struct Explainer {
    method: Method,
    options: MethodOptions,
    network: Network,
    /// Folds the network's batch norms, if the rule needs it.
    folding: Option<Folding>,
    /// The network with the weights of LRP's z⁺ or γ rule, which these also need.
    weighted: Option<Network>,
    /// The layer whose channels are weighted.
    layer: Option<usize>,
    batch: Batch,
    /// The images that a chunk touches: those that Score-CAM takes its masks from.
    touched: Option<Batch>,
    /// Samples per image.
    samples: u32,
    /// Samples per chunk.
    slots: u32,
    baselines: Buffer,
    /// (α, weight, 0, 0) of the steps of a path.
    nodes: Buffer,
}

impl Explainer {
    /// Prepares `method` for sets of up to `most` images.
    ///
    /// # Errors
    /// [`Error::Settings`] for settings that the method does not support
    /// ([`super::check_applicable`]); [`Error::OutOfMemory`] if not even one image fits the
    /// adapter.
    pub fn new(
        gpu: &Gpu,
        explained: ExplainedNetwork<'_>,
        method: Method,
        options: &MethodOptions,
        most: u32,
    ) -> Result<Self> {
        let (spec, shape, twins) = (method.spec(), explained.config.input, method.compares());
        check_applicable(method, explained.config, options)?;
        let folding = match options.folds_batch_norms(method, explained.config) {
            true => {
                let ExplainedNetwork { config, quantization, parameters } = explained;
                Some(Folding::new(gpu, config, quantization, parameters)?)
            }
            false => None,
        };
        let explained = match &folding {
            Some(own) => {
                ExplainedNetwork { config: &own.config, parameters: &own.parameters, ..explained }
            }
            None => explained,
        };
        let samples = options.samples_of(method, explained.config);
        let wanted =
            (u64::from(samples) * u64::from(most)).min(u64::from(options.batch_size)).max(1) as u32;
        let slots = chunk_size(gpu, explained.config, wanted, twins)?;
        let in_network = if twins { 2 * slots } else { slots };
        let network = Network::for_attribution(
            gpu,
            explained.config,
            explained.quantization,
            (in_network, spec.layers),
            method.needs_gradients(),
            explained.parameters,
        )?;
        let weighted = match options.rule_of(method) {
            BackwardRule::Weighted(_) => Some(Network::for_attribution(
                gpu,
                explained.config,
                explained.quantization,
                (slots, Layers::Separate),
                true,
                explained.parameters,
            )?),
            _ => None,
        };
        // The network keeps layers separate, with one node each.
        let layer = match method.takes_layer() {
            true => Some(layer(method, explained.config, options.layer.as_deref())?),
            false => None,
        };
        let touched = match spec.samples {
            Samples::Channels => {
                let most = images_a_chunk(slots, samples);
                Some(Batch::new(gpu, most, false, TABLE_ENTRIES)?)
            }
            _ => None,
        };
        let baselines = match &options.baseline {
            Baseline::Images(images) if method.takes_baseline() => {
                let elements = shape.elements() as usize;
                if images.is_empty() || !images.len().is_multiple_of(elements) {
                    return Err(Error::Usage(format!(
                        "baselines: {} values are no whole images of {elements}",
                        images.len()
                    )));
                }
                gpu.upload("baselines", &from_nchw(images, shape))?
            }
            Baseline::Images(_) => gpu.buffer("baselines", image_bytes(shape))?,
            Baseline::Value(_) | Baseline::Channels(_) => {
                gpu.upload("baselines", &from_nchw(&options.baseline.image(0, shape), shape))?
            }
        };
        let nodes = match spec.samples {
            Samples::OnPath => options.quadrature.nodes(samples),
            _ => vec![(1.0, 1.0)],
        };
        let nodes: Vec<[f32; 4]> = nodes
            .into_iter()
            .map(|(along, weight)| [along as f32, weight as f32, 0.0, 0.0])
            .collect();
        Ok(Explainer {
            method,
            options: options.clone(),
            network,
            folding,
            weighted,
            layer,
            touched,
            batch: Batch::new(gpu, slots, twins, TABLE_ENTRIES)?,
            samples,
            slots,
            baselines,
            nodes: gpu.upload("steps of the path", &nodes)?,
        })
    }

    /// Number of forward passes per image.
    pub fn samples(&self) -> u32 {
        self.samples
    }

    /// Number of samples that go through the network at once.
    pub fn chunk(&self) -> u32 {
        self.slots
    }

    /// The network that is explained.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Records the attributions of `images` into `maps`, [image, row, column, channel / 4] vec4
    /// like the images. The recording can run again whenever their contents change. Each map has
    /// the same bits whatever other images are in the set and however they are cut into chunks.
    ///
    /// # Errors
    /// As [`Recording::launch`].
    pub fn record(&self, gpu: &Gpu, images: &ImageSet, maps: &Buffer) -> Result<Recorded<'_>> {
        let range = gpu.uniform("range of the set", size_of::<ImagesRange>() as u64)?;
        let whole_set = ImageRange { binding: (&range).into(), most: images.most };
        let mut prepare = self.recorded_weights(gpu)?;
        let rule = self.options.rule_of(self.method);
        if let (Some(weighted), BackwardRule::Weighted(weights)) = (&self.weighted, rule) {
            weighted.record_weights(gpu, &mut prepare)?;
            weighted.record_relevance_weights(gpu, &mut prepare, weights)?;
        }
        let mut chunk = Recording::new();
        if self.method.spec().map == Map::Random {
            self.record_random(gpu, &mut prepare, whole_set, images, maps)?;
            return Ok(Recorded { explainer: self, prepare, chunk, range, samples: self.samples });
        }
        if let (Some(touched), Some(layer)) = (&self.touched, self.layer) {
            self.record_score_cam(gpu, &mut chunk, images, (touched, layer), maps)?;
            return Ok(Recorded { explainer: self, prepare, chunk, range, samples: self.samples });
        }
        let sampling = self.options.sampling_of(self.method);
        let table = match sampling {
            Sampling::Noisy { .. } | Sampling::OnRandomPath { .. } => {
                let statistics = gpu.buffer("image statistics", u64::from(images.most) * 16)?;
                let of_images = ImageStatistics {
                    images: whole_set,
                    pixels: &images.pixels,
                    statistics: &statistics,
                    shape: images.shape,
                    workgroup: PER_IMAGE,
                };
                of_images.record(gpu, &mut prepare, "image statistics")?;
                statistics
            }
            _ => self.nodes.clone(),
        };
        self.record_samples(gpu, &mut chunk, images, &table, sampling)?;
        let forward = if self.batch.twins { self.batch.both() } else { self.batch.clean() };
        self.network.record_forward(gpu, &mut chunk, forward, None)?;
        if let Sampling::Hidden(hiding) = sampling {
            self.record_scores(gpu, &mut chunk, images, maps, hiding)?;
            return Ok(Recorded { explainer: self, prepare, chunk, range, samples: self.samples });
        }
        match self.layer {
            Some(layer) => self.record_channels(gpu, &mut chunk, images, layer, maps)?,
            None => {
                let gradient = self.record_backward(gpu, &mut chunk, rule, None)?;
                self.record_sums(gpu, &mut chunk, images, gradient, &table, maps)?;
            }
        }
        Ok(Recorded { explainer: self, prepare, chunk, range, samples: self.samples })
    }

    /// Records the logits of `images` into `logits`, [image, class (padded to 4)] f32, and the
    /// predicted classes into `predicted`, one u32 per image. `predicted` can be `images.classes`,
    /// to explain the predicted classes.
    ///
    /// # Errors
    /// As [`Recording::launch`].
    pub fn record_logits(
        &self,
        gpu: &Gpu,
        images: &ImageSet,
        logits: &Buffer,
        predicted: &Buffer,
    ) -> Result<Recorded<'_>> {
        let range = gpu.uniform("range of the set", size_of::<ImagesRange>() as u64)?;
        let prepare = self.recorded_weights(gpu)?;
        let mut chunk = Recording::new();
        self.record_samples(gpu, &mut chunk, images, &self.nodes, Sampling::Clean)?;
        self.network.record_forward(gpu, &mut chunk, self.batch.clean(), None)?;
        let collection = CollectLogits {
            current: &self.batch.step,
            logits: self.network.logits(),
            collected: logits,
            predicted,
            classes: self.network.classes(),
            slots: self.slots,
            lanes: LANES,
        };
        collection.record(gpu, &mut chunk, "collect logits")?;
        Ok(Recorded { explainer: self, prepare, chunk, range, samples: 1 })
    }

    /// Making the network's weights, of folded parameters where batch norms are folded.
    fn recorded_weights(&self, gpu: &Gpu) -> Result<Recording> {
        let mut recording = Recording::new();
        if let Some(folding) = &self.folding {
            folding.record(gpu, &mut recording)?;
        }
        self.network.record_weights(gpu, &mut recording)?;
        Ok(recording)
    }

    /// Number of images that the samples of a chunk can belong to.
    fn images_a_chunk(&self) -> u32 {
        images_a_chunk(self.slots, self.samples)
    }

    /// Adds the seed and the backward pass by `rule`, to the output of layer `stop` or to the
    /// input.
    fn record_backward(
        &self,
        gpu: &Gpu,
        recording: &mut Recording,
        rule: BackwardRule,
        stop: Option<usize>,
    ) -> Result<Binding<'_>> {
        let scalar = match self.options.output {
            Output::Logit => Scalar::LogitLabel,
            Output::LogSoftmax => Scalar::LogSoftmaxLabel,
        };
        let (network, clean) = (&self.network, self.batch.clean());
        record_saliency_seed(gpu, recording, network, clean, &self.batch.labels, scalar)?;
        match (&self.weighted, rule) {
            (Some(weighted), BackwardRule::Weighted(weights)) => {
                network.record_relevance_backward(gpu, recording, clean, weighted, weights)
            }
            _ => network.record_backward_by(gpu, recording, clean, rule, stop),
        }
    }

    fn record_samples(
        &self,
        gpu: &Gpu,
        recording: &mut Recording,
        images: &ImageSet,
        table: &Buffer,
        sampling: Sampling,
    ) -> Result<()> {
        self.batch.record_begin(gpu, recording)?;
        self.record_samples_of(gpu, recording, images, table, (&self.batch, sampling))
    }

    /// Adds the samples of the chunk that is the current entry of `batch`.
    fn record_samples_of(
        &self,
        gpu: &Gpu,
        recording: &mut Recording,
        images: &ImageSet,
        table: &Buffer,
        (batch, sampling): (&Batch, Sampling),
    ) -> Result<()> {
        let samples = SampleImages {
            current: &batch.step,
            pixels: &images.pixels,
            classes: &images.classes,
            numbers: &images.numbers,
            baselines: &self.baselines,
            table,
            samples: self.network.input(),
            sample_classes: &batch.labels,
            shape: images.shape,
            sampling,
            twins: batch.twins && sampling == Sampling::Clean,
            slots: batch.most,
            lanes: LANES,
        };
        samples.record(gpu, recording, "samples")
    }

    fn record_sums(
        &self,
        gpu: &Gpu,
        recording: &mut Recording,
        images: &ImageSet,
        gradient: Binding<'_>,
        table: &Buffer,
        maps: &Buffer,
    ) -> Result<()> {
        let sum = self.method.gradient_sum();
        let means = (sum == GradientSum::Variance).then(|| images.maps(gpu)).transpose()?;
        let attributions = AccumulateGradients {
            current: &self.batch.step,
            gradients: gradient,
            pixels: &images.pixels,
            numbers: &images.numbers,
            baselines: &self.baselines,
            table,
            attributions: maps,
            means: means.as_ref(),
            shape: images.shape,
            sum,
            noise: self.options.noise_of(self.method),
            images: self.images_a_chunk(),
            lanes: LANES,
        };
        attributions.record(gpu, recording, "attributions")
    }

    fn record_scores(
        &self,
        gpu: &Gpu,
        recording: &mut Recording,
        images: &ImageSet,
        maps: &Buffer,
        hiding: Hiding,
    ) -> Result<()> {
        let scores = gpu.buffer("scores of the samples", u64::from(self.slots) * 4)?;
        let clean = gpu.buffer("scores of the images", u64::from(images.most) * 4)?;
        let of_samples = ClassScore {
            current: &self.batch.step,
            logits: self.network.logits(),
            sample_classes: &self.batch.labels,
            scores: &scores,
            clean: &clean,
            classes: self.network.classes(),
            score: self.options.score_of(self.method),
            keeps_clean: matches!(hiding, Hiding::Window { .. }),
            slots: self.slots,
            lanes: LANES,
        };
        of_samples.record(gpu, recording, "scores")?;
        let attributions = AccumulateScores {
            current: &self.batch.step,
            scores: &scores,
            clean: &clean,
            attributions: maps,
            shape: images.shape,
            hiding,
            images: self.images_a_chunk(),
            lanes: LANES,
        };
        attributions.record(gpu, recording, "attributions")
    }

    /// Adds the maps of methods that weigh the channels of `layer` by their gradients.
    fn record_channels(
        &self,
        gpu: &Gpu,
        recording: &mut Recording,
        images: &ImageSet,
        layer: usize,
        maps: &Buffer,
    ) -> Result<()> {
        let gradients =
            self.record_backward(gpu, recording, BackwardRule::Gradient, Some(layer))?;
        let (_, shape, values) = self.network.layer(layer);
        let weights = &self.channel_weights(gpu, shape)?;
        let (range, lanes) = (self.batch.clean(), LANES);
        match self.method.spec().map {
            Map::Channels(ChannelWeights::PlusPlus) => {
                let layer = values;
                GradCamPlusPlusWeights { images: range, layer, gradients, weights, shape, lanes }
                    .record(gpu, recording, "channel weights")?;
            }
            _ => ChannelMeans { images: range, values: gradients, means: weights, shape, lanes }
                .record(gpu, recording, "channel weights")?,
        }
        // The weights are made: the buffers of the gradients are free again.
        let guide = match self.method.spec() {
            Spec { map: Map::GuidedChannels, rule, .. } => {
                Some(self.record_backward(gpu, recording, rule, None)?)
            }
            _ => None,
        };
        let attributions = GradCam {
            current: &self.batch.step,
            layer: values,
            weights,
            attributions: maps,
            guide,
            rectified: self.options.grad_cam_relu || guide.is_some(),
            shape: images.shape,
            layer_shape: shape,
            slots: self.slots,
            lanes,
        };
        attributions.record(gpu, recording, "attributions")
    }

    /// Weights of the channels of a layer of `shape`, for the images of a chunk.
    fn channel_weights(&self, gpu: &Gpu, shape: Shape) -> Result<Buffer> {
        gpu.buffer("channel weights", u64::from(self.slots * groups(shape.channels)) * 16)
    }

    /// Adds Score-CAM: a pass over the images that the chunk touches for the channels of `layer`,
    /// a pass over the images behind these, and the maps of the images whose last sample is in the
    /// chunk. What the other images get is replaced by a later chunk.
    fn record_score_cam(
        &self,
        gpu: &Gpu,
        recording: &mut Recording,
        images: &ImageSet,
        (touched, layer): (&Batch, usize),
        maps: &Buffer,
    ) -> Result<()> {
        let (shape, lanes) = (images.shape, LANES);
        let (_, layer_shape, layer_values) = self.network.layer(layer);
        let (channels, layer_groups) = (layer_shape.channels, groups(layer_shape.channels));
        let most = self.images_a_chunk();
        let values = &gpu.buffer("channels", u64::from(most) * image_bytes(layer_shape))?;
        let ranges = &gpu.buffer("ranges of channels", u64::from(most * layer_groups) * 32)?;
        let scores = &gpu.buffer("scores of the samples", u64::from(self.slots) * 4)?;
        let kept = &gpu.buffer(
            "scores of the images' samples",
            u64::from(images.most) * u64::from(layer_groups) * 16,
        )?;
        let weights = &self.channel_weights(gpu, layer_shape)?;

        touched.record_begin(gpu, recording)?;
        self.record_samples_of(gpu, recording, images, &self.nodes, (touched, Sampling::Clean))?;
        self.network.record_forward(gpu, recording, touched.clean(), None)?;
        CopyChannels {
            images: touched.clean(),
            from: layer_values.into(),
            to: values.into(),
            pixels: layer_shape.pixels(),
            channels: [channels; 2],
            first: [0; 2],
            count: channels,
            storage: Storage::default(),
        }
        .record(gpu, recording, "channels")?;
        let range = touched.clean();
        ChannelRanges { images: range, layer: values, ranges, shape, layer_shape, lanes }.record(
            gpu,
            recording,
            "ranges of channels",
        )?;

        self.batch.record_begin(gpu, recording)?;
        ChannelMaskedImages {
            current: &self.batch.step,
            pixels: &images.pixels,
            classes: &images.classes,
            baselines: &self.baselines,
            layer: values,
            ranges,
            samples: self.network.input(),
            sample_classes: &self.batch.labels,
            shape,
            layer_shape,
            slots: self.slots,
            lanes,
        }
        .record(gpu, recording, "samples")?;
        self.network.record_forward(gpu, recording, self.batch.clean(), None)?;
        ClassScore {
            current: &self.batch.step,
            logits: self.network.logits(),
            sample_classes: &self.batch.labels,
            scores,
            clean: kept,
            classes: self.network.classes(),
            score: self.options.score_of(self.method),
            keeps_clean: false,
            slots: self.slots,
            lanes,
        }
        .record(gpu, recording, "scores")?;
        let current = &self.batch.step;
        ScoreCamWeights { current, scores, kept, weights, channels, images: most, lanes }.record(
            gpu,
            recording,
            "channel weights",
        )?;
        let attributions = GradCam {
            current: &touched.step,
            layer: values,
            weights,
            attributions: maps,
            guide: None,
            rectified: self.options.grad_cam_relu,
            shape,
            layer_shape,
            slots: most,
            lanes,
        };
        attributions.record(gpu, recording, "attributions")
    }

    fn record_random(
        &self,
        gpu: &Gpu,
        recording: &mut Recording,
        range: ImageRange<'_>,
        images: &ImageSet,
        maps: &Buffer,
    ) -> Result<()> {
        self.batch.record_begin(gpu, recording)?;
        let attributions = RandomAttribution {
            images: range,
            current: &self.batch.step,
            indices: &images.numbers,
            attribution: maps,
            shape: images.shape,
            lanes: LANES,
        };
        attributions.record(gpu, recording, "attributions")
    }
}

/// Number of images that `slots` samples in order can belong to, if an image has `samples`.
fn images_a_chunk(slots: u32, samples: u32) -> u32 {
    slots.min((slots - 1) / samples + 2)
}

/// Number of samples of a chunk: `wanted`, or fewer, so that activations stay within the size that
/// the adapter binds at once and within a total budget.
fn chunk_size(gpu: &Gpu, config: &NetworkConfig, wanted: u32, twins: bool) -> Result<u32> {
    let shapes = config.shapes()?;
    let sizes = || shapes.iter().chain([&config.input]).map(|&shape| image_bytes(shape));
    let largest = sizes().max().unwrap_or(16);
    // Every activation and its input, and two buffers of gradients.
    let all = 2 * sizes().sum::<u64>() + 2 * largest;
    let copies = if twins { 2 } else { 1 };
    let fitting = binding_limit(gpu) / (largest * copies);
    if fitting == 0 {
        let (times, adapter, limit) =
            (if twins { " twice" } else { "" }, gpu.adapter_name(), binding_limit(gpu));
        let asked = format!(
            "one image's activations need {largest} bytes{times} and {adapter} binds at most \
             {limit}"
        );
        return Err(Error::OutOfMemory(Shortage::new(asked, "make the network smaller")));
    }
    Ok(u64::from(wanted)
        .min(fitting)
        .min((ACTIVATION_BYTES / (all * copies)).max(1))
        .min(u64::from(MOST_IMAGES / 2)) as u32)
}

/// The images, once each, that the samples of `chunk` belong to.
fn images_of(chunk: &StepRecord) -> StepRecord {
    let count = (chunk.sample + chunk.count).div_ceil(chunk.samples);
    StepRecord { count, sample: 0, samples: 1, ..*chunk }
}

/// A method's recorded work on a set of images.
pub struct Recorded<'a> {
    explainer: &'a Explainer,
    /// Runs once per run.
    prepare: Recording,
    /// Runs once per chunk.
    chunk: Recording,
    range: Buffer,
    samples: u32,
}

impl Recorded<'_> {
    /// Explains the first `count` images of the set with their current contents and the current
    /// parameters. `progress` receives the number of submitted samples, of `count` ×
    /// [`Explainer::samples`]. The results are in the buffers when the next submission runs.
    ///
    /// # Errors
    /// As [`crate::gpu::Device::submit`].
    pub fn run(&self, gpu: &Gpu, count: u32, progress: &mut dyn FnMut(u64)) -> Result<()> {
        gpu.submit(self.encode(gpu, gpu.encoder(), count, progress)?)
    }

    /// As [`Self::run`], behind the commands of `encoder`. What is returned has the last chunk and
    /// is not submitted yet: few samples are one submission, with what comes before and after them.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn encode(
        &self,
        gpu: &Gpu,
        mut encoder: wgpu::CommandEncoder,
        count: u32,
        progress: &mut dyn FnMut(u64),
    ) -> Result<wgpu::CommandEncoder> {
        gpu.write(&self.range, 0, &[ImagesRange { first: 0, count, batch: count, accumulate: 0 }]);
        let (explainer, samples) = (self.explainer, u64::from(self.samples));
        let total = u64::from(count) * samples;
        let record = |from: u64| StepRecord {
            position: (from / samples) as u32,
            count: u64::from(explainer.slots).min(total - from) as u32,
            batch: count,
            epoch_images: count,
            seed_low: explainer.options.seed as u32,
            seed_high: (explainer.options.seed >> 32) as u32,
            sample: (from % samples) as u32,
            samples: self.samples,
            ..StepRecord::default()
        };
        self.prepare.encode(gpu, &mut encoder)?;
        if total > 0 && self.chunk.commands().is_empty() {
            explainer.batch.write_table(gpu, &[record(0)]);
            progress(total);
            return Ok(encoder);
        }
        let mut from = 0;
        while from < total {
            // A table must not be written before the chunks of the one before are submitted.
            if from > 0 {
                gpu.submit(std::mem::replace(&mut encoder, gpu.encoder()))?;
            }
            let left = (total - from).div_ceil(u64::from(explainer.slots)).min(TABLE_ENTRIES);
            let table: Vec<StepRecord> =
                (0..left).map(|chunk| record(from + chunk * u64::from(explainer.slots))).collect();
            explainer.batch.write_table(gpu, &table);
            if let Some(touched) = &explainer.touched {
                let images: Vec<StepRecord> = table.iter().map(images_of).collect();
                touched.write_table(gpu, &images);
            }
            for (index, entry) in table.iter().enumerate() {
                if index > 0 {
                    gpu.submit(std::mem::replace(&mut encoder, gpu.encoder()))?;
                }
                self.chunk.encode(gpu, &mut encoder)?;
                from += u64::from(entry.count);
                progress(from);
            }
        }
        Ok(encoder)
    }

    /// The kernels of what runs.
    pub fn kernels(&self) -> impl Iterator<Item = &Arc<Kernel>> {
        self.prepare.kernels().chain(self.chunk.kernels())
    }

    /// The dispatches of a chunk, for benchmarks.
    pub fn chunk(&self) -> &Recording {
        &self.chunk
    }
}
