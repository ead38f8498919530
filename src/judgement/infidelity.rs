//! Infidelity (Yeh et al. 2019): E[(I·φ − (f(x) − f(x − I)))²] over noise I ~ N(0, σ²). It measures
//! how well the map predicts the effect of noise on the logit f. Maps that contain x − b as a
//! factor (b a baseline) predict the effect of x − b, so I·φ/(x − b) replaces I·φ, as in Captum;
//! where x = b, φ is used.

use super::{
    Subject,
    noise::{Noise, NoisyImages},
};
use crate::{
    Result,
    gpu::{Buffer, Launcher, Recording},
    kernels::{CompareMaps, GradientSum},
    layout::padded,
    saliency::{Baseline, Explainer, Method, MethodOptions},
};

/// The noise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct InfidelityOptions {
    /// Noise samples per image; the default is Captum's.
    pub samples: u32,
    /// Standard deviation σ, in units of the normalised image.
    pub deviation: f32,
    /// Seed of the noise.
    pub seed: u64,
}

impl Default for InfidelityOptions {
    fn default() -> Self {
        InfidelityOptions { samples: 10, deviation: 0.1, seed: 0 }
    }
}

/// A recorded infidelity.
pub struct Infidelity<'a> {
    subject: Subject<'a>,
    images: NoisyImages,
    /// Computes only the logits.
    explainer: Explainer,
    targets: Vec<u32>,
    values: Buffer,
    products: Buffer,
    multiply: Recording,
    logits: Buffer,
    predicted: Buffer,
}

impl<'a> Infidelity<'a> {
    /// Records the passes for the logits of `targets`.
    ///
    /// # Errors
    /// Errors of the device.
    pub fn record(
        subject: Subject<'a>,
        targets: &[u32],
        options: &InfidelityOptions,
    ) -> Result<Infidelity<'a>> {
        let (gpu, shape) = (subject.gpu, subject.shape());
        let noise = Noise {
            scale: options.deviation,
            normal: true,
            added: false,
            samples: options.samples,
            seed: options.seed,
        };
        let images = NoisyImages::record(&subject, targets, noise)?;
        let most = images.clean.most;
        let parameters = subject.parameters()?;
        let settings = MethodOptions { batch_size: subject.batch_size, ..MethodOptions::default() };
        let explainer =
            Explainer::new(gpu, subject.explained(&parameters), Method::Random, &settings, most)?;
        let values = gpu.buffer("maps", u64::from(most) * u64::from(shape.elements()) * 4)?;
        let products = gpu.buffer("products of noise and maps", u64::from(most) * 16)?;
        let mut multiply = Recording::new();
        let product = CompareMaps {
            images: images.batch.clean(),
            a: &values,
            b: &images.noise,
            similarity: &products,
            values: shape.elements(),
        };
        product.record(gpu, &mut multiply, "compare maps")?;
        let stride = u64::from(padded(subject.model.config.network.classes));
        Ok(Infidelity {
            subject,
            explainer,
            targets: targets.to_vec(),
            values,
            products,
            multiply,
            logits: gpu.buffer("logits", u64::from(most) * stride * 4)?,
            predicted: gpu.buffer("predicted classes", u64::from(most) * 4)?,
            images,
        })
    }

    /// The logit of each of `targets` after the last pass.
    async fn target_logits(&self, targets: &[u32]) -> Result<Vec<f64>> {
        let stride = padded(self.subject.model.config.network.classes) as usize;
        let rows: Vec<f32> =
            self.subject.gpu.read(&self.logits, 0, (targets.len() * stride) as u64).await?;
        Ok(rows
            .chunks_exact(stride)
            .zip(targets)
            .map(|(row, &class)| f64::from(row[class as usize]))
            .collect())
    }

    /// The infidelity of every map, [N, C, H, W], of `method` with `settings`. `progress` receives
    /// the number of finished images.
    ///
    /// # Errors
    /// Errors of the device.
    pub async fn run_of(
        &self,
        method: Method,
        settings: &MethodOptions,
        maps: &[f32],
        progress: &mut dyn FnMut(u64),
    ) -> Result<Vec<f64>> {
        let baseline = match method.gradient_sum() {
            GradientSum::TimesInput => &Baseline::Value(0.0),
            GradientSum::FromBaseline | GradientSum::FromRandomBaselines => &settings.baseline,
            GradientSum::Mean | GradientSum::MeanSquare | GradientSum::Variance => {
                return self.run(maps, progress).await;
            }
        };
        let (normalization, shape) = (self.subject.normalization, self.subject.shape());
        let elements = shape.elements() as usize;
        let images = self.subject.images.images.chunks_exact(elements);
        let rates: Vec<f32> = images
            .zip(maps.chunks_exact(elements))
            .enumerate()
            .flat_map(|(number, (image, map))| {
                let start = baseline.image(number, shape);
                let values = image.iter().zip(map).zip(start).enumerate();
                values.map(move |(at, ((&byte, &value), start))| {
                    let pixel = normalization.apply(f32::from(byte) / 255.0, shape.channel_of(at));
                    let distance = pixel - start;
                    if distance == 0.0 { value } else { value / distance }
                })
            })
            .collect();
        self.run(&rates, progress).await
    }

    /// The infidelity of every map, [N, C, H, W], whose values are the effect of a unit of each
    /// pixel. `progress` receives the number of finished images.
    ///
    /// # Errors
    /// Errors of the device.
    pub async fn run(&self, maps: &[f32], progress: &mut dyn FnMut(u64)) -> Result<Vec<f64>> {
        let gpu = self.subject.gpu;
        let size = self.subject.shape().elements() as usize;
        let of_clean =
            self.explainer.record_logits(gpu, &self.images.clean, &self.logits, &self.predicted)?;
        let of_noisy =
            self.explainer.record_logits(gpu, &self.images.noisy, &self.logits, &self.predicted)?;
        let mut result = Vec::new();
        self.images.start(gpu);
        for record in &self.images.table {
            let place = record.position as usize..(record.position + record.count) as usize;
            let targets = &self.targets[place.clone()];
            gpu.write(&self.values, 0, &maps[place.start * size..place.end * size]);
            self.images.begin(gpu, record)?;
            of_clean.run(gpu, record.count, &mut |_| {})?;
            let clean = self.target_logits(targets).await?;
            let mut sums = vec![0.0; clean.len()];
            for sample in self.images.samples() {
                sample.submit(gpu)?;
                of_noisy.run(gpu, record.count, &mut |_| {})?;
                let noisy = self.target_logits(targets).await?;
                self.multiply.submit(gpu)?;
                let products: Vec<[f32; 4]> =
                    gpu.read(&self.products, 0, u64::from(record.count)).await?;
                for (image, sum) in sums.iter_mut().enumerate() {
                    *sum += (f64::from(products[image][3]) - (clean[image] - noisy[image])).powi(2);
                }
            }
            result.extend(sums.iter().map(|sum| sum / self.images.samples().len().max(1) as f64));
            progress(place.end as u64);
        }
        Ok(result)
    }
}
