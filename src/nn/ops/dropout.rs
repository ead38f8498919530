//! Dropout.

use crate::{
    Result,
    gpu::{Binding, Buffer},
    kernels::{Dropout, ELEMENTWISE},
    nn::{nodes::Node, recorder::Recorder},
    storage::Format,
};

/// Adds dropout of a node's values, or of their gradient, in place; `current` is the step's record.
pub fn apply(
    recorder: &mut Recorder<'_>,
    label: String,
    node: &Node,
    (rate, stream): (f32, u32),
    current: &Buffer,
    (values, format): (Binding<'_>, Format),
) -> Result<()> {
    let (chunk, elements, lanes) = (recorder.images, node.output_elements(), ELEMENTWISE);
    recorder.add(label, &Dropout { chunk, current, values, elements, stream, rate, format, lanes })
}
