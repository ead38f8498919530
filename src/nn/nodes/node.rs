//! A layer with the activation that its kernel applies, and the buffers it owns.

use super::{BatchNorm, Weights};
use crate::{
    config::{Shape, Window},
    gpu::Buffer,
    graph::plan::Source,
    kernels::{AveragePoolShape, Geometry, Gradient, GroupedShape, PoolShape, PreluShape},
    layout::groups,
    nn::ConvolutionFamily,
    quant::ActivationPlan,
    storage::{Format, Storage},
};

/// A max-pool of 2 × 2 windows that is part of the convolution in front of it: the node's output is
/// the windows'.
pub(in crate::nn) struct JoinedPool {
    /// What the convolution puts out, which is not kept.
    pub map: Shape,
    /// Positions of the maxima, as `max_pool` keeps them.
    pub choice: Buffer,
}

/// What a node computes.
pub(in crate::nn) enum NodeKind {
    Convolution { weights: Weights, window: Window, sets: u32, pool: Option<JoinedPool> },
    FullyConnected { weights: Weights },
    BatchNorm(BatchNorm),
    Activation,
    Prelu(PreluShape),
    MaxPool { shape: PoolShape, choice: Buffer },
    AveragePool(AveragePoolShape),
    Dropout { rate: f32, stream: u32 },
    Add,
    Multiply,
    Concat,
    Flatten,
}

impl NodeKind {
    /// Whether it is a function of every value, whose input is what it reads.
    pub fn is_function(&self) -> bool {
        matches!(self, NodeKind::Activation | NodeKind::Prelu(_))
    }
}

/// The format of what comes from `source`, the images or one of `nodes`.
pub(in crate::nn) fn format_of(source: Source, nodes: &[Node]) -> Format {
    source.step().map_or(Format::F32, |index| nodes[index].storage.output)
}

/// A layer with its activation and its output.
pub(in crate::nn) struct Node {
    pub name: String,
    pub activation_name: Option<String>,
    pub kind: NodeKind,
    /// What goes in: the values of nodes, and the images.
    pub sources: Vec<Source>,
    /// The node that reads the value, where it is the only one.
    pub reader: Option<usize>,
    pub input: Shape,
    /// Shapes and formats of all that goes in.
    pub inputs: Vec<(Shape, Format)>,
    pub output: Shape,
    /// Formats of the values that go in and come out, and of [`Self::state`]; gradients have their
    /// companions.
    pub storage: Storage,
    /// Applied by the node's own kernel.
    pub activation: ActivationPlan,
    /// [image, row, column, channel / 4] vec4. A dropout or flatten, which works in place, has that
    /// of the node before, unless others read it too.
    pub value: Buffer,
    /// The activation whose levels the node reads; [`ActivationPlan::NONE`] for floats.
    pub input_levels: ActivationPlan,
    /// The activation's input, kept for PACT.
    pub pre_activation: Option<Buffer>,
    /// The backward pass of `activation` is done by the max-pool behind it.
    pub gradient_by_pool: bool,
}

impl Node {
    /// The weights, where there are some.
    pub fn weights(&self) -> Option<&Weights> {
        match &self.kind {
            NodeKind::Convolution { weights, .. } | NodeKind::FullyConnected { weights } => {
                Some(weights)
            }
            _ => None,
        }
    }

    /// As [`Self::weights`].
    pub fn weights_mut(&mut self) -> Option<&mut Weights> {
        match &mut self.kind {
            NodeKind::Convolution { weights, .. } | NodeKind::FullyConnected { weights } => {
                Some(weights)
            }
            _ => None,
        }
    }

    /// The max-pool that is part of the node.
    pub fn joined_pool(&self) -> Option<&JoinedPool> {
        match &self.kind {
            NodeKind::Convolution { pool, .. } => pool.as_ref(),
            _ => None,
        }
    }

    /// Sizes as the kernels of weighted layers see them.
    pub fn geometry(&self) -> Geometry {
        match &self.kind {
            &NodeKind::Convolution { window, ref pool, .. } => {
                let geometry = Geometry::convolution(self.input, self.output, window);
                if pool.is_some() { geometry.pooled() } else { geometry }
            }
            _ => Geometry::fully_connected(self.input_elements(), self.output_elements()),
        }
    }

