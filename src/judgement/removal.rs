//! Removes the most salient features of images, more in each round, and runs the network on the
//! result.

use serde::{Deserialize, Serialize};

use super::{Subject, ranking::Ranking, subject::Stage};
use crate::{
    Result,
    config::{MaskFill, MaskRank, Shape},
    gpu::{Buffer, Gpu, Launcher, Recording},
    kernels::{ImputeLinear, LANES, MaskRanked, RankOrder},
    layout::{RANGE_STRIDE, groups, to_nchw},
    sgt::{Masking, features_of, record_classification_of},
};

/// Standard deviation of the noise of [`Fill::Road`], in units of the normalised image (Rong et al.
/// 2022).
const ROAD_NOISE: f32 = 0.01;

/// The value that replaces a removed feature.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "kebab-case")]
pub enum Fill {
    /// The image's pixel (0, 0), per channel: the value of the reference code, and the default of
    /// the accuracy drop (paper IV-C).
    #[default]
    Corner,
    /// 0 after normalisation.
    Zero,
    /// The mean of the image, per channel.
    Mean,
    /// Independent random values from U(min, max) of the image.
    Uniform,
    /// Gaussian blur of the image, σ = 2 pixels.
    Blur,
    /// Noisy linear imputation from the neighbours (ROAD).
    Road,
}

impl Fill {
    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Fill::Corner => "corner",
            Fill::Zero => "zero",
            Fill::Mean => "mean",
            Fill::Uniform => "uniform",
            Fill::Blur => "blur",
            Fill::Road => "road",
        }
    }

    /// The fill in words, for captions.
    pub fn described(self) -> &'static str {
        match self {
            Fill::Corner => "the image's corner pixel (0, 0)",
            Fill::Zero => "0 after normalisation",
            Fill::Mean => "the image's mean",
            Fill::Uniform => "uniform noise between the image's least and largest value",
            Fill::Blur => "a Gaussian blur of the image (σ = 2 pixels)",
            Fill::Road => "a noisy linear imputation from their neighbours (ROAD)",
        }
    }

    /// The fill kernel that computes the values, or the initial guess.
    fn masking(self) -> MaskFill {
        match self {
            Fill::Corner => MaskFill::Corner,
            Fill::Zero => MaskFill::Zero,
            Fill::Mean | Fill::Road => MaskFill::Mean,
            Fill::Uniform => MaskFill::Uniform,
            Fill::Blur => MaskFill::Blur,
        }
    }
}

/// Number of features that a round removes, and its noise sample: `shaders/common/round.wgsl`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
pub(super) struct Round {
    /// Number of removed features, from the first of the ranking on.
    pub removed: u32,
    /// 1 removes all other features instead.
    pub inverted: u32,
    /// Index of the noise sample.
    pub sample: u32,
    /// Zero.
    pub padding: u32,
}

/// Uploads `rounds` into a uniform buffer, RANGE_STRIDE apart.
pub(super) fn upload_rounds(gpu: &Gpu, rounds: &[Round]) -> Result<Buffer> {
    let buffer = gpu.uniform("rounds", rounds.len() as u64 * RANGE_STRIDE)?;
    for (index, round) in rounds.iter().enumerate() {
        gpu.write(&buffer, index as u64 * RANGE_STRIDE, &[*round]);
    }
    Ok(buffer)
}

/// The output of the network for one image in one round.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Outcome {
    /// Predicted class.
    pub predicted: u32,
    /// Probability of the target class.
    pub probability: f32,
}

/// A recorded removal in rounds. A feature is a pixel, ranked by the magnitude of its attribution,
/// averaged over the channels.
pub(super) struct Removal<'a> {
    subject: Subject<'a>,
    stage: Stage,
    values: Buffer,
    rank: Recording,
    /// One recording per round, which removes the features.
    remove: Vec<Recording>,
    /// One recording per round, which runs the network on the result.
    classify: Vec<Recording>,
    outcomes: Buffer,
    outcome_stride: u64,
}

