//! Attributions of the images of a data set, and the images with their least salient features
//! replaced by noise (paper, III-D).

use super::{
    ExplainedNetwork, Explainer, ImageSet, Method, MethodOptions, applicability::check_applicable,
};
use crate::{
    Result,
    batch::{Batch, GatherOptions, ResidentData},
    config::{MaskFill, MaskRank, NetworkConfig, PixelNormalization},
    gpu::{Gpu, Recording, Staging},
    layout::{StepRecord, from_nchw, groups, padded, to_nchw},
    pipelines,
    sgt::Masking,
};

/// Number of images that are explained before their maps are read back.
const GROUP: u32 = 1024;

/// The class to explain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Target {
    /// The true label.
    Label,
    /// The class that the network predicts.
    #[default]
    Predicted,
    /// This class.
    Class(u32),
}

/// The methods and their settings.
#[derive(Clone, Debug)]
pub struct DataOptions {
    /// Methods, in the order of the result.
    pub methods: Vec<Method>,
    /// The class to explain.
    pub target: Target,
    /// Settings of the methods.
    pub settings: MethodOptions,
    /// Mean and standard deviation of the model's normalisation.
    pub normalization: PixelNormalization,
    /// Share of the pixels that the masked images keep, 0..=1; none: there are no masked images.
    pub keep: Option<f32>,
    /// The ranking of the pixels to replace.
    pub rank: MaskRank,
    /// What goes into the network in the place of the data's normalised pixels, [N, C, H, W];
    /// empty: these.
    pub values: Vec<f32>,
    /// Numbers of the images, which are the keys of random numbers; empty: 0, 1, 2, …
    pub numbers: Vec<u32>,
}

impl Default for DataOptions {
    fn default() -> Self {
        DataOptions {
            methods: vec![Method::Gradient],
            target: Target::Predicted,
            settings: MethodOptions::default(),
            normalization: PixelNormalization::uniform(0.0, 1.0),
            keep: Some(0.5),
            rank: MaskRank::Signed,
            values: Vec::new(),
            numbers: Vec::new(),
        }
    }
}

impl DataOptions {
    /// A description of the masked images for captions: `the 50 % of its pixels that … replaced by
    /// uniform noise`.
    pub fn masked(&self) -> String {
        let rank = match self.rank {
            MaskRank::Signed => "sign included",
            MaskRank::Abs => "by magnitude",
        };
        let share = 100.0 * (1.0 - self.keep.unwrap_or(1.0));
        format!(
            "the {share:.0} % of its pixels that the map ranks lowest, {rank}, replaced by uniform \
             noise"
        )
    }

    /// Number of samples of `count` images that `network` processes by all methods.
    pub fn work(&self, network: &NetworkConfig, count: u32) -> u64 {
        let samples = |&method: &Method| u64::from(self.settings.samples_of(method, network));
        self.methods.iter().map(samples).sum::<u64>() * u64::from(count)
    }
}

/// Results for N images of C × H × W.
#[derive(Clone, Debug, Default)]
pub struct Attributions {
    /// One list of maps per method, [N, C, H, W], with respect to the normalised image.
    pub maps: Vec<Vec<f32>>,
    /// The images with their least salient features (by the method) replaced by noise, one list per
    /// method: [N, C, H, W] in 0..1. None without [`DataOptions::keep`].
    pub masked: Vec<Vec<f32>>,
    /// [N, classes].
    pub logits: Vec<f32>,
    /// Predicted classes.
    pub predictions: Vec<u32>,
    /// Their softmax probabilities.
    pub probabilities: Vec<f32>,
}

