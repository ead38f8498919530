//! A model with the images that it is judged on.

use crate::{
    Result,
    batch::{Batch, GatherOptions, ResidentData},
    config::{PixelNormalization, Shape},
    data::Split,
    gpu::{Buffer, Gpu, Recording},
    layout::StepRecord,
    metrics::{Evaluation, Evaluator, Prediction},
    model::Model,
    nn::{Network, NetworkOptions},
    saliency::{DataOptions, ExplainedNetwork, Method, MethodOptions, Target, explain_data},
};

/// A model with the images that it is judged on.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// The device.
    pub gpu: &'a Gpu,
    /// The model with its α's.
    pub model: &'a Model,
    /// The images, in the model's input shape.
    pub images: &'a Split,
    /// Mean and standard deviation of the normalisation.
    pub normalization: PixelNormalization,
    /// Images per pass; the results do not depend on it.
    pub batch_size: u32,
}

/// Maps of all images.
#[derive(Clone, Debug, Default)]
pub struct Explained {
    /// One list of maps per method, [N, C, H, W], with respect to the normalised image.
    pub maps: Vec<Vec<f32>>,
    /// The images with the less salient half of their features (by each method) replaced by noise,
    /// [N, C, H, W] in 0..1.
    pub masked: Vec<Vec<f32>>,
}

impl<'a> Subject<'a> {
    /// Shape of an image.
    pub fn shape(&self) -> Shape {
        self.model.config.network.input
    }

    /// Largest number of images per pass.
    pub(super) fn most(&self) -> u32 {
        self.batch_size.min(self.images.len() as u32).max(1)
    }

    /// The network with the model's parameters, and with two slots for every image of a pass.
    pub(super) fn network(&self) -> Result<Network> {
        let options = NetworkOptions {
            slots: 2 * self.most(),
            training: false,
            gradients: false,
            ..NetworkOptions::default()
        };
        let network = Network::new(
            self.gpu,
            &self.model.config.network,
            &self.model.config.quantization,
            options,
        )?;
        self.gpu.write(network.parameters(), 0, &self.model.parameters);
        Ok(network)
    }

    /// The images on the GPU, with `labels` instead of their own if given.
    pub(super) fn resident(&self, labels: Option<&[u32]>) -> Result<ResidentData> {
        let mut data = ResidentData::new(self.gpu, self.images, self.shape())?;
        if let Some(labels) = labels {
            data.labels = self.gpu.upload("classes asked for", labels)?;
        }
        Ok(data)
    }

    /// Accuracy, loss and predictions.
    ///
    /// # Errors
    /// Errors of the device.
    pub async fn evaluate(&self) -> Result<Evaluation> {
        let network = self.network()?;
        let data = self.resident(None)?;
        let evaluator =
            Evaluator::record(self.gpu, &network, &data, self.normalization, self.most())?;
        evaluator.run(self.gpu, &self.model.config.class_names, &mut |_| {}).await
    }

    /// The class to explain for every image, given the model's predictions.
    pub fn targets(&self, target: Target, evaluation: &Evaluation) -> Vec<u32> {
        let class = |prediction: &Prediction| match target {
            Target::Label => prediction.label,
            Target::Predicted => prediction.class,
            Target::Class(class) => class,
        };
        evaluation.predictions.iter().map(class).collect()
    }

    /// The model's parameters on the GPU.
    pub(super) fn parameters(&self) -> Result<Buffer> {
        self.gpu.upload("parameters", &self.model.parameters)
    }

    /// The network in the form that attribution methods take, with `parameters`.
    pub(super) fn explained<'b>(&'b self, parameters: &'b Buffer) -> ExplainedNetwork<'b> {
        let config = &self.model.config;
        ExplainedNetwork { config: &config.network, quantization: &config.quantization, parameters }
    }

    /// Explains the logit of the classes `targets` by each of `methods`. `progress` receives the
    /// finished part of [`Self::work`].
    ///
    /// # Errors
    /// Errors of the device; [`crate::Error::Settings`] if a method cannot explain the network.
    pub async fn explain(
        &self,
        methods: &[Method],
        settings: &MethodOptions,
        targets: &[u32],
        progress: &mut dyn FnMut(u64),
    ) -> Result<Explained> {
        self.explain_by(&self.parameters()?, methods, settings, targets, progress).await
    }

    /// Number of forward passes of [`Self::explain`].
    pub fn work(&self, methods: &[Method], settings: &MethodOptions) -> u64 {
        let images = self.images.len() as u64;
        methods
            .iter()
            .map(|&method| {
                images * u64::from(settings.samples_of(method, &self.model.config.network))
            })
            .sum()
    }

    /// As [`Self::explain`], with other parameters.
    pub(super) async fn explain_by(
        &self,
        parameters: &Buffer,
        methods: &[Method],
        settings: &MethodOptions,
        targets: &[u32],
        progress: &mut dyn FnMut(u64),
    ) -> Result<Explained> {
        let data = self.resident(Some(targets))?;
        let options = DataOptions {
            methods: methods.to_vec(),
            target: Target::Label,
            settings: MethodOptions { batch_size: self.batch_size, ..settings.clone() },
            normalization: self.normalization,
            ..DataOptions::default()
        };
        let attributions =
            explain_data(self.gpu, self.explained(parameters), &data, &options, progress).await?;
        Ok(Explained { maps: attributions.maps, masked: attributions.masked })
    }
}

/// The common start of every judgement that runs the network: its images, one part at a time, in
/// the network's first slots.
pub(super) struct Stage {
    pub network: Network,
    pub batch: Batch,
    pub table: Vec<StepRecord>,
    /// Prepares the weights; runs once.
    pub weights: Recording,
    /// Gathers the next part and runs the network on it.
    pub begin: Recording,
}

impl Stage {
    /// Records the passes over the images of `subject`; `labels` replace their own if given. `seed`
    /// is the seed of random numbers.
    pub fn record(subject: &Subject<'_>, labels: Option<&[u32]>, seed: u64) -> Result<Stage> {
        let gpu = subject.gpu;
        let network = subject.network()?;
        let data = subject.resident(labels)?;
        let table = StepRecord::in_file_order(data.count, subject.most(), seed);
        let batch = Batch::new(gpu, subject.most(), true, table.len() as u64)?;
        let mut weights = Recording::new();
        network.record_weights(gpu, &mut weights)?;
        let mut begin = Recording::new();
        batch.record_begin(gpu, &mut begin)?;
        let gather = GatherOptions::in_file_order(subject.normalization);
        batch.record_gather(gpu, &mut begin, &data, &gather, network.input())?;
        network.record_forward(gpu, &mut begin, batch.clean(), None)?;
        Ok(Stage { network, batch, table, weights, begin })
    }

    /// Prepares a run over all parts.
    pub fn start(&self, gpu: &Gpu) -> Result<()> {
        self.batch.write_table(gpu, &self.table);
        self.weights.submit(gpu)
    }
}
