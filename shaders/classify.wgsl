// Evaluation: predictions[position + i] = (cross entropy, predicted class as a number, its
// probability, the label's probability) of image i.
//
// The predicted class is the first of the highest logits. Rows of logits have CLASS_STRIDE floats.
// One invocation per image.

import constants::LANES;
import package::common::images::Images;
import package::common::step::Step;
import package::common::logits::{logits, softmax_at};

override CLASSES: u32;
override CLASS_STRIDE: u32;

@group(0) @binding(0) var<uniform> images: Images;
@group(0) @binding(2) var<storage, read> labels: array<u32>;
@group(0) @binding(3) var<uniform> current: Step;
@group(0) @binding(4) var<storage, read_write> predictions: array<vec4f>;

@compute @workgroup_size(LANES)
fn main(@builtin(global_invocation_id) invocation: vec3u) {
    if (invocation.x >= images.count) { return; }
    let image = images.first + invocation.x;
    let base = image * CLASS_STRIDE;
    let softmax = softmax_at(base, CLASSES);
    let label = labels[image];
    let cross_entropy = (softmax.highest - logits[base + label]) + softmax.log_sum;
    let probability = exp(-softmax.log_sum);
    // Equal for equal classes: compilers may turn the first into 1 / sum.
    let of_label = select(exp(-cross_entropy), probability, label == softmax.predicted);
    predictions[current.position + invocation.x] =
        vec4f(cross_entropy, f32(softmax.predicted), probability, of_label);
}