    /// A convolution's sizes with its sets of channels.
    pub fn grouped(&self) -> Option<GroupedShape> {
        let (input, output) = (self.input, self.output);
        match self.kind {
            NodeKind::Convolution { window, sets, .. } => {
                Some(GroupedShape { input, output, window, sets })
            }
            _ => None,
        }
    }

    /// The kernels of a convolution; fully connected layers have those of dense ones.
    pub fn family(&self) -> ConvolutionFamily {
        self.grouped().map_or(ConvolutionFamily::Dense, ConvolutionFamily::of)
    }

    /// What its activation is applied to.
    pub fn activated(&self) -> Shape {
        self.joined_pool().map_or(self.output, |pool| pool.map)
    }

    /// The node whose value goes in first; none for the images.
    pub fn front(&self) -> Option<usize> {
        self.sources.first().and_then(|source| source.step())
    }

    /// Whether the gradient of its output is that of each input.
    pub fn hands_on(&self) -> bool {
        self.is_in_place() || matches!(self.kind, NodeKind::Add)
    }

    /// Whether its value is that of the node in front, which it changes.
    pub fn shares_value(&self, nodes: &[Node]) -> bool {
        let front = self.front().map(|index| &nodes[index].value);
        front.is_some_and(|front| front.is(&self.value))
    }

    /// Whether the gradient of its input replaces that of its output.
    pub fn is_in_place(&self) -> bool {
        matches!(
            self.kind,
            NodeKind::BatchNorm(_)
                | NodeKind::Activation
                | NodeKind::Prelu(_)
                | NodeKind::Dropout { .. }
                | NodeKind::Flatten
        )
    }

    /// Whether the kernel of its input's gradient can multiply that by a ReLU's derivative: that of
    /// a narrow input cannot, nor can those of pools.
    pub fn rectifies(&self) -> bool {
        match self.kind {
            NodeKind::Convolution { .. } => groups(self.input.channels) > 1,
            NodeKind::FullyConnected { .. } => true,
            _ => false,
        }
    }

    /// What the activation's derivative is computed from.
    pub fn state(&self) -> &Buffer {
        self.pre_activation.as_ref().unwrap_or(&self.value)
    }

    /// Formats of the values that a forward kernel reads and writes.
    pub fn value_storage(&self) -> Storage {
        Storage::new(self.storage.input, self.storage.output)
    }

    /// Formats of the gradients with respect to the node's input and output, where its kernel
    /// passes them on.
    pub fn gradient_storage(&self) -> Storage {
        self.value_storage().of_gradients()
    }

    /// Formats of a kernel whose input is the gradient of the node's output and that writes its
    /// input's, over values of the input where it is multiplied by their ReLU's derivative.
    pub fn input_gradient_storage(&self, end: Gradient) -> Storage {
        let plain = self.gradient_storage().mirrored();
        match end {
            Gradient::Plain => plain,
            Gradient::Rectified => Storage { state: self.storage.input, ..plain },
        }
    }

    /// Formats of a kernel that reads the node's input and the gradient of its output.
    pub fn parameter_gradient_storage(&self) -> Storage {
        Storage { input: self.storage.input, ..self.gradient_storage() }
    }

    /// Groups of 4 values an image in its output.
    pub fn output_elements(&self) -> u32 {
        self.output.pixels() * groups(self.output.channels)
    }

    /// Bytes an image of the gradient with respect to its input `number`.
    pub fn input_gradient_bytes(&self, number: usize) -> u64 {
        let format = self.inputs[number].1.of_gradient();
        u64::from(self.elements_of_input(number)) * format.group_bytes()
    }

    /// Groups of 4 values an image in its input `number`.
    pub fn elements_of_input(&self, number: usize) -> u32 {
        let shape = self.inputs[number].0;
        shape.pixels() * groups(shape.channels)
    }

    /// Channels of the inputs in front of input `number`.
    pub fn channels_before(&self, number: usize) -> u32 {
        self.inputs[..number].iter().map(|(shape, _)| shape.channels).sum()
    }

    /// Groups of 4 values an image in its input.
    pub fn input_elements(&self) -> u32 {
        self.input.pixels() * groups(self.input.channels)
    }
}
