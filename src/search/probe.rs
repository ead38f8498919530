//! Measures a model on a few images: accuracy, loss, and how far its maps are those of the float
//! network. The same forward pass serves both.

use std::cell::Cell;

use serde::Serialize;

use crate::{
    Result,
    batch::{Batch, GatherOptions, ResidentData},
    config::PixelNormalization,
    gpu::{Gpu, Recording},
    judgement::{AlignmentOptions, Comparison},
    kernels::Scalar,
    layout::{StepRecord, groups, to_nchw},
    model::Model,
    nn::{Gradients, Layers, Network},
    sgt::{record_classification_of, record_saliency_seed},
};

/// Most images of a pass.
const PART: u32 = 128;

/// What was measured of a model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Measured {
    /// Share of images classified correctly.
    pub accuracy: f64,
    /// Mean cross entropy.
    pub loss: f64,
    /// Mean rank correlation of gradient maps of the true class with the float network's.
    pub alignment: f64,
    /// Mean cosine of these maps.
    pub cosine: f64,
}

impl Measured {
    /// The mean of several; 0 of none.
    pub fn mean<'a>(several: impl IntoIterator<Item = &'a Measured>) -> Measured {
        let own: Vec<&Measured> = several.into_iter().collect();
        let mean = |of: fn(&Measured) -> f64| {
            own.iter().map(|measured| of(measured)).sum::<f64>() / own.len().max(1) as f64
        };
        Measured {
            accuracy: mean(|own| own.accuracy),
            loss: mean(|own| own.loss),
            alignment: mean(|own| own.alignment),
            cosine: mean(|own| own.cosine),
        }
    }
}

/// Images, and the float network's maps of the first of them.
pub struct Probe<'a> {
    gpu: &'a Gpu,
    data: &'a ResidentData,
    normalization: PixelNormalization,
    map_images: u32,
    maps: Vec<f32>,
    comparison: Comparison,
    /// What the float network itself does on the images.
    pub float: Measured,
    /// Images that went forward and back so far.
    work: Cell<[u64; 2]>,
}

/// Results of a pass over all images.
struct Pass {
    accuracy: f64,
    loss: f64,
    /// [image, channel, row, column].
    maps: Vec<f32>,
}

impl<'a> Probe<'a> {
    /// Runs the `float` network on `data`, with maps of the first `map_images` images.
    ///
    /// # Errors
    /// Errors of the network and the device.
    pub async fn new(
        gpu: &'a Gpu,
        float: &Model,
        (data, normalization): (&'a ResidentData, PixelNormalization),
        map_images: u32,
    ) -> Result<Probe<'a>> {
        let map_images = map_images.clamp(1, data.count.max(1));
        let options = AlignmentOptions::default();
        let comparison = Comparison::record(gpu, data.shape, map_images.min(PART), &options)?;
        let mut probe = Probe {
            gpu,
            data,
            normalization,
            map_images,
            maps: Vec::new(),
            comparison,
            float: Measured::default(),
            work: Cell::default(),
        };
        let Pass { accuracy, loss, maps } = probe.pass(float).await?;
        probe.float = Measured { accuracy, loss, alignment: 1.0, cosine: 1.0 };
        probe.maps = maps;
        Ok(probe)
    }

    /// Measures `model`.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub async fn measure(&self, model: &Model) -> Result<Measured> {
        let Pass { accuracy, loss, maps } = self.pass(model).await?;
        let alignments = self.comparison.run(self.gpu, &self.maps, &maps).await?;
        // A map of zeros is like no other.
        let mean = |value: fn(&crate::judgement::Alignment) -> f32| {
            let sum: f64 = alignments
                .iter()
                .map(|own| f64::from(value(own)))
                .filter(|value| value.is_finite())
                .sum();
            sum / alignments.len().max(1) as f64
        };
        let (alignment, cosine) = (mean(|own| own.spearman), mean(|own| own.cosine));
        Ok(Measured { accuracy, loss, alignment, cosine })
    }

    /// Images that went forward and back so far, in forward passes of all images: a pass back to
    /// the input is as much work as one forward.
    pub fn forward_equivalents(&self) -> f64 {
        let [forward, back] = self.work.get();
        (forward + back) as f64 / f64::from(self.data.count.max(1))
    }

    async fn pass(&self, model: &Model) -> Result<Pass> {
        let (gpu, data) = (self.gpu, self.data);
        let most = PART.min(self.map_images);
        let parameters = gpu.upload("parameters", &model.parameters)?;
        let own = &model.config;
        let slots = (most, Layers::Joined);
        let network = Network::for_attribution(
            gpu,
            &own.network,
            &own.quantization,
            slots,
            true,
            &parameters,
        )?;
        let table = StepRecord::in_file_order(data.count, most, 0);
        let batch = Batch::new(gpu, most, false, table.len() as u64)?;
        let rows = gpu.buffer("predictions", u64::from(data.count) * 16)?;
        let (mut weights, mut forward, mut back) =
            (Recording::new(), Recording::new(), Recording::new());
        network.record_weights(gpu, &mut weights)?;
        batch.record_begin(gpu, &mut forward)?;
        let gather = GatherOptions::in_file_order(self.normalization);
        batch.record_gather(gpu, &mut forward, data, &gather, network.input())?;
        network.record_forward(gpu, &mut forward, batch.clean(), None)?;
        let range = batch.clean();
        record_classification_of(gpu, &mut forward, &network, &batch, range, (&rows).into())?;
        let scalar = Scalar::LogitLabel;
        record_saliency_seed(gpu, &mut back, &network, range, &batch.labels, scalar)?;
        let map = network.record_backward(gpu, &mut back, range, None, Gradients::Input)?;
        let of_image = u64::from(data.shape.pixels() * groups(data.shape.channels)) * 4;

        batch.write_table(gpu, &table);
        weights.submit(gpu)?;
        let mut maps = Vec::new();
        for record in &table {
            data.stage(gpu, std::slice::from_ref(record), false);
            forward.submit(gpu)?;
            let [forwards, backs] = self.work.get();
            let mut images = 0;
            if record.position < self.map_images {
                back.submit(gpu)?;
                images = record.count.min(self.map_images - record.position);
                let count = u64::from(images) * of_image;
                let values: Vec<f32> = gpu.read(map.buffer(), map.offset() / 4, count).await?;
                maps.extend(to_nchw(&values, data.shape));
                images = record.count;
            }
            self.work.set([forwards + u64::from(record.count), backs + u64::from(images)]);
        }
        let rows: Vec<[f32; 4]> = gpu.read(&rows, 0, u64::from(data.count)).await?;
        let labels: Vec<u32> = gpu.read(&data.labels, 0, u64::from(data.count)).await?;
        let correct = rows.iter().zip(&labels).filter(|(row, label)| row[1] as u32 == **label);
        let count = f64::from(data.count.max(1));
        let accuracy = correct.count() as f64 / count;
        let loss = rows.iter().map(|row| f64::from(row[0])).sum::<f64>() / count;
        Ok(Pass { accuracy, loss, maps })
    }
}
