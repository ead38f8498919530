// The class of the highest logit of every image, the first of equals. One invocation per image.

import constants::LANES;
import package::common::images::Images;
import package::common::logits::softmax_at;

override CLASSES: u32;
override CLASS_STRIDE: u32;

@group(0) @binding(0) var<uniform> images: Images;
@group(0) @binding(2) var<storage, read_write> predicted: array<u32>;

@compute @workgroup_size(LANES)
fn main(@builtin(global_invocation_id) invocation: vec3u) {
    if (invocation.x >= images.count) { return; }
    let image = images.first + invocation.x;
    predicted[image] = softmax_at(image * CLASS_STRIDE, CLASSES).predicted;
}
