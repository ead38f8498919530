//! Saliency maps of a few fixed images during training: the frames of the filmstrip.

use super::{outcome::Snapshot, session::Session};
use crate::{
    Result,
    batch::ResidentData,
    data::Split,
    saliency::{DataOptions, ExplainedNetwork, Method, MethodOptions, Target, explain_data},
};

/// Number of images in a saliency snapshot.
const SNAPSHOT_IMAGES: usize = 8;

pub(super) fn snapshot_data(session: &Session<'_>, images: &[usize]) -> Result<ResidentData> {
    let split = session.dataset.test.select(images, session.dataset.shape);
    ResidentData::new(session.gpu, &split, session.dataset.shape)
}

/// The saliency of `data` after `step` steps. It uses its own buffers and does not change the
/// epoch's cursor.
pub(super) async fn snapshot(
    session: &Session<'_>,
    step: u64,
    data: &ResidentData,
) -> Result<Snapshot> {
    let options = DataOptions {
        methods: vec![Method::Gradient],
        target: Target::Label,
        normalization: session.normalization,
        keep: None,
        settings: MethodOptions { seed: session.config.seed, ..MethodOptions::default() },
        ..DataOptions::default()
    };
    let network = ExplainedNetwork {
        config: &session.config.network,
        quantization: &session.config.quantization,
        parameters: session.network.parameters(),
    };
    let mut attributions = explain_data(session.gpu, network, data, &options, &mut |_| {}).await?;
    Ok(Snapshot { step, saliency: attributions.maps.swap_remove(0) })
}

/// The first test image of each class, at most [`SNAPSHOT_IMAGES`].
pub(super) fn snapshot_images(test: &Split, classes: u32) -> Vec<usize> {
    let first = |class: u32| test.labels.iter().position(|&label| label == class);
    (0..classes).filter_map(first).take(SNAPSHOT_IMAGES).collect()
}