/// Explains every image of `data` by every method of `options`. `progress` receives the finished
/// part of [`DataOptions::work`].
///
/// # Errors
/// As [`Explainer::new`], and errors of the device.
pub async fn explain_data(
    gpu: &Gpu,
    network: ExplainedNetwork<'_>,
    data: &ResidentData,
    options: &DataOptions,
    progress: &mut dyn FnMut(u64),
) -> Result<Attributions> {
    for method in &options.methods {
        check_applicable(*method, network.config, &options.settings)?;
    }
    let shape = data.shape;
    let most = ImageSet::room(gpu, shape, data.count.min(GROUP), 1);
    let groups_of_images = StepRecord::in_file_order(data.count, most, options.settings.seed);
    let images = ImageSet::new(gpu, shape, most, 1)?;
    let maps = images.maps(gpu)?;
    let batch = Batch::new(gpu, most, true, 1)?;
    let normalization = options.normalization;
    let mut gather = Recording::new();
    batch.record_begin(gpu, &mut gather)?;
    let gathering = GatherOptions::in_file_order(normalization);
    batch.record_gather(gpu, &mut gather, data, &gathering, &images.pixels)?;
    let mut mask = Recording::new();
    if let Some(keep) = options.keep {
        let masking = Masking::new(gpu, shape, most, 1.0 - keep, options.rank, MaskFill::Uniform)?;
        masking.record_selection(gpu, &mut mask, &batch, (&maps).into())?;
        masking.record_fill(gpu, &mut mask, &batch, &images.pixels)?;
    }

    let class_stride = u64::from(padded(network.config.classes));
    let logits = gpu.buffer("logits of the set", u64::from(most) * class_stride * 4)?;
    let predicted = gpu.buffer("predicted classes", u64::from(most) * 4)?;
    let per_image = u64::from(shape.pixels() * groups(shape.channels)) * 4;
    let (mut labels, classes) = (Vec::new(), network.config.classes as usize);
    let mut result = Attributions::default();
    let mut done = 0;
    for (index, &method) in options.methods.iter().enumerate() {
        let explainer = Explainer::new(gpu, network, method, &options.settings, most)?;
        let recorded = explainer.record(gpu, &images, &maps)?;
        let classify = explainer.record_logits(gpu, &images, &logits, &predicted)?;
        // At once instead of one after the other, where there are threads; no more than will run.
        if !cfg!(target_family = "wasm") {
            let first = (index == 0).then(|| classify.kernels());
            let own = recorded.kernels().chain(gather.kernels()).chain(mask.kernels());
            let kernels: Vec<_> = own.chain(first.into_iter().flatten()).cloned().collect();
            pipelines::create(gpu, &kernels)?;
        }
        let (mut of_method, mut masked) = (Vec::new(), Vec::new());
        for record in &groups_of_images {
            batch.write_table(gpu, std::slice::from_ref(record));
            // With the first method two submissions: the host reads the classes to explain in
            // between.
            let mut encoder = gpu.encoder();
            gather.encode(gpu, &mut encoder)?;
            let range = record.position as usize..(record.position + record.count) as usize;
            let numbers: Vec<u32> = match options.numbers.get(range.clone()) {
                Some(numbers) => numbers.to_vec(),
                None => range.clone().map(|number| number as u32).collect(),
            };
            let size = shape.elements() as usize;
            if let Some(own) = options.values.get(range.start * size..range.end * size)
                && !own.is_empty()
            {
                gpu.submit(std::mem::replace(&mut encoder, gpu.encoder()))?;
                gpu.write(&images.pixels, 0, &from_nchw(own, shape));
            }
            gpu.write(&images.numbers, 0, &numbers);
            let count = u64::from(record.count);
            if index == 0 {
                let before = classify.encode(gpu, encoder, record.count, &mut |_| {})?;
                let ranges = [
                    (&logits, 0, 4 * count * class_stride),
                    (&predicted, 0, 4 * count),
                    (&data.labels, 4 * u64::from(record.position), 4 * count),
                ];
                let words: Vec<u32> =
                    Staging::gather_behind(gpu, before, &ranges)?.finish(gpu).await?;
                let (rows, rest) = words.split_at((count * class_stride) as usize);
                let (own_predictions, own_labels) = rest.split_at(range.len());
                let rows: &[f32] = bytemuck::cast_slice(rows);
                let rows = rows.chunks_exact(class_stride as usize);
                result.logits.extend(rows.flat_map(|row| &row[..classes]));
                result.predictions.extend(own_predictions);
                labels.extend_from_slice(own_labels);
                encoder = gpu.encoder();
            }
            let classes = match options.target {
                Target::Label => labels[range].to_vec(),
                Target::Predicted => result.predictions[range].to_vec(),
                Target::Class(class) => vec![class; range.len()],
            };
            gpu.write(&images.classes, 0, &classes);
            let mut encoder = recorded.encode(gpu, encoder, record.count, &mut |samples| {
                progress(done + samples);
            })?;
            done += count * u64::from(explainer.samples());
            mask.encode(gpu, &mut encoder)?;
            let bytes = 4 * count * per_image;
            let ranges = [(&maps, 0, bytes), (&images.pixels, bytes, bytes)];
            let ranges = &ranges[..1 + usize::from(options.keep.is_some())];
            let values: Vec<f32> =
                Staging::gather_behind(gpu, encoder, ranges)?.finish(gpu).await?;
            let (own_maps, noisy) = values.split_at((count * per_image) as usize);
            of_method.extend(to_nchw(own_maps, shape));
            let values = to_nchw(noisy, shape).into_iter().enumerate();
            masked.extend(values.map(|(at, value)| {
                normalization.pixel(value, shape.channel_of(at)).clamp(0.0, 1.0)
            }));
        }
        result.maps.push(of_method);
        if options.keep.is_some() {
            result.masked.push(masked);
        }
    }
    result.probabilities = result
        .logits
        .chunks_exact(classes)
        .zip(&result.predictions)
        .map(|(row, &class)| {
            let highest = row[class as usize];
            (1.0 / row.iter().map(|&logit| f64::from(logit - highest).exp()).sum::<f64>()) as f32
        })
        .collect();
    Ok(result)
}
