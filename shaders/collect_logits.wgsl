// Copies the logits of a chunk's images, [slot, class], to the images' positions in the set, and
// writes the predicted classes: the first of the highest. Rows have CLASS_STRIDE floats. One
// invocation per image.

import constants::LANES;
import package::common::step::Step;
import package::common::logits::{logits, softmax_at};

override CLASSES: u32;
override CLASS_STRIDE: u32;

@group(0) @binding(0) var<uniform> current: Step;
@group(0) @binding(2) var<storage, read_write> collected: array<f32>;
@group(0) @binding(3) var<storage, read_write> predicted: array<u32>;

@compute @workgroup_size(LANES)
fn main(@builtin(global_invocation_id) invocation: vec3u) {
    let slot = invocation.x;
    if (slot >= current.count) { return; }
    let image = current.position + slot;
    @unroll(16) for (var c = 0u; c < CLASS_STRIDE; c++) {
        collected[image * CLASS_STRIDE + c] = logits[slot * CLASS_STRIDE + c];
    }
    predicted[image] = softmax_at(slot * CLASS_STRIDE, CLASSES).predicted;
}
