//! Evaluates a network on a split, in batches on the GPU, with one read-back at the end.

use serde::Serialize;

use crate::{
    Error, Result,
    batch::{Batch, GatherOptions, ResidentData},
    config::PixelNormalization,
    gpu::{Buffer, Gpu, Recording, Staging},
    kernels::ImageRange,
    layout::StepRecord,
    nn::Network,
    pipelines,
    sgt::record_classification_by,
};

/// The model's output for one image.
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
    /// Share of them that were classified correctly; `None` without such images.
    pub accuracy: Option<f64>,
    /// Share of the images with this prediction that belong to the class; `None` without such
    /// predictions.
    pub precision: Option<f64>,
}

/// Most classes that have a confusion matrix: its size is their square.
const MOST_CONFUSED: usize = 4096;

/// Figures of a split; the JSON of `saliq eval --json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Evaluation {
    /// Share of images classified correctly, 0..=1.
    pub accuracy: f64,
    /// Mean cross entropy.
    pub loss: f64,
    /// Number of images.
    pub images: u64,
    /// One record per class.
    pub per_class: Vec<ClassReport>,
    /// `confusion[label][predicted]`: numbers of images. Empty for more than 4,096 classes.
    pub confusion: Vec<Vec<u64>>,
    /// One record per image, in file order.
    #[serde(skip)]
    pub predictions: Vec<Prediction>,
}

impl Evaluation {
    /// The figures of `predictions`, which are in file order.
    fn new(predictions: Vec<Prediction>, classes: u32, names: &[String]) -> Result<Evaluation> {
        let count = classes as usize;
        let rows = if count <= MOST_CONFUSED { count } else { 0 };
        let mut confusion = vec![vec![0u64; rows]; rows];
        let [mut of_label, mut predicted, mut right] = [(); 3].map(|()| vec![0u64; count]);
        for (image, Prediction { class, label, .. }) in predictions.iter().enumerate() {
            if *label >= classes || *class >= classes {
                let (what, number) =
                    if *label < classes { ("predicted class", class) } else { ("label", label) };
                let last = classes.saturating_sub(1);
                return Err(Error::Data(format!(
                    "{what} {number} of image {image} is not one of the model's {classes} classes \
                     (0 to {last})"
                )));
            }
            let (label, class) = (*label as usize, *class as usize);
            of_label[label] += 1;
            predicted[class] += 1;
            right[label] += u64::from(label == class);
            if let Some(row) = confusion.get_mut(label) {
                row[class] += 1;
            }
        }
        let share = |part: u64, whole: u64| (whole > 0).then(|| part as f64 / whole as f64);
        let per_class = (0..count)
            .map(|class| ClassReport {
                class: class as u32,
                name: names.get(class).cloned().unwrap_or_else(|| class.to_string()),
                images: of_label[class],
                accuracy: share(right[class], of_label[class]),
                precision: share(right[class], predicted[class]),
            })
            .collect();
        let images = predictions.len() as u64;
        let correct = right.iter().sum();
        let loss = predictions.iter().map(|prediction| f64::from(prediction.loss)).sum::<f64>()
            / images.max(1) as f64;
        Ok(Evaluation {
            accuracy: share(correct, images).unwrap_or(0.0),
            loss,
            images,
            per_class,
            confusion,
            predictions,
        })
    }
}

/// A source of logits: a network, or inference on integers.
pub trait Classifier {
    /// Adds the preparation of the weights, which runs once before the images.
    ///
    /// # Errors
    /// As [`Recording::launch`]; the other methods have the same errors.
    fn record_weights(&self, gpu: &Gpu, recording: &mut Recording) -> Result<()>;
    /// Adds the kernel that gathers the batch's images into the input of the forward pass.
    fn record_gather(
        &self,
        gpu: &Gpu,
        recording: &mut Recording,
        batch: &Batch,
        data: &ResidentData,
        options: &GatherOptions,
    ) -> Result<()>;
    /// Adds the forward pass in inference mode.
    fn record_forward(
        &self,
        gpu: &Gpu,
        recording: &mut Recording,
        range: ImageRange<'_>,
    ) -> Result<()>;
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
        batch.record_gather(gpu, recording, data, options, self.input())
    }

    fn record_forward(
        &self,
        gpu: &Gpu,
        recording: &mut Recording,
        range: ImageRange<'_>,
    ) -> Result<()> {
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
    data: ResidentData,
    table: Vec<StepRecord>,
    classes: u32,
    count: u32,
}

