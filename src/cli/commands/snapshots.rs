//! Writes the results of `--snapshot-every` into a run folder: saliency maps of a few test images
//! during training, as tensors and as a figure.

use std::path::{Path, PathBuf};

use super::explain::unit_pixels;
use crate::{
    Result,
    data::Dataset,
    files::{remove_old, write_atomically},
    model::{Tensor, TensorFile},
    report::{ColorMap, Filmstrip},
    train::{Outcome, Snapshot, Start},
};

/// The maps, [snapshot, image, channel, row, column], with the steps, the images and their labels.
const TENSORS_FILE: &str = "snapshots.safetensors";
/// The same maps as a figure.
const PICTURE_FILE: &str = "snapshots.png";

/// The figure as PNG: one row per image, one column per snapshot.
pub(super) fn picture(
    title: &str,
    dataset: &Dataset,
    images: &[usize],
    snapshots: &[Snapshot],
) -> Result<Vec<u8>> {
    let shown = dataset.test.select(images, dataset.shape);
    let filmstrip = Filmstrip {
        title,
        shape: dataset.shape,
        images: &unit_pixels(&shown),
        labels: &shown.labels,
        class_names: &dataset.class_names,
        frames: snapshots
            .iter()
            .map(|snapshot| (snapshot.step, snapshot.saliency.clone()))
            .collect(),
        colormap: ColorMap::Diverging,
    };
    filmstrip.png()
}

/// Writes a run's snapshots into its folder, after those of the run before it was resumed; returns
/// the figure's path, if there are any.
pub(super) fn write(
    folder: &Path,
    dataset: &Dataset,
    outcome: &Outcome,
    start: Start,
) -> Result<Option<PathBuf>> {
    let (tensors, drawn) = (folder.join(TENSORS_FILE), folder.join(PICTURE_FILE));
    if outcome.snapshots.is_empty() {
        // Snapshots of a replaced run would be mistaken for those of this run.
        if start != Start::Resume {
            remove_old(&tensors)?;
            remove_old(&drawn)?;
        }
        return Ok(Some(drawn).filter(|drawn| drawn.exists()));
    }
    let size = outcome.snapshot_images.len() * dataset.shape.elements() as usize;
    let first = outcome.snapshots[0].step;
    let mut snapshots = match start {
        Start::Resume => {
            earlier(&tensors, size).into_iter().filter(|one| one.step < first).collect()
        }
        Start::New | Start::Replace => Vec::new(),
    };
    snapshots.extend_from_slice(&outcome.snapshots);
    let images = dataset.test.select(&outcome.snapshot_images, dataset.shape);
    let [channels, height, width] = <[u32; 3]>::from(dataset.shape).map(|size| size as usize);
    let (moments, count) = (snapshots.len(), images.len());
    let content = [
        Tensor::i64("steps", &[moments], snapshots.iter().map(|one| one.step as i64).collect()),
        Tensor::f32(
            "maps",
            &[moments, count, channels, height, width],
            snapshots.iter().flat_map(|one| one.saliency.iter().copied()).collect(),
        ),
        Tensor::f32("images", &[count, channels, height, width], unit_pixels(&images)),
        Tensor::i64(
            "labels",
            &[count],
            images.labels.iter().map(|&label| i64::from(label)).collect(),
        ),
        Tensor::i64(
            "indices",
            &[count],
            outcome.snapshot_images.iter().map(|&index| index as i64).collect(),
        ),
    ];
    TensorFile::write(&tensors, &content, &[])?;
    write_atomically(
        &drawn,
        &picture(
            "Saliency while the network trains",
            dataset,
            &outcome.snapshot_images,
            &snapshots,
        )?,
    )?;
    Ok(Some(drawn))
}

/// The snapshots of maps of `size` values in a file; none if it is missing or belongs to other
/// images.
fn earlier(path: &Path, size: usize) -> Vec<Snapshot> {
    let read = || -> Option<Vec<Snapshot>> {
        let file = TensorFile::read(path).ok()?;
        let steps = file.tensor("steps")?.to_i64(path).ok()?;
        let maps = file.tensor("maps")?.to_f32(path).ok()?;
        if size == 0 || maps.len() != steps.len().checked_mul(size)? {
            return None;
        }
        let pairs = steps.iter().zip(maps.chunks_exact(size));
        pairs
            .map(|(&step, map)| {
                Some(Snapshot { step: u64::try_from(step).ok()?, saliency: map.into() })
            })
            .collect()
    };
    read().unwrap_or_default()
}
