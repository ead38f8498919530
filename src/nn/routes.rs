//! The buffers of a backward pass, as `graph::plan` places gradients.

use super::nodes::{Node, NodeKind};
use crate::{
    Result,
    gpu::{Binding, Buffer, Gpu},
    graph::plan::{
        BackwardPlan, Beside, GradientPlan, ImagePlace, OverValues, Passing, PlanOptions, Source,
        Step, StepActivation, Steps, StorageId,
    },
    kernels::Gradient,
    quant::ActivationPlan,
};

/// The nodes as steps of a backward pass, and the buffers that their values are in.
pub(super) struct Stored {
    pub steps: Steps,
    buffers: Vec<Buffer>,
}

impl Stored {
    /// Of `nodes`.
    pub fn new(nodes: &[Node]) -> Stored {
        let mut stored = Stored { steps: Steps::default(), buffers: Vec::new() };
        for node in nodes {
            let [value, state] = [&node.value, node.state()].map(|own| stored.id(own));
            let inputs = 0..node.inputs.len();
            let step = Step {
                sources: node.sources.clone(),
                reader: node.reader,
                input_bytes: inputs.map(|number| node.input_gradient_bytes(number)).collect(),
                keeps_format: node
                    .inputs
                    .iter()
                    .map(|(_, format)| *format == node.storage.output)
                    .collect(),
                hands_on: node.hands_on(),
                is_in_place: node.is_in_place(),
                multiplies: matches!(node.kind, NodeKind::Multiply),
                rectifies: node.rectifies(),
                activation: match node.activation {
                    ActivationPlan::NONE => StepActivation::None,
                    ActivationPlan::RELU => StepActivation::Relu,
                    _ => StepActivation::Other,
                },
                value,
                state,
                value_bytes: u64::from(node.output_elements())
                    * node.value_storage().output.group_bytes(),
            };
            stored.steps.all.push(step);
        }
        stored
    }

    /// The number of `buffer`.
    fn id(&mut self, buffer: &Buffer) -> StorageId {
        self.buffers.iter().position(|own| own.is(buffer)).unwrap_or_else(|| {
            self.buffers.push(buffer.clone());
            self.steps.storages.push(buffer.size());
            self.buffers.len() - 1
        })
    }
}

/// A part of a buffer that holds gradients for a while.
#[derive(Clone, Debug)]
pub(super) struct Region {
    pub buffer: Buffer,
    /// In bytes.
    pub offset: u64,
}

impl Region {
    /// From its first byte on, `skipped` bytes later.
    pub fn after(&self, skipped: u64) -> Binding<'_> {
        let offset = self.offset + skipped;
        match offset {
            0 => (&self.buffer).into(),
            _ => self.buffer.range(offset, self.buffer.size() - offset),
        }
    }
}

/// Where the gradient with respect to an input of a node goes, as in `graph::plan::Route`.
#[derive(Clone, Debug)]
pub(super) struct Route {
    pub source: Source,
    pub passing: Passing,
    pub over_values: Option<Gradient>,
    pub beside: Option<Region>,
}

/// Where gradients go.
#[derive(Clone, Debug)]
pub(super) struct Routes {
    /// Of every node, an input each.
    pub nodes: Vec<Vec<Route>>,
    /// Of every node: its activation is differentiated by the node that reads it, in the pass that
    /// trains.
    pub is_rectified: Vec<bool>,
    /// The gradient with respect to the images.
    pub images: Region,
}

/// Buffers for the gradients on their way through the network.
pub(super) struct GradientBuffers {
    pub plan: BackwardPlan,
    pub routes: Routes,
    /// With respect to the logits.
    pub logits: Buffer,
    pub partial_sums: Buffer,
    /// As many, of offsets' gradients; the same buffer where there are none.
    pub offset_sums: Buffer,
}

impl Routes {
    /// Routes through the nodes `stored`, which read the images in `input`, for passes of `plan`;
    /// buffers are made where no memory is dead.
    pub fn new(
        gpu: &Gpu,
        stored: &Stored,
        input: &Buffer,
        plan: BackwardPlan,
        options: PlanOptions,
    ) -> Result<Routes> {
        let places = GradientPlan::new(&stored.steps, plan, options);
        Routes::of(gpu, stored, input, places, ["activation gradients", "image gradients"])
    }

    /// Routes for passes over whole batches that keep every gradient.
    pub fn apart(gpu: &Gpu, stored: &Stored, input: &Buffer, plan: BackwardPlan) -> Result<Routes> {
        let places = GradientPlan::apart(&stored.steps, plan);
        Routes::of(gpu, stored, input, places, ["kept gradients", "gradient maps"])
    }

    /// The buffers of `places`; `labels` are those of gradients in between and of the images'.
    fn of(
        gpu: &Gpu,
        stored: &Stored,
        input: &Buffer,
        places: GradientPlan,
        labels: [&'static str; 2],
    ) -> Result<Routes> {
        let mut made: [Vec<Option<Buffer>>; 2] = Default::default();
        for (made, sizes) in made.iter_mut().zip(&places.turns) {
            for &size in sizes {
                made.push((size > 0).then(|| gpu.buffer(labels[0], size)).transpose()?);
            }
        }
        let region = |place: Beside| match place {
            Beside::Half { storage, offset } => {
                Some(Region { buffer: stored.buffers[storage].clone(), offset })
            }
            Beside::Turn { whole, turn } => {
                let buffer = made[usize::from(whole)][turn].clone();
                buffer.map(|buffer| Region { buffer, offset: 0 })
            }
        };
        let gradient = |over: OverValues| match over {
            OverValues::Plain => Gradient::Plain,
            OverValues::Rectified => Gradient::Rectified,
        };
        let route = |own: &crate::graph::plan::Route| Route {
            source: own.source,
            passing: own.passing,
            over_values: own.over_values.map(gradient),
            beside: own.beside.and_then(region),
        };
        let of_node = |routes: &Vec<crate::graph::plan::Route>| routes.iter().map(route).collect();
        let nodes = places.routes.iter().map(of_node).collect();
        let images = match places.images {
            ImagePlace::Half(offset) => Region { buffer: input.clone(), offset },
            ImagePlace::Own(size) => Region { buffer: gpu.buffer(labels[1], size)?, offset: 0 },
        };
        Ok(Routes { nodes, is_rectified: places.is_rectified, images })
    }
}
