//! Max-sensitivity (Yeh et al. 2019): the largest ‖φ(x + δ) − φ(x)‖₂ / ‖φ(x)‖₂ over noise δ,
//! uniform in [−r, r]. It measures how much a map changes under noise that a person does not see.

use super::{
    Subject,
    noise::{Noise, NoisyImages},
};
use crate::{
    Result,
    gpu::{Buffer, Launcher, Recording},
    kernels::CompareMaps,
    layout::padded,
    saliency::{Explainer, Method, MethodOptions},
};

/// The noise; the defaults are Captum's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SensitivityOptions {
    /// Noise samples per image.
    pub samples: u32,
    /// Largest noise r, in units of the normalised image.
    pub radius: f32,
    /// Seed of the noise.
    pub seed: u64,
}

impl Default for SensitivityOptions {
    fn default() -> Self {
        SensitivityOptions { samples: 10, radius: 0.02, seed: 0 }
    }
}

/// A recorded max-sensitivity.
pub struct MaxSensitivity<'a> {
    subject: Subject<'a>,
    images: NoisyImages,
    explainer: Explainer,
    maps: [Buffer; 2],
    distances: Buffer,
    compare: Recording,
}

impl<'a> MaxSensitivity<'a> {
    /// Records `method` for the logits of the classes `targets`.
    ///
    /// # Errors
    /// Errors of the device; [`crate::Error::Settings`] if the method cannot explain the network.
    pub fn record(
        subject: Subject<'a>,
        method: Method,
        settings: &MethodOptions,
        targets: &[u32],
        options: &SensitivityOptions,
    ) -> Result<MaxSensitivity<'a>> {
        let (gpu, shape) = (subject.gpu, subject.shape());
        let noise = Noise {
            scale: options.radius,
            normal: false,
            added: true,
            samples: options.samples,
            seed: options.seed,
        };
        let images = NoisyImages::record(&subject, targets, noise)?;
        let parameters = subject.parameters()?;
        let explainer = Explainer::new(
            gpu,
            subject.explained(&parameters),
            method,
            settings,
            images.clean.most,
        )?;
        let maps = [images.clean.maps(gpu)?, images.noisy.maps(gpu)?];
        let distances = gpu.buffer("distances of maps", u64::from(images.clean.most) * 16)?;
        let mut compare = Recording::new();
        // The zeros in the padding of the channels do not change any distance.
        let values = shape.pixels() * padded(shape.channels);
        let distance = CompareMaps {
            images: images.batch.clean(),
            a: &maps[0],
            b: &maps[1],
            similarity: &distances,
            values,
        };
        distance.record(gpu, &mut compare, "compare maps")?;
        Ok(MaxSensitivity { subject, images, explainer, maps, distances, compare })
    }

    /// Number of forward passes of a run, for progress.
    pub fn work(&self) -> u64 {
        let maps = self.images.samples().len() as u64 + 1;
        maps * u64::from(self.explainer.samples()) * self.subject.images.len() as u64
    }

    /// The max-sensitivity of every image. `progress` receives the finished part of [`Self::work`].
    ///
    /// # Errors
    /// Errors of the device.
    pub async fn run(&self, progress: &mut dyn FnMut(u64)) -> Result<Vec<f64>> {
        let gpu = self.subject.gpu;
        let clean = self.explainer.record(gpu, &self.images.clean, &self.maps[0])?;
        let noisy = self.explainer.record(gpu, &self.images.noisy, &self.maps[1])?;
        let mut result = Vec::new();
        let mut done = 0;
        self.images.start(gpu);
        for record in &self.images.table {
            let share = u64::from(record.count) * u64::from(self.explainer.samples());
            self.images.begin(gpu, record)?;
            clean.run(gpu, record.count, &mut |part| progress(done + part))?;
            done += share;
            let mut largest = vec![0.0f64; record.count as usize];
            for sample in self.images.samples() {
                sample.submit(gpu)?;
                noisy.run(gpu, record.count, &mut |part| progress(done + part))?;
                done += share;
                self.compare.submit(gpu)?;
                let distances: Vec<[f32; 4]> =
                    gpu.read(&self.distances, 0, u64::from(record.count)).await?;
                for (largest, distance) in largest.iter_mut().zip(distances) {
                    // A NaN stays NaN, because a map with NaN is not stable.
                    let distance = f64::from(distance[2]);
                    if !largest.is_nan() && (distance.is_nan() || distance > *largest) {
                        *largest = distance;
                    }
                }
            }
            result.extend(largest);
        }
        Ok(result)
    }
}
