//! How models stand projected gradient descent (Madry et al. 2018, arXiv:1706.06083): accuracy on
//! test images that are changed by at most ε a pixel so that the loss grows. 20 steps of 2.5·ε/20
//! along the sign of ∂CE/∂x, from a random point of the ball; pixels stay in 0..1. The control has
//! the same ε with random signs: it differs in the direction alone.
//!
//! `cargo run --release --no-default-features --features gpu --example pgd -- DATASET IMAGES
//! EPSILONS MODEL…`, such as `pgd mnist 1000 0.1,0.2,0.3 runs/float runs/w2a2`. Prints a Markdown
//! table with Wilson's 95 % intervals.

use std::path::Path;

use saliq::{
    Error, Result,
    config::{PixelNormalization, QuantizationOverrides, Shape},
    data::{self, Dataset},
    gpu::{Buffer, Gpu, GpuOptions},
    judgement::wilson,
    layout::{from_nchw, padded, to_nchw},
    model::Model,
    random::{random_bits, random_key, uniform01},
    saliency::{ExplainedNetwork, Explainer, ImageSet, Method, MethodOptions, Output},
};

const STEPS: u32 = 20;
/// Images at once.
const GROUP: usize = 250;

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [dataset, images, epsilons, models @ ..] = &words[..] else {
        return Err(Error::Settings("pgd DATASET IMAGES EPSILONS MODEL…".into()));
    };
    let number = |text: &str| {
        let wrong = || Error::Settings(format!("`{text}` is not a number above 0").into());
        text.parse().ok().filter(|&number: &f32| number > 0.0).ok_or_else(wrong)
    };
    let count = number(images)? as usize;
    let epsilons: Vec<f32> = epsilons.split(',').map(number).collect::<Result<_>>()?;
    let dataset = data::load(dataset, None)?;
    let count = count.min(dataset.test.labels.len());
    let gpu = pollster::block_on(Gpu::new(&GpuOptions::default()))?;
    print!("| model | clean |");
    epsilons.iter().for_each(|epsilon| print!(" PGD ε = {epsilon} | random ε = {epsilon} |"));
    println!("\n| --- |{}", " ---: |".repeat(1 + 2 * epsilons.len()));
    for path in models {
        let model = Model::load(Path::new(path), &QuantizationOverrides::default())?;
        let attack = Attack::new(&gpu, &model)?;
        let share =
            |epsilon, way| pollster::block_on(attack.accuracy(&dataset, count, epsilon, way));
        let cell = |share: f64| {
            let interval = wilson(share, count as u64);
            let [low, high] = [interval.low, interval.high].map(|limit| 100.0 * limit);
            format!(" {:.1} ({low:.1}–{high:.1}) |", 100.0 * share)
        };
        print!("| {path} |{}", cell(share(0.0, Way::Random)?));
        for &epsilon in &epsilons {
            print!("{}", cell(share(epsilon, Way::Gradient)?));
            print!("{}", cell(share(epsilon, Way::Random)?));
        }
        println!();
    }
    Ok(())
}

/// What the changes of pixels follow.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    /// The gradient of the loss.
    Gradient,
    /// Nothing: each pixel is changed by ±ε.
    Random,
}

/// A model with the buffers of an attack.
struct Attack<'a> {
    gpu: &'a Gpu,
    normalization: PixelNormalization,
    shape: Shape,
    explainer: Explainer,
    images: ImageSet,
    /// ∂ log p(label) / ∂x: −∂CE/∂x.
    gradients: Buffer,
    logits: Buffer,
    predicted: Buffer,
}

