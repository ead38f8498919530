//! Attributions of a few images by one network, with the pictures whose least salient features are replaced by noise (paper, III-D).

use serde::Serialize;

use crate::{
    Result,
    batch::{Batch, GatherOptions, LANES, ResidentData, StepRecord},
    config::{MaskFill, MaskRank},
    gpu::{Buffer, Gpu, Recording, Specialization},
    nn::{Gradients, Network, groups, to_nchw},
    sgt::{Masking, Scalar, record_classification, record_saliency_seed},
};

/// An attribution method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// ∂ scalar / ∂X of the normalised image (Simonyan et al. 2013).
    Gradient,
    /// X ⊙ ∂ scalar / ∂X.
    InputXGradient,
    /// U(−1, 1): the baseline that explains nothing.
    Random,
}

impl Method {
    /// All methods of this version.
    pub const ALL: [Method; 3] = [Method::Gradient, Method::InputXGradient, Method::Random];

    /// The name on the command line and of the tensor in `attributions.safetensors`.
    pub fn name(self) -> &'static str {
        match self {
            Method::Gradient => "gradient",
            Method::InputXGradient => "input-x-gradient",
            Method::Random => "random",
        }
    }
}

/// What to explain, and how.
#[derive(Clone, Debug)]
pub struct ExplainerOptions {
    /// Methods, in the order of the result.
    pub methods: Vec<Method>,
    /// What is differentiated. The labels of the data are the classes asked for.
    pub scalar: Scalar,
    /// Mean and deviation of the model's normalisation.
    pub normalization: (f32, f32),
    /// Share of the pixels kept in the masked pictures, 0..=1.
    pub keep: f32,
    /// How the pixels to replace are ranked.
    pub rank: MaskRank,
    /// Seed of `random` and of the noise in the masked pictures.
    pub seed: u64,
}

/// Results for N images of C × H × W.
#[derive(Clone, Debug, Default)]
pub struct Attributions {
    /// A map a method, [N, C, H, W], with respect to the normalised image.
    pub maps: Vec<Vec<f32>>,
    /// The images with their least salient features (by the method) replaced by noise, a set a method: [N, C, H, W] in 0..1.
    pub masked: Vec<Vec<f32>>,
    /// [N, classes].
    pub logits: Vec<f32>,
    /// Predicted classes.
    pub predictions: Vec<u32>,
    /// Their softmax probabilities.
    pub probabilities: Vec<f32>,
}

/// Recorded attribution passes over `data`, for a network with gradient buffers and at least 2 slots an image of a batch.
pub struct Explainer<'a> {
    network: &'a Network,
    data: &'a ResidentData,
    options: ExplainerOptions,
    batch: Batch,
    weights: Recording,
    /// Forward and backward; then one recording a method that leaves its map in the buffer.
    passes: Recording,
    methods: Vec<(Recording, Buffer)>,
    predictions: Buffer,
}

