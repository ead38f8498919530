//! Alignment: the similarity of the maps of two models on the same images.

use serde::{Deserialize, Serialize};

use super::{
    Metric, Scores, earth_mover_distance,
    maps::{PART, Part, images_of},
    ranking::Ranking,
};
use crate::{
    Error, Result,
    config::Shape,
    gpu::{Buffer, Gpu, Launcher, Recording},
    kernels::{CompareMaps, RankOrder, StructuralSimilarity, TopOverlap},
    sgt::features_of,
};

/// Largest window of the structural similarity.
const WINDOW: u32 = 11;

/// Which similarities to compute.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AlignmentOptions {
    /// Share of the features that `top_overlap` compares.
    pub top: f64,
    /// Use |φ| instead of φ for the rank correlation.
    pub magnitude: bool,
    /// Also compute the exact earth mover's distance; it runs on the CPU and is slow.
    pub earth_mover: bool,
}

impl Default for AlignmentOptions {
    fn default() -> Self {
        AlignmentOptions { top: 0.1, magnitude: false, earth_mover: false }
    }
}

/// The similarity of two maps of one image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Alignment {
    /// Spearman's rank correlation, ties with their average rank.
    pub spearman: f32,
    /// Pearson's correlation.
    pub pearson: f32,
    /// Cosine similarity.
    pub cosine: f32,
    /// Structural similarity of the maps, each divided by its largest magnitude (Wang et al. 2004).
    pub ssim: f32,
    /// Intersection over union of the pixels of largest |φ|.
    pub top_overlap: f32,
    /// Earth mover's distance of |φ|, in pixels, if requested.
    pub earth_mover: Option<f64>,
}

/// A recorded comparison of two sets of maps.
pub struct Comparison {
    shape: Shape,
    part: Part,
    maps: [Buffer; 2],
    recording: Recording,
    of_values: Buffer,
    of_ranks: Buffer,
    ssim: Buffer,
    overlap: Buffer,
}

impl Comparison {
    /// Records the comparison of up to `most` pairs of maps of `shape` at a time.
    ///
    /// # Errors
    /// Errors of the device.
    pub fn record(
        gpu: &Gpu,
        shape: Shape,
        most: u32,
        options: &AlignmentOptions,
    ) -> Result<Comparison> {
        let part = Part::new(gpu, most)?;
        let range = part.range();
        let elements = shape.elements();
        let map = || gpu.buffer("maps", u64::from(most) * u64::from(elements) * 4);
        let maps = [map()?, map()?];
        let vectors = || gpu.buffer("similarity", u64::from(most) * 16);
        let (of_values, of_ranks, ssim, overlap) = (vectors()?, vectors()?, vectors()?, vectors()?);
        let by_value = RankOrder { planes: 1, magnitude: options.magnitude, descending: false };
        let by_salience = RankOrder { planes: shape.channels, magnitude: true, descending: true };
        let rankings = |features, order| -> Result<[Ranking; 2]> {
            Ok([
                Ranking::new(gpu, most, features, order)?,
                Ranking::new(gpu, most, features, order)?,
            ])
        };
        let values = rankings(elements, by_value)?;
        let salience = rankings(shape.pixels(), by_salience)?;
        let mut recording = Recording::new();
        for (index, map) in maps.iter().enumerate() {
            values[index].record(gpu, &mut recording, range, map)?;
            salience[index].record(gpu, &mut recording, range, map)?;
        }
        let [a, b] = &maps;
        let values_alike =
            CompareMaps { images: range, a, b, similarity: &of_values, values: elements };
        values_alike.record(gpu, &mut recording, "compare maps")?;
        let [a_ranks, b_ranks] = [&values[0].ranks, &values[1].ranks];
        let ranks_alike =
            CompareMaps { a: a_ranks, b: b_ranks, similarity: &of_ranks, ..values_alike };
        ranks_alike.record(gpu, &mut recording, "compare ranks")?;
        let leading = TopOverlap {
            images: range,
            a: &salience[0].positions,
            b: &salience[1].positions,
            overlap: &overlap,
            features: shape.pixels(),
            k: features_of(options.top, shape.pixels()).max(1),
        };
        leading.record(gpu, &mut recording, "top overlap")?;
        let fits = shape.height.min(shape.width).min(WINDOW);
        let window = fits - (fits + 1) % 2;
        let structure =
            StructuralSimilarity { images: range, a, b, similarity: &ssim, shape, window };
        structure.record(gpu, &mut recording, "structural similarity")?;
        Ok(Comparison { shape, part, maps, recording, of_values, of_ranks, ssim, overlap })
    }

