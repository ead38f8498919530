//! The figures of an epoch.

use super::{EpochLine, Trainer, running::Running, standstill};
use crate::{Result, metrics::Evaluation, quant::QuantizerState};

impl Trainer<'_> {
    /// The quantizers with `parameters`, and the ranges of weights that the last forward pass had.
    pub(super) async fn quantizers(&self, parameters: &[f32]) -> Result<QuantizerState> {
        let layout = &self.network.graph.layout;
        let ranges = self.network.weight_ranges(self.gpu).await?;
        Ok(QuantizerState::new(
            layout,
            &parameters[layout.step_first as usize..],
            ranges.into_iter(),
        ))
    }

    pub(super) async fn epoch_line(
        &self,
        epoch: u64,
        running: &mut Running<'_>,
        test: &Evaluation,
        validation: Option<&Evaluation>,
    ) -> Result<EpochLine> {
        let [ce, kl, correct, images] = std::mem::take(&mut running.epoch_sums);
        let seconds = std::mem::take(&mut running.epoch_seconds);
        let mean = |sum: f64| sum / images.max(1.0);
        let lambda = if self.config.sgt.enabled { f64::from(self.config.sgt.lambda) } else { 0.0 };
        let parameters = self.parameters().await?;
        let layout = &self.network.graph.layout;
        let without_gradient = match running.has_gradients {
            true => standstill::without_gradient(
                layout,
                &self.gpu.read(self.network.gradients(), 0, parameters.len() as u64).await?,
            ),
            false => Vec::new(),
        };
        let QuantizerState { alpha, step_size, weight_range } =
            self.quantizers(&parameters).await?;
        Ok(EpochLine {
            epoch: epoch + 1,
            step: running.step,
            train_loss: mean(ce + lambda * kl),
            train_ce: mean(ce),
            train_kl: mean(kl),
            train_accuracy: mean(correct),
            test_accuracy: test.accuracy,
            test_loss: test.loss,
            validation_accuracy: validation.map(|evaluation| evaluation.accuracy),
            validation_loss: validation.map(|evaluation| evaluation.loss),
            masked_share: self.masking.adapted_share(epoch, &running.masking),
            alpha,
            step_size,
            weight_range,
            at_floor: standstill::at_floor(layout, &parameters),
            without_gradient,
            seconds,
            images_per_second: images / seconds.max(1e-9),
        })
    }
}
