//! Batch norm (paper eqs. (4), (5); algorithms: section 3): statistics of a batch in two stages,
//! running statistics, and the scaling of quantized weights by the latter.

use crate::{
    Result,
    gpu::{Binding, Buffer, Gpu, Launcher, Recording},
    kernels::{
        self, BatchGradient, BatchNormGradientSums, BatchNormInference, BatchNormInputGradient,
        BatchNormMoments, BatchNormParameterGradient, BatchNormScaleGradient, BatchNormUpdate,
        BatchStatistics, FoldBatchNorm, FoldBatchNormGradient, WeightShape,
    },
    nn::{
        nodes::{BatchNorm, Node, Weights},
        recorder::Recorder,
    },
};

/// A pass in training mode: dropout, and batch norms with the statistics of the batch. Passes
/// without one are for inference.
#[derive(Clone, Copy)]
pub struct TrainingPass<'a> {
    /// The current step's record (shaders/common/step.wgsl).
    pub step: &'a Buffer,
    /// Batches in the range that batch norms take apart: 2 where masked images stand behind the
    /// step's clean ones.
    pub batches: u32,
    /// The last step with the batch's statistics in batch norms; the running ones are frozen then
    /// and used from there on.
    pub freeze_after: Option<u64>,
}

/// Adds the coefficients of the running statistics, and the factors that weights are scaled by:
/// once a step, before the weights.
pub fn prepare(
    gpu: &Gpu,
    recording: &mut Recording,
    (node, norm): (&Node, &BatchNorm),
    parameters: &Buffer,
) -> Result<()> {
    BatchNormInference {
        parameters,
        factors: &norm.factors,
        coefficients: &norm.inference,
        channels: node.output.channels,
        indices: norm.indices,
        epsilon: norm.epsilon,
        fold: norm.folded,
    }
    .record(gpu, recording, format!("{} inference", node.name))
}

/// Adds the scaled `weights` of the layer in front where they are quantized: behind [`prepare`].
pub fn fold(
    gpu: &Gpu,
    recording: &mut Recording,
    norm: &BatchNorm,
    (front, weights): (&Node, &Weights),
    parameters: &Buffer,
) -> Result<()> {
    let Some(folded) = &weights.folded else { return Ok(()) };
    FoldBatchNorm { parameters, factors: &norm.factors, folded, shape: weights.shape }.record(
        gpu,
        recording,
        format!("{} folded weights", front.name),
    )
}

/// Adds turning `gradients` of the scaled weights of `front`, summed over the whole batch, into
/// those of its weights and of γ.
pub fn fold_gradient(
    recorder: &mut Recorder<'_>,
    norm: &BatchNorm,
    (front, shape): (&Node, WeightShape),
    gradients: &Buffer,
) -> Result<()> {
    let fold = FoldBatchNormGradient {
        parameters: recorder.parameters,
        factors: &norm.factors,
        gradients,
        shape,
        scale_index: norm.indices.scale,
    };
    recorder.add(format!("{} folded weight gradient", front.name), &fold)
}

/// Adds `node.value` = activate(batch norm of `input`): with the batch's statistics in training,
/// the running ones in inference.
pub fn forward(
    recorder: &mut Recorder<'_>,
    node: &Node,
    norm: &BatchNorm,
    input: &Buffer,
    training: Option<TrainingPass<'_>>,
) -> Result<()> {
    let mut coefficients = &norm.inference;
    if let Some(pass) = training {
        coefficients = &norm.training()?.coefficients;
        statistics(recorder, node, norm, input, pass)?;
    }
    let pass = kernels::BatchNorm {
        images: recorder.images,
        input: input.into(),
        coefficients,
        output: (&node.value).into(),
        pre_activation: node.pre_activation.as_ref().map(Binding::from),
        parameters: recorder.parameters,
        batches: training.map(|pass| (pass.step, pass.batches)),
        shape: node.output,
        activation: node.activation,
        storage: node.value_storage(),
    };
    recorder.add(format!("{} forward", node.name), &pass)
}

