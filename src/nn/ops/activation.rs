//! Activations that are nodes of their own, and the backward pass of all.

use crate::{
    Result,
    gpu::{Binding, Buffer},
    kernels::{
        Activation, ActivationGradient, GuidedGradient, RelevanceRatio, RescaleMultiplier,
        SumPartials,
    },
    nn::{nodes::Node, recorder::Recorder},
    quant::ActivationPlan,
    storage::{Format, Storage},
};

/// Where the gradient of what an activation learns goes.
#[derive(Clone, Copy)]
pub struct LearnedGradient<'a> {
    /// A number a workgroup.
    pub partial_sums: &'a Buffer,
    /// As many, of the offset; the same buffer where no activation learns one.
    pub offset_sums: &'a Buffer,
    /// The flat array; none where it is not wanted.
    pub gradients: Option<&'a Buffer>,
}

/// Adds `node.value` = activate(`input`).
pub fn forward(recorder: &mut Recorder<'_>, node: &Node, input: &Buffer) -> Result<()> {
    let activation = Activation {
        images: recorder.images,
        input: input.into(),
        output: (&node.value).into(),
        parameters: recorder.parameters.into(),
        elements: node.output_elements(),
        channels: node.output.channels,
        activation: node.activation,
        storage: node.value_storage(),
    };
    recorder.add(format!("{} forward", node.name), &activation)
}

/// Adds copying `from` to `to`, both as large as what `node` puts out.
pub fn copy(
    recorder: &mut Recorder<'_>,
    label: String,
    node: &Node,
    [from, to]: [Binding<'_>; 2],
) -> Result<()> {
    let format = node.gradient_storage().output;
    let copy = Activation {
        images: recorder.images,
        input: from,
        output: to,
        parameters: recorder.parameters.into(),
        elements: node.output_elements(),
        channels: node.output.channels,
        activation: ActivationPlan::NONE,
        storage: Storage::new(format, format),
    };
    recorder.add(label, &copy)
}

/// Adds the backward pass of the activation of `node` to `gradient`, in place.
pub fn gradient(
    recorder: &mut Recorder<'_>,
    node: &Node,
    gradient: Binding<'_>,
    learned: LearnedGradient<'_>,
) -> Result<()> {
    let label = format!("{} activation gradient", node.name);
    let parts = derivative(recorder, label, node, gradient, learned)?;
    learned_gradient(recorder, node, parts, learned)
}

/// Adds the derivative of the activation of `node` along the direction `along` of its input, in
/// place: the factor is that of a gradient. `unused` is room for what it would learn.
pub fn tangent(
    recorder: &mut Recorder<'_>,
    node: &Node,
    along: Binding<'_>,
    unused: LearnedGradient<'_>,
) -> Result<()> {
    let label = format!("{} activation tangent", node.name);
    derivative(recorder, label, node, along, unused)?;
    Ok(())
}

/// Adds multiplying `gradient`, in place, by the derivative of the activation of `node`; returns
/// the number of parts of the gradient of what it learns.
fn derivative(
    recorder: &mut Recorder<'_>,
    label: String,
    node: &Node,
    gradient: Binding<'_>,
    learned: LearnedGradient<'_>,
) -> Result<u32> {
    let elements = node.output_elements();
    let pass = ActivationGradient {
        images: recorder.images,
        state: recorder.at(node.state(), elements, node.storage.state),
        gradient,
        parameters: recorder.parameters.into(),
        partial_sums: learned.partial_sums.into(),
        offset_sums: learned.offset_sums.into(),
        elements,
        items: recorder.tiles.elementwise_items(),
        activation: node.activation,
        storage: Storage {
            input: Format::F32,
            state: node.storage.state,
            ..node.gradient_storage()
        },
    };
    recorder.add(label, &pass)?;
    Ok(pass.blocks())
}

/// Adds the sums of the `count` parts of the gradients of what the activation of `node` learns.
pub fn learned_gradient(
    recorder: &mut Recorder<'_>,
    node: &Node,
    count: u32,
    learned: LearnedGradient<'_>,
) -> Result<()> {
    let Some(gradients) = learned.gradients else { return Ok(()) };
    let plan = node.activation;
    let parts = [
        ("α", plan.alpha_index(), learned.partial_sums),
        ("offset", plan.offset_index(), learned.offset_sums),
    ];
    for (name, index, partial_sums) in parts {
        let Some(index) = index else { continue };
        let sum = SumPartials {
            images: recorder.images,
            partial_sums: partial_sums.into(),
            gradients,
            count,
            index,
            scale: plan.gradient_scale(node.activated().elements()),
        };
        recorder.add(format!("{} {name} gradient", node.name), &sum)?;
    }
    Ok(())
}

/// Adds guided back-propagation's rule at the activation of `node` to `gradient`, in place.
pub fn guided(recorder: &mut Recorder<'_>, node: &Node, gradient: Binding<'_>) -> Result<()> {
    let rule = GuidedGradient {
        images: recorder.images,
        state: node.state().into(),
        gradient,
        parameters: recorder.parameters.into(),
        elements: node.output_elements(),
        activation: node.activation,
    };
    recorder.add(format!("{} guided gradient", node.name), &rule)
}

/// Adds DeepLIFT's rescale rule at the activation of `node`, whose input is `input`, in place.
pub fn rescale(
    recorder: &mut Recorder<'_>,
    node: &Node,
    input: &Buffer,
    multiplier: Binding<'_>,
) -> Result<()> {
    let rule = RescaleMultiplier {
        images: recorder.images,
        input: input.into(),
        output: (&node.value).into(),
        multiplier,
        parameters: recorder.parameters.into(),
        elements: node.output_elements(),
        activation: node.activation,
    };
    recorder.add(format!("{} multipliers", node.name), &rule)
}

/// Adds multiplying `multiplier` at the output of `node`, in place, by y/(x ± ε).
pub fn relevance(
    recorder: &mut Recorder<'_>,
    node: &Node,
    [x, y]: [&Buffer; 2],
    multiplier: Binding<'_>,
) -> Result<()> {
    let ratio = RelevanceRatio {
        images: recorder.images,
        input: x.into(),
        output: y.into(),
        multiplier,
        elements: node.output_elements(),
    };
    recorder.add(format!("{} relevance", node.name), &ratio)
}
