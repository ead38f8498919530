//! Batch norm (paper eqs. (4), (5); algorithms: section 3): statistics of a batch in two stages,
//! running statistics, and the scaling of quantized weights by the latter. What each dispatch
//! computes is in its kernel, `shaders/batch_norm*.wgsl` and `shaders/fold_batch_norm*.wgsl`.

use super::{
    network::{ELEMENTWISE, TrainingPass, elementwise_work, grid},
    node::{Node, Weights},
    weighted::Pass,
};
use crate::{
    Error, Result,
    config::Shape,
    gpu::{Binding, Buffer, Gpu, Recording},
    graph::{self, Graph},
    layout::groups,
    shaders::Specialization,
    storage::Storage,
};

/// Parts that the rows of a batch are dealt to at most.
const MOST_PARTS: u32 = 1024;
/// Rows that a part should have at least.
const ROWS: u32 = 32;
/// Batches that are normalised apart in one pass at most: clean and masked images.
const BATCHES: u32 = 2;

/// The buffers of training.
struct Training {
    /// [batch, group] coefficients of the batch.
    coefficients: Buffer,
    /// [batch, part, group] two vec4: partial sums of the forward, later of the backward pass.
    parts: Buffer,
    /// [batch, group] two vec4: means that the input's gradient needs.
    means: Buffer,
    /// Number of parts.
    count: u32,
}

impl Training {
    /// Workgroups of the first stages.
    fn workgroups(&self, node: &Node, pass: TrainingPass<'_>) -> [u32; 3] {
        grid((pass.batches * self.count * groups(node.output.channels)).div_ceil(ELEMENTWISE))
    }
}

/// Where a batch norm's parameters and running statistics are, and its buffers.
pub(super) struct BatchNorm {
    scale_index: u32,
    shift_index: u32,
    mean_index: u32,
    variance_index: u32,
    count_index: u32,
    /// Whether the weights in front are scaled before they are quantized.
    folded: bool,
    /// [group] two vec4: s and 1/σ.
    factors: Buffer,
    /// [group] coefficients of the running statistics.
    inference: Buffer,
    training: Option<Training>,
}

impl BatchNorm {
    /// The batch norm `own` of outputs of `shape`; `training` images where it trains.
    pub fn new(
        gpu: &Gpu,
        graph: &Graph,
        own: &graph::BatchNorm,
        shape: Shape,
        folded: bool,
        training: Option<u32>,
    ) -> Result<BatchNorm> {
        let index = |id| graph.parameter(id).offset;
        let channel_groups = u64::from(groups(shape.channels));
        let training = training.map(|slots| {
            let count = slots.saturating_mul(shape.pixels()).div_ceil(ROWS).clamp(1, MOST_PARTS);
            let both = u64::from(BATCHES) * channel_groups;
            Ok::<_, Error>(Training {
                coefficients: gpu.buffer("batch norm coefficients", both * 64)?,
                parts: gpu.buffer("partial sums of batch norm", both * u64::from(count) * 32)?,
                means: gpu.buffer("means of batch norm", both * 32)?,
                count,
            })
        });
        Ok(BatchNorm {
            scale_index: index(own.scale),
            shift_index: index(own.shift),
            mean_index: index(own.mean),
            variance_index: index(own.variance),
            count_index: index(own.count),
            folded,
            factors: gpu.buffer("batch norm factors", channel_groups * 32)?,
            inference: gpu.buffer("batch norm coefficients", channel_groups * 64)?,
            training: training.transpose()?,
        })
    }

    fn training(&self) -> Result<&Training> {
        self.training
            .as_ref()
            .ok_or_else(|| Error::Gpu("this network was made without batch statistics".into()))
    }