    /// Compares the n-th map of `reference` with the n-th of `maps`, both [N, C, H, W].
    ///
    /// # Errors
    /// [`Error::Data`] if their numbers differ; errors of the device.
    pub async fn run(&self, gpu: &Gpu, reference: &[f32], maps: &[f32]) -> Result<Vec<Alignment>> {
        if reference.len() != maps.len() {
            return Err(Error::Data(format!(
                "maps of {} and of {} values cannot be compared",
                reference.len(),
                maps.len()
            )));
        }
        let images = images_of(maps, self.shape)?;
        let size = self.shape.elements() as usize;
        let mut result = Vec::new();
        for first in (0..images).step_by(self.part.most as usize) {
            let count = self.part.most.min(images - first);
            let place = first as usize * size..(first + count) as usize * size;
            gpu.write(&self.maps[0], 0, &reference[place.clone()]);
            gpu.write(&self.maps[1], 0, &maps[place]);
            self.part.set(gpu, count);
            self.recording.submit(gpu)?;
            let count = u64::from(count);
            let values: Vec<[f32; 4]> = gpu.read(&self.of_values, 0, count).await?;
            let ranks: Vec<[f32; 4]> = gpu.read(&self.of_ranks, 0, count).await?;
            let ssim: Vec<f32> = gpu.read(&self.ssim, 0, count).await?;
            let overlap: Vec<f32> = gpu.read(&self.overlap, 0, count).await?;
            result.extend((0..count as usize).map(|image| Alignment {
                spearman: ranks[image][0],
                pearson: values[image][0],
                cosine: values[image][1],
                ssim: ssim[image],
                top_overlap: overlap[image],
                earth_mover: None,
            }));
        }
        Ok(result)
    }
}

/// Compares the n-th map of `reference` with the n-th of `maps`, both [N, C, H, W].
///
/// # Errors
/// [`Error::Data`] if their numbers differ; errors of the device.
pub async fn alignment(
    gpu: &Gpu,
    shape: Shape,
    reference: &[f32],
    maps: &[f32],
    options: &AlignmentOptions,
    progress: &mut dyn FnMut(u64),
) -> Result<Vec<Alignment>> {
    let most = images_of(maps, shape)?.clamp(1, PART);
    let mut alignments =
        Comparison::record(gpu, shape, most, options)?.run(gpu, reference, maps).await?;
    if options.earth_mover {
        let size = shape.elements() as usize;
        let pairs = reference.chunks_exact(size).zip(maps.chunks_exact(size));
        for (number, (alignment, (a, b))) in alignments.iter_mut().zip(pairs).enumerate() {
            alignment.earth_mover = Some(earth_mover_distance(a, b, shape));
            progress(number as u64 + 1);
        }
    }
    Ok(alignments)
}

/// Adds to `scores` the means of `alignments`.
pub fn add_alignments(scores: &mut Scores, alignments: &[Alignment], seed: u64) {
    let mut add = |metric, value: fn(&Alignment) -> f32| {
        scores.add(metric, alignments.iter().map(|alignment| f64::from(value(alignment))), seed);
    };
    add(Metric::Spearman, |alignment| alignment.spearman);
    add(Metric::Pearson, |alignment| alignment.pearson);
    add(Metric::Cosine, |alignment| alignment.cosine);
    add(Metric::Ssim, |alignment| alignment.ssim);
    add(Metric::TopOverlap, |alignment| alignment.top_overlap);
    if alignments.iter().any(|alignment| alignment.earth_mover.is_some()) {
        scores.add(
            Metric::EarthMover,
            alignments.iter().filter_map(|alignment| alignment.earth_mover),
            seed,
        );
    }
}
