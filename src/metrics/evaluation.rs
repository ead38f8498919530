//! Evaluation of a network over a split, in batches on the GPU; one read-back at the end.

use serde::Serialize;

use crate::{
    Result,
    batch::{Batch, GatherOptions, ImageRange, ResidentData},
    gpu::{Buffer, Gpu, Recording},
    layout::StepRecord,
    nn::Network,
    sgt::record_classification_by,
};

/// What a model made of one image.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Prediction {
    /// Predicted class: the first with the highest logit.
    pub class: u32,
    /// True class.
    pub label: u32,
    /// Softmax probability of the predicted class.
    pub probability: f32,
    /// Softmax probability of the true class.
    pub label_probability: f32,
    /// Cross entropy.
    pub loss: f32,
}

/// Figures of one class.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClassReport {
    /// Class number.
    pub class: u32,
    /// Its name.
    pub name: String,
    /// Images with this label.
    pub images: u64,
    /// Share of them that were recognised; none of no images.
    pub accuracy: Option<f64>,
    /// Share of the images so predicted that are of the class; none where none was so predicted.
    pub precision: Option<f64>,
}

/// Figures over a split; the JSON of `saliq eval --json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Evaluation {
    /// Share of images classified correctly, 0..=1.
    pub accuracy: f64,
    /// Mean cross entropy.
    pub loss: f64,
    /// Number of images.
    pub images: u64,
    /// A record a class.
    pub per_class: Vec<ClassReport>,
    /// `confusion[label][predicted]`: numbers of images.
    pub confusion: Vec<Vec<u64>>,
    /// A record an image, in file order.
    #[serde(skip)]
    pub predictions: Vec<Prediction>,
}

impl Evaluation {
    fn new(predictions: Vec<Prediction>, classes: u32, names: &[String]) -> Evaluation {
        let classes = classes as usize;
        let mut confusion = vec![vec![0u64; classes]; classes];
        for prediction in &predictions {
            confusion[(prediction.label as usize).min(classes - 1)][(prediction.class as usize).min(classes - 1)] += 1;
        }
        let share = |part: u64, whole: u64| (whole > 0).then(|| part as f64 / whole as f64);
        let per_class = (0..classes)
            .map(|class| {
                let images = confusion[class].iter().sum();
                let predicted = confusion.iter().map(|row| row[class]).sum();
                ClassReport {
                    class: class as u32,
                    name: names.get(class).cloned().unwrap_or_else(|| class.to_string()),
                    images,
                    accuracy: share(confusion[class][class], images),
                    precision: share(confusion[class][class], predicted),
                }
            })
            .collect();
        let images = predictions.len() as u64;
        let correct = (0..classes).map(|class| confusion[class][class]).sum();
        let loss = predictions.iter().map(|prediction| f64::from(prediction.loss)).sum::<f64>() / images.max(1) as f64;
        Evaluation { accuracy: share(correct, images).unwrap_or(0.0), loss, images, per_class, confusion, predictions }
    }
}

/// What makes logits of images: a network, or inference on integers.
pub trait Classifier {
    /// Adds what has to be done to the weights once, before images.
    ///
    /// # Errors
    /// As [`Recording::dispatch`]; so have the others.
    fn record_weights(&self, gpu: &Gpu, recording: &mut Recording) -> Result<()>;
    /// Adds gathering the batch's images to where the forward pass wants them.
    fn record_gather(
        &self,
        gpu: &Gpu,
        recording: &mut Recording,
        batch: &Batch,
        data: &ResidentData,
        options: &GatherOptions,
    ) -> Result<()>;
    /// Adds the forward pass, in inference.
    fn record_forward(&self, gpu: &Gpu, recording: &mut Recording, range: ImageRange<'_>) -> Result<()>;
    /// [image, class (padded)] floats.
    fn logits(&self) -> &Buffer;
    /// Number of classes.
    fn classes(&self) -> u32;
}

impl Classifier for Network {
    fn record_weights(&self, gpu: &Gpu, recording: &mut Recording) -> Result<()> {
        Network::record_weights(self, gpu, recording)
    }

    fn record_gather(
        &self,
        gpu: &Gpu,
        recording: &mut Recording,
        batch: &Batch,
        data: &ResidentData,
        options: &GatherOptions,
    ) -> Result<()> {
        batch.record_gather(gpu, recording, data, options, &self.input)
    }

    fn record_forward(&self, gpu: &Gpu, recording: &mut Recording, range: ImageRange<'_>) -> Result<()> {
        Network::record_forward(self, gpu, recording, range, None)
    }

    fn logits(&self) -> &Buffer {
        Network::logits(self)
    }

    fn classes(&self) -> u32 {
        Network::classes(self)
    }
}

/// A recorded evaluation pass over one split.
pub struct Evaluator {
    weights: Recording,
    part: Recording,
    batch: Batch,
    output: Buffer,
    labels: Buffer,
    table: Vec<StepRecord>,
    classes: u32,
    count: u32,
}

impl Evaluator {
    /// Records forward passes of `network` over `data` in file order, `most` images at a time (at most the network's slots).
    pub fn record(
        gpu: &Gpu,
        network: &dyn Classifier,
        data: &ResidentData,
        normalization: (f32, f32),
        most: u32,
    ) -> Result<Evaluator> {
        let most = most.min(data.count).max(1);
        let table = StepRecord::in_file_order(data.count, most, 0);
        let batch = Batch::new(gpu, most, false, table.len() as u64)?;
        let output = gpu.buffer("predictions", u64::from(data.count) * 16)?;
        let mut weights = Recording::new();
        network.record_weights(gpu, &mut weights)?;
        let mut part = Recording::new();
        batch.record_begin(gpu, &mut part)?;
        let options = GatherOptions { shuffle: false, augment: Vec::new(), mean: normalization.0, deviation: normalization.1 };
        network.record_gather(gpu, &mut part, &batch, data, &options)?;
        network.record_forward(gpu, &mut part, batch.clean())?;
        let logits = (network.logits(), network.classes());
        record_classification_by(gpu, &mut part, logits, &batch, batch.clean(), (&output).into())?;
        let labels = data.labels.clone();
        Ok(Evaluator { weights, part, batch, output, labels, table, classes: network.classes(), count: data.count })
    }

    /// Evaluates the network as it is now. `progress` is told how many images were handed over.
    pub async fn run(&self, gpu: &Gpu, class_names: &[String], progress: &mut dyn FnMut(u64)) -> Result<Evaluation> {
        self.batch.write_table(gpu, &self.table);
        self.weights.submit(gpu)?;
        for record in &self.table {
            self.part.submit(gpu)?;
            progress(u64::from(record.position + record.count));
        }
        let rows: Vec<[f32; 4]> = gpu.read(&self.output, 0, u64::from(self.count)).await?;
        let labels: Vec<u32> = gpu.read(&self.labels, 0, u64::from(self.count)).await?;
        let predictions = rows
            .iter()
            .zip(labels)
            .map(|(&[loss, class, probability, label_probability], label)| Prediction {
                class: class as u32,
                label,
                probability,
                label_probability,
                loss,
            })
            .collect();
        Ok(Evaluation::new(predictions, self.classes, class_names))
    }
}