    /// Adds the coefficients of the running statistics, and the factors that weights are scaled by:
    /// once a step, before the weights.
    pub fn record_inference(
        &self,
        gpu: &Gpu,
        recording: &mut Recording,
        node: &Node,
        parameters: &Buffer,
    ) -> Result<()> {
        let specialization = Specialization::new()
            .constant("CHANNELS", node.output.channels)
            .constant("SCALE_INDEX", self.scale_index)
            .constant("SHIFT_INDEX", self.shift_index)
            .constant("MEAN_INDEX", self.mean_index)
            .constant("VARIANCE_INDEX", self.variance_index)
            .constant("FOLD", u32::from(self.folded));
        let kernel = gpu.kernel("batch_norm_inference", specialization)?;
        let bindings = [parameters, &self.factors, &self.inference].map(Binding::from);
        let workgroups = [groups(node.output.channels).div_ceil(ELEMENTWISE), 1, 1];
        recording.dispatch(gpu, format!("{} inference", node.name), kernel, &bindings, workgroups)
    }

    /// Adds s·W and s·b of the layer in front to `folded`, a flat array like the parameters.
    pub fn record_fold(
        &self,
        gpu: &Gpu,
        recording: &mut Recording,
        layer: &Node,
        weights: &Weights,
        [parameters, folded]: [&Buffer; 2],
    ) -> Result<()> {
        let in_elements = layer.input.channels * weights.taps;
        let specialization =
            fold_shape(in_elements, weights).constant("OUT_CHANNELS", layer.output.channels);
        let kernel = gpu.kernel("fold_batch_norm", specialization)?;
        let bindings = [parameters, &self.factors, folded].map(Binding::from);
        let workgroups = grid((layer.output.channels * in_elements).div_ceil(ELEMENTWISE));
        recording.dispatch(
            gpu,
            format!("{} folded weights", layer.name),
            kernel,
            &bindings,
            workgroups,
        )
    }

    /// Adds turning `gradients` of s·W and s·b, summed over the whole batch, into those of W, b and
    /// γ.
    pub fn record_fold_gradient(
        &self,
        gpu: &Gpu,
        recording: &mut Recording,
        layer: &Node,
        weights: &Weights,
        [parameters, gradients]: [&Buffer; 2],
    ) -> Result<()> {
        let specialization = fold_shape(layer.input.channels * weights.taps, weights)
            .tile("WORKGROUP", ELEMENTWISE)
            .constant("SCALE_INDEX", self.scale_index);
        let kernel = gpu.kernel("fold_batch_norm_gradient", specialization)?;
        let bindings = [parameters, &self.factors, gradients].map(Binding::from);
        let workgroups = grid(layer.output.channels);
        recording.dispatch(
            gpu,
            format!("{} folded weight gradient", layer.name),
            kernel,
            &bindings,
            workgroups,
        )
    }
}

fn fold_shape(in_elements: u32, weights: &Weights) -> Specialization {
    Specialization::new()
        .constant("IN_ELEMENTS", in_elements)
        .constant("WEIGHT_INDEX", weights.weight_index)
        .constant("BIAS_INDEX", weights.bias_index)
}

/// Constants of the kernels that go over a range of images.
fn shape(node: &Node) -> Specialization {
    Specialization::new()
        .constant("PIXELS", node.output.pixels())
        .constant("GROUPS", groups(node.output.channels))
}

/// Formats of the backward pass: the input's values, the gradient of the output and in its place
/// that of the input.
fn gradient_storage(node: &Node) -> Storage {
    Storage { input: node.storage.input, ..node.gradient_storage() }
}

/// Adds whose statistics a kernel works with.
fn mode(specialization: Specialization, training: Option<TrainingPass<'_>>) -> Specialization {
    let specialization = specialization.feature("batch_statistics", training.is_some());
    match training {
        Some(pass) => specialization.constant("BATCHES", pass.batches),
        None => specialization,
    }
}

/// Constants of the first stages.
fn first_stage(node: &Node, pass: TrainingPass<'_>, buffers: &Training) -> Specialization {
    shape(node).constant("PARTS", buffers.count).constant("BATCHES", pass.batches)
}