/// Adds the statistics of the batches, both stages.
fn statistics(
    recorder: &mut Recorder<'_>,
    node: &Node,
    norm: &BatchNorm,
    input: &Buffer,
    pass: TrainingPass<'_>,
) -> Result<()> {
    let buffers = norm.training()?;
    let by = BatchStatistics { current: pass.step, batches: pass.batches, parts: buffers.count };
    let (images, shape) = (recorder.images, node.output);
    let moments = BatchNormMoments {
        images,
        input: input.into(),
        moments: &buffers.parts,
        by,
        shape,
        storage: node.value_storage(),
    };
    recorder.add(format!("{} moments", node.name), &moments)?;
    let update = BatchNormUpdate {
        parameters: recorder.parameters,
        images,
        moments: &buffers.parts,
        factors: &norm.factors,
        coefficients: &buffers.coefficients,
        by,
        shape,
        indices: norm.indices,
        epsilon: norm.epsilon,
        momentum: norm.momentum,
        freeze_after: pass.freeze_after,
    };
    recorder.add(format!("{} statistics", node.name), &update)
}

/// Adds the backward pass: `gradient` of the output becomes that of the input, in place, and in
/// training those of γ and β go into the flat array `gradients`. The pass is over the whole batch.
pub fn backward(
    recorder: &mut Recorder<'_>,
    node: &Node,
    norm: &BatchNorm,
    [input, gradient]: [Binding<'_>; 2],
    gradients: &Buffer,
    training: Option<TrainingPass<'_>>,
) -> Result<()> {
    let (images, shape, storage) =
        (recorder.images, node.output, node.parameter_gradient_storage());
    let mut pass = BatchNormInputGradient {
        images,
        coefficients: &norm.inference,
        gradient,
        batch: None,
        shape,
        storage,
    };
    if let Some(training) = training {
        let buffers = norm.training()?;
        let (current, batches) = (training.step, training.batches);
        let by = BatchStatistics { current, batches, parts: buffers.count };
        let sums = BatchNormGradientSums {
            images,
            input,
            gradient,
            coefficients: &buffers.coefficients,
            sums: &buffers.parts,
            by,
            shape,
            storage,
        };
        recorder.add(format!("{} gradient sums", node.name), &sums)?;
        let parameters = BatchNormParameterGradient {
            parameters: recorder.parameters,
            images,
            parts: &buffers.parts,
            factors: &norm.factors,
            coefficients: &buffers.coefficients,
            means: &buffers.means,
            gradients,
            by,
            shape,
            indices: norm.indices,
            epsilon: norm.epsilon,
            freeze_after: training.freeze_after,
            fold: norm.folded,
        };
        recorder.add(format!("{} parameter gradient", node.name), &parameters)?;
        pass.coefficients = &buffers.coefficients;
        pass.batch = Some(BatchGradient { input, means: &buffers.means, current, batches });
    }
    recorder.add(format!("{} input gradient", node.name), &pass)
}

/// Adds the derivative of the batch norm in inference along the direction `along` of its input, in
/// place.
pub fn tangent(
    recorder: &mut Recorder<'_>,
    node: &Node,
    norm: &BatchNorm,
    along: Binding<'_>,
) -> Result<()> {
    let pass = BatchNormInputGradient {
        images: recorder.images,
        coefficients: &norm.inference,
        gradient: along,
        batch: None,
        shape: node.output,
        storage: node.parameter_gradient_storage(),
    };
    recorder.add(format!("{} tangent", node.name), &pass)
}

/// Adds to `gradients`, flat, that of γ where the input is the direction `along` and `gradient`
/// that of the output. Where the weights in front are scaled, γ's whole gradient comes from these.
pub fn scale_gradient(
    recorder: &mut Recorder<'_>,
    node: &Node,
    norm: &BatchNorm,
    [along, gradient]: [Binding<'_>; 2],
    gradients: &Buffer,
) -> Result<()> {
    let pass = BatchNormScaleGradient {
        images: recorder.images,
        input: along,
        gradient,
        factors: &norm.factors,
        gradients,
        shape: node.output,
        scale_index: norm.indices.scale,
    };
    recorder.add(format!("{} scale gradient", node.name), &pass)
}