impl Evaluator {
    /// Records forward passes of `network` over `data` in file order, `most` images at a time (at
    /// most the number of the network's slots).
    pub fn record(
        gpu: &Gpu,
        network: &dyn Classifier,
        data: &ResidentData,
        normalization: PixelNormalization,
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
        let options = GatherOptions::in_file_order(normalization);
        network.record_gather(gpu, &mut part, &batch, data, &options)?;
        network.record_forward(gpu, &mut part, batch.clean())?;
        let logits = (network.logits(), network.classes());
        record_classification_by(gpu, &mut part, logits, &batch, batch.clean(), (&output).into())?;
        Ok(Evaluator {
            weights,
            part,
            batch,
            output,
            data: data.clone(),
            table,
            classes: network.classes(),
            count: data.count,
        })
    }

    /// Evaluates the network with its current parameters. `progress` receives the number of
    /// submitted images.
    ///
    /// # Errors
    /// [`Error::Data`] for a label that is not one of the network's classes; errors of the device.
    pub async fn run(
        &self,
        gpu: &Gpu,
        class_names: &[String],
        progress: &mut dyn FnMut(u64),
    ) -> Result<Evaluation> {
        if !cfg!(target_family = "wasm") {
            pipelines::prepare(gpu, &[&self.weights, &self.part])?;
        }
        self.batch.write_table(gpu, &self.table);
        // The weights are in the first part's submission, and what is read back in the last one's:
        // few images are one submission.
        let mut encoder = gpu.encoder();
        self.weights.encode(gpu, &mut encoder)?;
        for (index, record) in self.table.iter().enumerate() {
            if index > 0 {
                gpu.submit(std::mem::replace(&mut encoder, gpu.encoder()))?;
            }
            self.data.stage(gpu, std::slice::from_ref(record), false);
            self.part.encode(gpu, &mut encoder)?;
            progress(u64::from(record.position + record.count));
        }
        let count = u64::from(self.count);
        let ranges = [(&self.output, 0, 16 * count), (&self.data.labels, 0, 4 * count)];
        let words: Vec<u32> = Staging::gather_behind(gpu, encoder, &ranges)?.finish(gpu).await?;
        let (rows, labels) = words.split_at(4 * self.count as usize);
        let rows: &[[f32; 4]] = bytemuck::cast_slice(rows);
        let predictions = rows
            .iter()
            .zip(labels)
            .map(|(&[loss, class, probability, label_probability], &label)| Prediction {
                class: class as u32,
                label,
                probability,
                label_probability,
                loss,
            })
            .collect();
        Evaluation::new(predictions, self.classes, class_names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evaluation(pairs: &[(u32, u32)]) -> Result<Evaluation> {
        let of = |&(label, class)| Prediction {
            class,
            label,
            probability: 0.5,
            label_probability: 0.25,
            loss: 2.0,
        };
        Evaluation::new(pairs.iter().map(of).collect(), 3, &["zero".into()])
    }

    #[test]
    fn images_count_where_their_label_and_prediction_meet() {
        let made = evaluation(&[(0, 0), (2, 1), (2, 2), (2, 2)]).unwrap();
        assert_eq!(made.confusion, [[1, 0, 0], [0, 0, 0], [0, 1, 2]]);
        assert_eq!((made.accuracy, made.loss, made.images), (0.75, 2.0, 4));
        let of = |class: usize| {
            (
                &*made.per_class[class].name,
                made.per_class[class].accuracy,
                made.per_class[class].precision,
            )
        };
        assert_eq!(
            [of(0), of(1), of(2)],
            [
                ("zero", Some(1.0), Some(1.0)),
                ("1", None, Some(0.0)),
                ("2", Some(2.0 / 3.0), Some(1.0))
            ]
        );
    }

    #[test]
    fn many_classes_have_no_confusion_matrix() {
        let prediction = Prediction {
            class: 65_535,
            label: 65_535,
            probability: 0.5,
            label_probability: 0.5,
            loss: 0.7,
        };
        let made = Evaluation::new(vec![prediction], 65_536, &[]).unwrap();
        assert_eq!((made.accuracy, made.confusion.len()), (1.0, 0));
        assert_eq!(made.per_class[65_535].precision, Some(1.0));
    }

    #[test]
    fn a_label_beyond_the_classes_is_an_error() {
        let error = evaluation(&[(1, 1), (3, 2)]).unwrap_err();
        assert!(
            matches!(&error, Error::Data(reason) if reason.starts_with("label 3 of image 1 is not \
                one of the model's 3 classes"))
        );
        let error = evaluation(&[(1, 7)]).unwrap_err();
        assert!(
            matches!(&error, Error::Data(reason) if reason.starts_with("predicted class 7 of image \
                0")),
            "{error}"
        );
    }
}
