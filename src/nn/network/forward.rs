//! The dispatches that make the weights ready, and of the forward pass.

use super::{ELEMENTWISE, Network, TrainingPass, elementwise_work, grid, pool_shape};
use crate::{
    Result,
    batch::ImageRange,
    gpu::{Binding, Buffer, Gpu, Recording, Specialization},
    nn::{
        node::NodeKind,
        weighted::{self, Pass},
    },
    storage::{Format, Storage},
};

impl Network {
    /// Adds the fake quantization and layout of every layer's weights, and what batch norms make of
    /// their running statistics: once a step, before the passes.
    pub fn record_weights(&self, gpu: &Gpu, recording: &mut Recording) -> Result<()> {
        for (index, node) in self.nodes.iter().enumerate() {
            if let (Some(weights), Some((behind, norm))) =
                (node.weights(), self.batch_norm_behind(index))
            {
                norm.record_inference(gpu, recording, behind, &self.parameters)?;
                if let Some(folded) = &weights.folded {
                    norm.record_fold(gpu, recording, node, weights, [&self.parameters, folded])?;
                }
            }
            if let NodeKind::Convolution { weights, .. } | NodeKind::FullyConnected { weights } =
                &node.kind
            {
                weighted::record_weights(gpu, recording, node, weights, &self.parameters)?;
            }
        }
        Ok(())
    }

    /// Adds f(X) for the images of `range`, in inference mode where `training` is `None`.
    pub fn record_forward(
        &self,
        gpu: &Gpu,
        recording: &mut Recording,
        range: ImageRange<'_>,
        training: Option<TrainingPass<'_>>,
    ) -> Result<()> {
        let mut input = &self.input;
        for node in &self.nodes {
            let label = format!("{} forward", node.name);
            match &node.kind {
                NodeKind::Convolution { weights, .. } | NodeKind::FullyConnected { weights } => {
                    self.pass(gpu, recording, range, 0).weighted_forward(node, weights, input)?;
                }
                NodeKind::BatchNorm(norm) => self
                    .pass(gpu, recording, range, 0)
                    .batch_norm_forward(node, norm, input, training)?,
                NodeKind::Activation => {
                    let elements = node.output_elements();
                    let specialization = node
                        .activation
                        .forward(Specialization::new().constant("ELEMENTS", elements));
                    let specialization = node.value_storage().specialize(specialization);
                    let mut bindings = vec![range.binding, input.into(), (&node.value).into()];
                    if node.activation.is_pact() {
                        bindings.push((&self.parameters).into());
                    }
                    let workgroups = grid((range.most * elements).div_ceil(ELEMENTWISE));
                    recording.dispatch(
                        gpu,
                        label,
                        gpu.kernel("activation", specialization)?,
                        &bindings,
                        workgroups,
                    )?;
                }
                NodeKind::MaxPool { kernel, stride, choice } => {
                    let kernel = gpu.kernel(
                        "max_pool",
                        node.value_storage().specialize(pool_shape(
                            [node.input, node.output],
                            *kernel,
                            *stride,
                        )),
                    )?;
                    let bindings =
                        [range.binding, input.into(), (&node.value).into(), choice.into()];
                    let workgroups =
                        grid((range.most * node.output_elements()).div_ceil(ELEMENTWISE));
                    recording.dispatch(gpu, label, kernel, &bindings, workgroups)?;
                    recording.note_work(elementwise_work(
                        node,
                        range.most,
                        node.input_elements(),
                        node.output_elements(),
                    ));
                }
                NodeKind::Dropout { rate, layer } => {
                    if let Some(TrainingPass { step, .. }) = training {
                        let values = ((&node.value).into(), node.storage.output);
                        self.pass(gpu, recording, range, 0).dropout(
                            label,
                            [node.output_elements(), *layer],
                            *rate,
                            step,
                            values,
                        )?;
                    }
                }
            }
            input = &node.value;
        }
        Ok(())
    }
}

impl Pass<'_> {
    /// Adds dropout of a layer's values, or of their gradient, in place.
    pub(super) fn dropout(
        &mut self,
        label: String,
        [elements, layer]: [u32; 2],
        rate: f32,
        step: &Buffer,
        (values, format): (Binding<'_>, Format),
    ) -> Result<()> {
        let specialization = Specialization::new()
            .tile("LANES", ELEMENTWISE)
            .constant("ELEMENTS", elements)
            .constant("LAYER", layer)
            .constant("RATE", f64::from(rate));
        let storage = Storage::new(Format::F32, format);
        let kernel = self.gpu.kernel("dropout", storage.specialize(specialization))?;
        let bindings = [self.range.binding, step.into(), values];
        let workgroups = [elements.div_ceil(ELEMENTWISE), self.range.most, 1];
        self.recording.dispatch(self.gpu, label, kernel, &bindings, workgroups)
    }
}
