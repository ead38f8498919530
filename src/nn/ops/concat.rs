//! Values whose channels stand one after another. They are copies: whatever a walk hands back,
//! gradients or multipliers of an attribution method, every value gets its part.

use crate::{
    Result,
    gpu::{Binding, Buffer},
    kernels::CopyChannels,
    nn::{nodes::Node, recorder::Recorder},
    storage::{Format, Storage},
};

/// Adds putting `inputs`, with their formats, side by side.
pub fn forward(
    recorder: &mut Recorder<'_>,
    node: &Node,
    inputs: &[(&Buffer, Format)],
) -> Result<()> {
    let label = format!("{} forward", node.name);
    let inputs: Vec<_> = inputs.iter().map(|&(input, format)| (input.into(), format)).collect();
    side_by_side(recorder, (label, node), &inputs, (&node.value).into())
}

/// Adds putting the derivatives `inputs` along a direction side by side.
pub fn tangent(
    recorder: &mut Recorder<'_>,
    node: &Node,
    inputs: &[Binding<'_>],
    to: Binding<'_>,
) -> Result<()> {
    let label = format!("{} tangent", node.name);
    let inputs: Vec<_> = inputs.iter().map(|&input| (input, node.storage.output)).collect();
    side_by_side(recorder, (label, node), &inputs, to)
}

/// Adds putting `inputs` side by side.
fn side_by_side(
    recorder: &mut Recorder<'_>,
    (label, node): (String, &Node),
    inputs: &[(Binding<'_>, Format)],
    to: Binding<'_>,
) -> Result<()> {
    for (number, &(from, format)) in inputs.iter().enumerate() {
        let own = node.inputs[number].0;
        let part = CopyChannels {
            images: recorder.images,
            from,
            to,
            pixels: own.pixels(),
            channels: [own.channels, node.output.channels],
            first: [0, node.channels_before(number)],
            count: own.channels,
            storage: Storage::new(format, node.storage.output),
        };
        recorder.add(label.as_str(), &part)?;
    }
    Ok(())
}

/// Adds the gradient with respect to input `number`, `to`, from the output's, `from`.
pub fn input_gradient(
    recorder: &mut Recorder<'_>,
    node: &Node,
    number: usize,
    [from, to]: [Binding<'_>; 2],
) -> Result<()> {
    let (own, format) = node.inputs[number];
    let part = CopyChannels {
        images: recorder.images,
        from,
        to,
        pixels: own.pixels(),
        channels: [node.output.channels, own.channels],
        first: [node.channels_before(number), 0],
        count: own.channels,
        storage: Storage::new(node.gradient_storage().output, format.of_gradient()),
    };
    recorder.add(format!("{} gradient", node.name), &part)
}
