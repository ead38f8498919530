//! The figures of an epoch.

use super::{
    lines::EpochLine, ranges::quantizer_state, running::Running, session::Session, standstill,
};
use crate::{Result, metrics::Evaluation, quant::QuantizerState};

/// The state of the quantizers with `parameters`, and the ranges of weights in the last forward
/// pass.
pub(super) async fn quantizers(
    session: &Session<'_>,
    parameters: &[f32],
) -> Result<QuantizerState> {
    let layout = &session.network.graph.layout;
    let ranges = session.network.weight_ranges(session.gpu).await?;
    Ok(quantizer_state(layout, &parameters[layout.step_first as usize..], ranges.into_iter()))
}

pub(super) async fn epoch_line(
    session: &Session<'_>,
    epoch: u64,
    running: &mut Running<'_>,
    test: &Evaluation,
    validation: Option<&Evaluation>,
) -> Result<EpochLine> {
    let [ce, kl, correct, images] = std::mem::take(&mut running.epoch_sums);
    let distances = running.distances.take();
    let seconds = std::mem::take(&mut running.epoch_seconds);
    let mean = |sum: f64| sum / images.max(1.0);
    let lambda =
        if session.config.sgt.enabled { f64::from(session.config.sgt.lambda) } else { 0.0 };
    let parameters = session.parameters().await?;
    let layout = &session.network.graph.layout;
    let without_gradient = match running.has_gradients {
        true => standstill::without_gradient(
            layout,
            &session.gpu.read(session.network.gradients(), 0, parameters.len() as u64).await?,
        ),
        false => Vec::new(),
    };
    let QuantizerState { alpha, step_size, offset, weight_range } =
        quantizers(session, &parameters).await?;
    let [distill, align] = session.asked_for(distances);
    Ok(EpochLine {
        epoch: epoch + 1,
        step: running.step,
        train_loss: mean(ce + lambda * kl + session.weighted(distances)),
        train_ce: mean(ce),
        train_kl: mean(kl),
        train_distill: distill.map(mean),
        train_align: align.map(mean),
        train_accuracy: mean(correct),
        test_accuracy: test.accuracy,
        test_loss: test.loss,
        validation_accuracy: validation.map(|evaluation| evaluation.accuracy),
        validation_loss: validation.map(|evaluation| evaluation.loss),
        masked_share: session.masking.adapted_share(epoch, &running.masking),
        alpha,
        step_size,
        offset,
        weight_range,
        at_floor: standstill::at_floor(layout, &parameters),
        without_gradient,
        seconds,
        images_per_second: images / seconds.max(1e-9),
    })
}
