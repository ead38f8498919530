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
    for (number, (input, format)) in inputs.iter().enumerate() {
        let own = node.inputs[number].0;
        let part = CopyChannels {
            images: recorder.images,
            from: (*input).into(),
            to: (&node.value).into(),
            pixels: own.pixels(),
            channels: [own.channels, node.output.channels],
            first: [0, node.channels_before(number)],
            count: own.channels,
            storage: Storage::new(*format, node.storage.output),
        };
        recorder.add(format!("{} forward", node.name), &part)?;
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
