//! What tells how good an assignment is: a quantized model that is measured, or a table.

use std::collections::BTreeMap;

use super::{
    probe::{Measured, Probe},
    slots::{Assignment, Space},
};
use crate::{
    Result,
    batch::ResidentData,
    config::PixelNormalization,
    gpu::Gpu,
    model::Model,
    post_training::{Calibration, PostTraining, WeightRanges, quantize_by},
};

/// Measures assignments.
pub trait Oracle {
    /// Measures an assignment.
    ///
    /// # Errors
    /// Errors of quantization and of the device.
    fn measure(&mut self, assignment: &[usize]) -> Result<Measured>;

    /// What the float network does.
    fn float(&self) -> Measured;

    /// What was measured so far, which need not be measured again.
    fn known(&self) -> Vec<(Assignment, Measured)> {
        Vec::new()
    }
}

/// Quantized models without training, each measured once.
pub struct Candidates<'a> {
    /// The device.
    pub gpu: &'a Gpu,
    /// The slots and widths.
    pub space: &'a Space,
    /// The float model.
    pub model: &'a Model,
    /// The ranges of its weights.
    pub weights: &'a WeightRanges,
    /// How clipping thresholds are found.
    pub calibration: Calibration,
    /// The images on which activations are calibrated.
    pub data: (&'a ResidentData, PixelNormalization),
    /// The images that are measured.
    pub probe: &'a Probe<'a>,
    /// Results so far.
    pub known: BTreeMap<Assignment, Measured>,
}

impl Candidates<'_> {
    /// The quantized model.
    ///
    /// # Errors
    /// As [`Oracle::measure`].
    pub fn model(&self, assignment: &[usize]) -> Result<Model> {
        let (gpu, (data, normalization)) = (self.gpu, self.data);
        let quantization = self.space.quantization(assignment);
        let options = PostTraining { quantization, calibration: self.calibration };
        let made = quantize_by(gpu, self.model, &options, self.weights, data, normalization);
        Ok(pollster::block_on(made)?.0)
    }
}

impl Oracle for Candidates<'_> {
    fn measure(&mut self, assignment: &[usize]) -> Result<Measured> {
        if let Some(known) = self.known.get(assignment) {
            return Ok(*known);
        }
        let model = self.model(assignment)?;
        let measured = pollster::block_on(self.probe.measure(&model))?;
        self.known.insert(assignment.to_vec(), measured);
        Ok(measured)
    }

    fn float(&self) -> Measured {
        self.probe.float
    }

    fn known(&self) -> Vec<(Assignment, Measured)> {
        self.known.iter().map(|(own, &measured)| (own.clone(), measured)).collect()
    }
}
