//! The dispatches that make the weights ready, and of the forward pass.

use super::{ELEMENTWISE, Network, TrainingPass};
use crate::{
    Result,
    gpu::{Binding, Buffer, Gpu, Launcher, Recording},
    kernels::{Activation, ImageRange, MaxPool, PoolShape},
    nn::{
        node::NodeKind,
        weighted::{self, Pass},
    },
    shaders::Specialization,
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
                NodeKind::Activation => Activation {
                    images: range,
                    input: input.into(),
                    output: (&node.value).into(),
                    parameters: (&self.parameters).into(),
                    elements: node.output_elements(),
                    activation: node.activation,
                    storage: node.value_storage(),
                }
                .record(gpu, recording, label)?,
                &NodeKind::MaxPool { kernel, stride, ref choice } => MaxPool {
                    images: range,
                    input: input.into(),
                    output: (&node.value).into(),
                    choice: Some(choice.into()),
                    shape: PoolShape { input: node.input, output: node.output, kernel, stride },
                    storage: node.value_storage(),
                }
                .record(gpu, recording, label)?,
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