impl<'a> Attack<'a> {
    fn new(gpu: &'a Gpu, model: &Model) -> Result<Attack<'a>> {
        let network = &model.config.network;
        let parameters = gpu.upload("parameters", &model.parameters)?;
        let explained = ExplainedNetwork {
            config: network,
            quantization: &model.config.quantization,
            parameters: &parameters,
        };
        let most = GROUP as u32;
        let options = MethodOptions { output: Output::LogSoftmax, ..MethodOptions::default() };
        let images = ImageSet::new(gpu, network.input, most, 0)?;
        let logits = u64::from(most) * u64::from(padded(network.classes)) * 4;
        Ok(Attack {
            gpu,
            normalization: model.normalization()?,
            shape: network.input,
            explainer: Explainer::new(gpu, explained, Method::Gradient, &options, most)?,
            gradients: images.maps(gpu)?,
            images,
            logits: gpu.buffer("logits", logits)?,
            predicted: gpu.buffer("predicted classes", u64::from(most) * 4)?,
        })
    }

    /// The share of the first `count` test images that is classified rightly, changed by at most
    /// `epsilon` a pixel.
    async fn accuracy(
        &self,
        dataset: &Dataset,
        count: usize,
        epsilon: f32,
        way: Way,
    ) -> Result<f64> {
        if dataset.shape != self.shape {
            return Err(Error::Settings("the model takes images of another shape".into()));
        }
        let (gpu, size) = (self.gpu, self.shape.elements() as usize);
        let explain = self.explainer.record(gpu, &self.images, &self.gradients)?;
        let classify =
            self.explainer.record_logits(gpu, &self.images, &self.logits, &self.predicted)?;
        let mut right = 0;
        for first in (0..count).step_by(GROUP) {
            let end = (first + GROUP).min(count);
            let (labels, group) = (&dataset.test.labels[first..end], (end - first) as u32);
            let clean: Vec<f32> = dataset.test.images[first * size..end * size]
                .iter()
                .map(|&pixel| f32::from(pixel) / 255.0)
                .collect();
            let mut changed: Vec<f32> = clean
                .iter()
                .enumerate()
                .map(|(at, &pixel)| {
                    let key = random_key(0, (first + at / size) as u32, 0);
                    let between = 2.0 * uniform01(random_bits(key, (at % size) as u32, 0, 0)[0]);
                    let part =
                        if way == Way::Random { (between - 1.0).signum() } else { between - 1.0 };
                    (pixel + epsilon * part).clamp(0.0, 1.0)
                })
                .collect();
            gpu.write(&self.images.classes, 0, labels);
            for _ in 0..if way == Way::Gradient { STEPS } else { 0 } {
                self.write(&changed);
                explain.run(gpu, group, &mut |_| {})?;
                let floats = self.gradients.size() / 4 / GROUP as u64 * u64::from(group);
                let maps = to_nchw(&gpu.read::<f32>(&self.gradients, 0, floats).await?, self.shape);
                let stride = 2.5 * epsilon / STEPS as f32;
                for ((own, &pixel), gradient) in changed.iter_mut().zip(&clean).zip(maps) {
                    // A gradient of 0 moves nothing; f32::signum would make it 1.
                    let sign = f32::from(gradient > 0.0) - f32::from(gradient < 0.0);
                    let moved = *own - stride * sign;
                    *own = moved.clamp(pixel - epsilon, pixel + epsilon).clamp(0.0, 1.0);
                }
            }
            self.write(&changed);
            classify.run(gpu, group, &mut |_| {})?;
            let predicted: Vec<u32> = gpu.read(&self.predicted, 0, u64::from(group)).await?;
            right += predicted.iter().zip(labels).filter(|(own, label)| own == label).count();
        }
        Ok(right as f64 / count as f64)
    }

    /// Gives the network `pixels` in 0..1, normalised.
    fn write(&self, pixels: &[f32]) {
        let normalised: Vec<f32> = pixels
            .iter()
            .enumerate()
            .map(|(at, &pixel)| {
                let (mean, deviation) = self.normalization.channel(self.shape.channel_of(at));
                (pixel - mean) / deviation
            })
            .collect();
        self.gpu.write(&self.images.pixels, 0, &from_nchw(&normalised, self.shape));
    }
}