/// Constants of the second stages.
fn second_stage(
    norm: &BatchNorm,
    node: &Node,
    pass: TrainingPass<'_>,
    buffers: &Training,
) -> Specialization {
    Specialization::new()
        .constant("CHANNELS", node.output.channels)
        .constant("PIXELS", node.output.pixels())
        .constant("PARTS", buffers.count)
        .constant("BATCHES", pass.batches)
        .constant("SCALE_INDEX", norm.scale_index)
        .constant("SHIFT_INDEX", norm.shift_index)
        .constant("MEAN_INDEX", norm.mean_index)
        .constant(
            "FREEZE_AFTER",
            pass.freeze_after.map_or(u32::MAX, |step| u32::try_from(step).unwrap_or(u32::MAX)),
        )
}

impl Pass<'_> {
    /// Adds `node.value` = activate(batch norm of `input`): with the batch's statistics in
    /// training, the running ones in inference.
    pub fn batch_norm_forward(
        &mut self,
        node: &Node,
        norm: &BatchNorm,
        input: &Buffer,
        training: Option<TrainingPass<'_>>,
    ) -> Result<()> {
        let mut coefficients = &norm.inference;
        if let Some(pass) = training {
            let buffers = norm.training()?;
            self.batch_statistics(node, norm, input, pass, buffers)?;
            coefficients = &buffers.coefficients;
        }
        let kernel = self.gpu.kernel(
            "batch_norm",
            node.activation.forward(mode(node.value_storage().specialize(shape(node)), training)),
        )?;
        let mut bindings =
            vec![self.range.binding, input.into(), coefficients.into(), (&node.value).into()];
        if let Some(pre_activation) = &node.pre_activation {
            bindings.extend([pre_activation.into(), Binding::from(self.parameters)]);
        }
        bindings.extend(training.map(|pass| Binding::from(pass.step)));
        let elements = node.output_elements();
        let workgroups = grid((self.range.most * elements).div_ceil(ELEMENTWISE));
        self.recording.dispatch(
            self.gpu,
            format!("{} forward", node.name),
            kernel,
            &bindings,
            workgroups,
        )?;
        self.recording.note_work(elementwise_work(node, self.range.most, elements, elements));
        Ok(())
    }

    fn batch_statistics(
        &mut self,
        node: &Node,
        norm: &BatchNorm,
        input: &Buffer,
        pass: TrainingPass<'_>,
        buffers: &Training,
    ) -> Result<()> {
        let specialization = node.value_storage().specialize(first_stage(node, pass, buffers));
        let kernel = self.gpu.kernel("batch_norm_moments", specialization)?;
        let bindings =
            [self.range.binding, pass.step.into(), input.into(), (&buffers.parts).into()];
        let workgroups = buffers.workgroups(node, pass);
        self.recording.dispatch(
            self.gpu,
            format!("{} moments", node.name),
            kernel,
            &bindings,
            workgroups,
        )?;
        self.recording.note_work(elementwise_work(
            node,
            self.range.most,
            node.output_elements(),
            0,
        ));

        let specialization = second_stage(norm, node, pass, buffers)
            .feature("moves", true)
            .constant("VARIANCE_INDEX", norm.variance_index)
            .constant("COUNT_INDEX", norm.count_index);
        let kernel = self.gpu.kernel("batch_norm_update", specialization)?;
        let bindings = [
            self.parameters.into(),
            self.range.binding,
            pass.step.into(),
            (&buffers.parts).into(),
            (&norm.factors).into(),
            (&buffers.coefficients).into(),
        ];
        let workgroups = grid(groups(node.output.channels));
        self.recording.dispatch(
            self.gpu,
            format!("{} statistics", node.name),
            kernel,
            &bindings,
            workgroups,
        )
    }

    /// Adds the backward pass of a batch norm: `gradient` of its output becomes that of its input,
    /// in place, and in training those of γ and β go into the flat array `gradients`. The pass is
    /// over the whole batch.
    pub fn batch_norm_backward(
        &mut self,
        node: &Node,
        norm: &BatchNorm,
        [input, gradient]: [Binding<'_>; 2],
        gradients: &Buffer,
        training: Option<TrainingPass<'_>>,
    ) -> Result<()> {
        let mut coefficients = &norm.inference;
        let mut statistics = Vec::new();
        if let Some(pass) = training {
            let buffers = norm.training()?;
            self.batch_norm_parameter_gradient(
                node,
                norm,
                [input, gradient, gradients.into()],
                pass,
                buffers,
            )?;
            coefficients = &buffers.coefficients;
            statistics = vec![input, (&buffers.means).into(), pass.step.into()];
        }
        let kernel = self.gpu.kernel(
            "batch_norm_input_gradient",
            mode(gradient_storage(node).specialize(shape(node)), training),
        )?;
        let mut bindings = vec![self.range.binding, coefficients.into(), gradient];
        bindings.extend(statistics);
        let elements = node.output_elements();
        let workgroups = grid((self.range.most * elements).div_ceil(ELEMENTWISE));
        self.recording.dispatch(
            self.gpu,
            format!("{} input gradient", node.name),
            kernel,
            &bindings,
            workgroups,
        )?;
        self.recording.note_work(elementwise_work(
            node,
            self.range.most,
            if training.is_some() { 2 } else { 1 } * elements,
            elements,
        ));
        Ok(())
    }

    fn batch_norm_parameter_gradient(
        &mut self,
        node: &Node,
        norm: &BatchNorm,
        [input, gradient, gradients]: [Binding<'_>; 3],
        pass: TrainingPass<'_>,
        buffers: &Training,
    ) -> Result<()> {
        let kernel = self.gpu.kernel(
            "batch_norm_gradient_sums",
            gradient_storage(node).specialize(first_stage(node, pass, buffers)),
        )?;
        let bindings = [
            self.range.binding,
            pass.step.into(),
            input,
            gradient,
            (&buffers.coefficients).into(),
            (&buffers.parts).into(),
        ];
        let workgroups = buffers.workgroups(node, pass);
        self.recording.dispatch(
            self.gpu,
            format!("{} gradient sums", node.name),
            kernel,
            &bindings,
            workgroups,
        )?;
        self.recording.note_work(elementwise_work(
            node,
            self.range.most,
            2 * node.output_elements(),
            0,
        ));

        let specialization =
            second_stage(norm, node, pass, buffers).constant("FOLD", u32::from(norm.folded));
        let kernel = self.gpu.kernel("batch_norm_parameter_gradient", specialization)?;
        let bindings = [
            self.parameters.into(),
            self.range.binding,
            pass.step.into(),
            (&buffers.parts).into(),
            (&norm.factors).into(),
            (&buffers.coefficients).into(),
            (&buffers.means).into(),
            gradients,
        ];
        let label = format!("{} parameter gradient", node.name);
        self.recording.dispatch(
            self.gpu,
            label,
            kernel,
            &bindings,
            grid(groups(node.output.channels)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{NetworkConfig, QuantizationConfig},
        gpu::Abilities,
        nn::{Network, NetworkOptions},
    };

    #[test]
    fn what_the_network_does_not_have_is_not_read_from_elsewhere() {
        let gpu = Gpu::noop(true, Abilities::default());
        let config =
            NetworkConfig::table_one(Shape::new(1, 12, 12), 3, [0.0, 0.0]).with_batch_norm();
        let options = NetworkOptions { slots: 1, ..NetworkOptions::default() };
        let network = Network::new(&gpu, &config, &QuantizationConfig::default(), options).unwrap();
        for error in [
            pollster::block_on(network.read_activation(&gpu, "act9", 1)).unwrap_err(),
            pollster::block_on(network.read_pre_activation(&gpu, "act9", 1)).unwrap_err(),
        ] {
            assert!(matches!(&error, Error::Model(reason) if reason.contains("act9")), "{error}");
        }
    }
}