impl<'a> Explainer<'a> {
    /// Records everything; `most` images are explained at a time.
    pub fn record(gpu: &Gpu, network: &'a Network, data: &'a ResidentData, most: u32, options: ExplainerOptions) -> Result<Self> {
        let most = most.min(data.count).max(1);
        let shape = data.shape;
        let batch = Batch::new(gpu, most, true, u64::from(data.count.div_ceil(most)))?;
        let mut weights = Recording::new();
        network.record_weights(gpu, &mut weights)?;
        let predictions = gpu.buffer("predictions", u64::from(data.count) * 16)?;
        let mut passes = Recording::new();
        batch.record_begin(gpu, &mut passes)?;
        let (mean, deviation) = options.normalization;
        let gather = GatherOptions { shuffle: false, augment: Vec::new(), mean, deviation };
        batch.record_gather(gpu, &mut passes, data, &gather, &network.input)?;
        network.record_forward(gpu, &mut passes, batch.clean(), None)?;
        record_classification(gpu, &mut passes, network, &batch, &predictions)?;
        record_saliency_seed(gpu, &mut passes, network, batch.clean(), &batch.labels, options.scalar)?;
        let gradient = network.record_backward(gpu, &mut passes, batch.clean(), None, Gradients::Input)?;

        let elements = shape.pixels() * groups(shape.channels);
        let masking = Masking::new(gpu, shape, most, 1.0 - options.keep, options.rank, MaskFill::Uniform)?;
        let indices = gpu.upload("image numbers", &(0..data.count).collect::<Vec<u32>>())?;
        let mut methods = Vec::new();
        for &method in &options.methods {
            let mut recording = Recording::new();
            let map = match method {
                Method::Gradient => gradient.clone(),
                Method::InputXGradient | Method::Random => gpu.buffer("attributions", u64::from(most * elements) * 16)?,
            };
            let range = batch.clean();
            let workgroups = [elements.div_ceil(LANES), range.most, 1];
            match method {
                Method::Gradient => {}
                Method::InputXGradient => {
                    let specialization = Specialization::new().tile("LANES", LANES).constant("ELEMENTS", elements);
                    let kernel = gpu.kernel("input_times_gradient", specialization)?;
                    let bindings = [range.binding, (&network.input).into(), gradient.into(), (&map).into()];
                    recording.dispatch(gpu, method.name(), kernel, &bindings, workgroups)?;
                }
                Method::Random => {
                    let specialization = Specialization::new()
                        .tile("LANES", LANES)
                        .constant("PIXELS", shape.pixels())
                        .constant("CHANNELS", shape.channels);
                    let kernel = gpu.kernel("random_attribution", specialization)?;
                    let bindings = [range.binding, (&batch.step).into(), (&indices).into(), (&map).into()];
                    recording.dispatch(gpu, method.name(), kernel, &bindings, workgroups)?;
                }
            }
            masking.record_selection(gpu, &mut recording, &batch, &map)?;
            masking.record_fill(gpu, &mut recording, &batch, &network.input)?;
            methods.push((recording, map));
        }
        Ok(Explainer { network, data, options, batch, weights, passes, methods, predictions })
    }

    /// Explains every image of the data with the network's parameters as they are now. `progress` is told how many are done.
    pub async fn run(&self, gpu: &Gpu, progress: &mut dyn FnMut(u64)) -> Result<Attributions> {
        let shape = self.data.shape;
        let per_image = u64::from(shape.pixels() * groups(shape.channels)) * 4;
        let count = self.data.count;
        let table = StepRecord::in_file_order(count, self.batch.most, self.options.seed);
        self.batch.write_table(gpu, &table);
        self.weights.submit(gpu)?;
        let mut result = Attributions {
            maps: vec![Vec::new(); self.methods.len()],
            masked: vec![Vec::new(); self.methods.len()],
            ..Attributions::default()
        };
        let (mean, deviation) = self.options.normalization;
        let classes = self.network.classes() as usize;
        for record in &table {
            self.passes.submit(gpu)?;
            let images = u64::from(record.count);
            for (index, (recording, map)) in self.methods.iter().enumerate() {
                recording.submit(gpu)?;
                result.maps[index].extend(to_nchw(&gpu.read::<f32>(map, 0, images * per_image).await?, shape));
                let masked = gpu.read::<f32>(&self.network.input, images * per_image, images * per_image).await?;
                result.masked[index]
                    .extend(to_nchw(&masked, shape).iter().map(|value| (value * deviation + mean).clamp(0.0, 1.0)));
            }
            let stride = classes.next_multiple_of(4);
            let logits = gpu.read::<f32>(self.network.logits(), 0, images * stride as u64).await?;
            result.logits.extend(logits.chunks_exact(stride).flat_map(|row| &row[..classes]));
            progress(u64::from(record.position + record.count));
        }
        let rows: Vec<[f32; 4]> = gpu.read(&self.predictions, 0, u64::from(count)).await?;
        result.predictions = rows.iter().map(|row| row[1] as u32).collect();
        result.probabilities = rows.iter().map(|row| row[2]).collect();
        Ok(result)
    }
}