impl<'a> Removal<'a> {
    /// Records `rounds` of removal. `labels` are the classes whose probability is computed, instead
    /// of the true ones.
    pub fn record(
        subject: Subject<'a>,
        labels: Option<&[u32]>,
        fill: Fill,
        rounds: &[Round],
        seed: u64,
    ) -> Result<Removal<'a>> {
        let (gpu, shape, most) = (subject.gpu, subject.shape(), subject.most());
        let stage = Stage::record(&subject, labels, seed)?;
        let values = gpu.buffer("maps", u64::from(most) * u64::from(shape.elements()) * 4)?;
        let order = RankOrder { planes: shape.channels, magnitude: true, descending: true };
        let ranking = Ranking::new(gpu, most, shape.pixels(), order)?;
        let mut rank = Recording::new();
        ranking.record(gpu, &mut rank, stage.batch.clean(), &values)?;
        let masking = Masking::new(gpu, shape, most, 0.0, MaskRank::Abs, fill.masking())?;
        let workspace =
            (fill == Fill::Road).then(|| imputation_workspace(gpu, shape, most)).transpose()?;
        let uniforms = upload_rounds(gpu, rounds)?;
        let outcome_stride = (subject.images.len() as u64 * 16).next_multiple_of(RANGE_STRIDE);
        let outcomes =
            gpu.buffer("outcomes of the rounds", outcome_stride * rounds.len() as u64)?;
        let (mut remove, mut classify) = (Vec::new(), Vec::new());
        for index in 0..rounds.len() as u64 {
            let mut recording = Recording::new();
            let marks = MaskRanked {
                images: stage.batch.clean(),
                current: uniforms.range(index * RANGE_STRIDE, size_of::<Round>() as u64),
                positions: &ranking.positions,
                mask: &masking.mask,
                features: shape.pixels(),
                lanes: LANES,
            };
            marks.record(gpu, &mut recording, "mask ranked")?;
            masking.record_fill(gpu, &mut recording, &stage.batch, stage.network.input())?;
            if let Some(workspace) = &workspace {
                let imputation = ImputeLinear {
                    images: stage.batch.clean(),
                    current: &stage.batch.step,
                    mask: &masking.mask,
                    pixels: stage.network.input(),
                    workspace,
                    shape,
                    noise: ROAD_NOISE,
                    // A multiple of the number of iterations that conjugate gradients need to cross
                    // the image.
                    iterations: 100 + 4 * shape.height.max(shape.width),
                };
                imputation.record(gpu, &mut recording, "impute linear")?;
            }
            remove.push(recording);
            let mut recording = Recording::new();
            let masked = stage.batch.masked();
            stage.network.record_forward(gpu, &mut recording, masked, None)?;
            let output = outcomes.range(index * outcome_stride, outcome_stride);
            record_classification_of(
                gpu,
                &mut recording,
                &stage.network,
                &stage.batch,
                masked,
                output,
            )?;
            classify.push(recording);
        }
        Ok(Removal { subject, stage, values, rank, remove, classify, outcomes, outcome_stride })
    }

    /// The number of rounds.
    pub fn rounds(&self) -> usize {
        self.remove.len()
    }

    fn write_maps(&self, maps: &[f32], first: u32, count: u32) {
        let size = self.subject.shape().elements() as usize;
        self.subject.gpu.write(
            &self.values,
            0,
            &maps[first as usize * size..(first + count) as usize * size],
        );
    }

    /// The outcome of every image in every round for its map; `maps` is [N, C, H, W]. `progress`
    /// receives the number of finished images.
    pub async fn run(
        &self,
        maps: &[f32],
        progress: &mut dyn FnMut(u64),
    ) -> Result<Vec<Vec<Outcome>>> {
        let gpu = self.subject.gpu;
        self.stage.start(gpu)?;
        for record in &self.stage.table {
            self.write_maps(maps, record.position, record.count);
            self.stage.begin.submit(gpu)?;
            self.rank.submit(gpu)?;
            for (remove, classify) in self.remove.iter().zip(&self.classify) {
                remove.submit(gpu)?;
                classify.submit(gpu)?;
            }
            progress(u64::from(record.position + record.count));
        }
        let count = self.subject.images.len() as u64;
        let mut outcomes = Vec::new();
        for index in 0..self.rounds() as u64 {
            let rows: Vec<[f32; 4]> =
                gpu.read(&self.outcomes, index * self.outcome_stride / 16, count).await?;
            outcomes.push(
                rows.iter()
                    .map(|row| Outcome { predicted: row[1] as u32, probability: row[3] })
                    .collect(),
            );
        }
        Ok(outcomes)
    }

    /// The images after each round, [N, C, H, W], normalised, one list per round.
    async fn images(&self, maps: &[f32], progress: &mut dyn FnMut(u64)) -> Result<Vec<Vec<f32>>> {
        let (gpu, shape) = (self.subject.gpu, self.subject.shape());
        let per_image = u64::from(shape.pixels() * groups(shape.channels)) * 4;
        let mut images = vec![Vec::new(); self.rounds()];
        self.stage.start(gpu)?;
        for record in &self.stage.table {
            self.write_maps(maps, record.position, record.count);
            self.stage.begin.submit(gpu)?;
            self.rank.submit(gpu)?;
            let count = u64::from(record.count);
            for (remove, images) in self.remove.iter().zip(&mut images) {
                remove.submit(gpu)?;
                let left: Vec<f32> = gpu
                    .read(self.stage.network.input(), count * per_image, count * per_image)
                    .await?;
                images.extend(to_nchw(&left, shape));
            }
            progress(u64::from(record.position + record.count));
        }
        Ok(images)
    }
}

/// The images of `subject` without the given shares of their pixels, ranked by |attribution|: [N,
/// C, H, W], normalised, one list per share.
///
/// # Errors
/// Errors of the device.
pub async fn removed_images(
    subject: Subject<'_>,
    maps: &[f32],
    fill: Fill,
    shares: &[f64],
    seed: u64,
    progress: &mut dyn FnMut(u64),
) -> Result<Vec<Vec<f32>>> {
    let pixels = subject.shape().pixels();
    let rounds: Vec<Round> = shares
        .iter()
        .map(|&share| Round { removed: features_of(share, pixels), ..Round::default() })
        .collect();
    Removal::record(subject, None, fill, &rounds, seed)?.images(maps, progress).await
}

fn imputation_workspace(gpu: &Gpu, shape: Shape, most: u32) -> Result<Buffer> {
    gpu.buffer(
        "workspace of the imputation",
        3 * 16 * u64::from(most) * u64::from(shape.pixels() * groups(shape.channels)),
    )
}
