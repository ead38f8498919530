//! Clarity: how concentrated a map is, measured by the Gini coefficient (sparseness) and the
//! entropy (complexity) of |φ|.

use serde::{Deserialize, Serialize};

use super::{
    Metric, Scores,
    maps::{PART, Part, images_of},
    ranking::Ranking,
};
use crate::{
    Result,
    config::Shape,
    gpu::{Buffer, Gpu, Launcher, Recording},
    kernels::{MapClarity, RankOrder},
};

/// The concentration of one map.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Clarity {
    /// Gini coefficient: 0 if all values are equal, near 1 if one value dominates.
    pub gini: f32,
    /// Entropy in nats: ln n if all values are equal, 0 if only one value is not 0.
    pub entropy: f32,
}

/// A recorded pass.
pub struct ClarityPass {
    shape: Shape,
    part: Part,
    maps: Buffer,
    output: Buffer,
    recording: Recording,
}

impl ClarityPass {
    /// Records the pass over up to `most` maps of `shape` at a time.
    ///
    /// # Errors
    /// Errors of the device.
    pub fn record(gpu: &Gpu, shape: Shape, most: u32) -> Result<ClarityPass> {
        let part = Part::new(gpu, most)?;
        let maps = gpu.buffer("maps", u64::from(most) * u64::from(shape.elements()) * 4)?;
        let output = gpu.buffer("clarity", u64::from(most) * 16)?;
        let order = RankOrder { planes: 1, magnitude: true, descending: false };
        let ranking = Ranking::new(gpu, most, shape.elements(), order)?;
        let mut recording = Recording::new();
        ranking.record(gpu, &mut recording, part.range(), &maps)?;
        let clarity = MapClarity {
            images: part.range(),
            values: &maps,
            ranks: &ranking.ranks,
            clarity: &output,
            count: shape.elements(),
        };
        clarity.record(gpu, &mut recording, "map clarity")?;
        Ok(ClarityPass { shape, part, maps, output, recording })
    }

    /// The clarity of every map, [N, C, H, W].
    ///
    /// # Errors
    /// Errors of the device.
    pub async fn run(&self, gpu: &Gpu, maps: &[f32]) -> Result<Vec<Clarity>> {
        images_of(maps, self.shape)?;
        let size = self.shape.elements() as usize;
        let mut result = Vec::new();
        for part in maps.chunks(self.part.most as usize * size) {
            let count = (part.len() / size) as u32;
            gpu.write(&self.maps, 0, part);
            self.part.set(gpu, count);
            self.recording.submit(gpu)?;
            let rows: Vec<[f32; 4]> = gpu.read(&self.output, 0, u64::from(count)).await?;
            result.extend(rows.iter().map(|&[gini, entropy, ..]| Clarity { gini, entropy }));
        }
        Ok(result)
    }
}

/// The clarity of every map, [N, C, H, W].
///
/// # Errors
/// Errors of the device.
pub async fn clarity(gpu: &Gpu, shape: Shape, maps: &[f32]) -> Result<Vec<Clarity>> {
    let most = images_of(maps, shape)?.clamp(1, PART);
    ClarityPass::record(gpu, shape, most)?.run(gpu, maps).await
}

/// Adds to `scores` the means of `clarities`.
pub fn add_clarities(scores: &mut Scores, clarities: &[Clarity], seed: u64) {
    scores.add(Metric::Gini, clarities.iter().map(|clarity| f64::from(clarity.gini)), seed);
    scores.add(Metric::Entropy, clarities.iter().map(|clarity| f64::from(clarity.entropy)), seed);
}
