// Gradient of LSQ's step (Esser et al. 2020): ∂L/∂s = SCALE · Σ_w ∂L/∂ŵ · ∂ŵ/∂s over the ELEMENTS
// weights of a step, a channel's or the whole tensor's, with SCALE = 1/√(ELEMENTS · Q_p). `terms`
// are the summands, in PyTorch's order [out, in, tap], from `reduce_weight_gradient`. Set by the
// first part of a batch, added to by later ones; summed in a fixed order. One workgroup a step.

import constants::WORKGROUP;
import package::common::images::Images;
import package::common::sums::ordered_sum;

override ELEMENTS: u32;
override STEP_INDEX: u32;
override SCALE: f32;

@group(0) @binding(0) var<uniform> images: Images;
@group(0) @binding(1) var<storage, read> terms: array<f32>;
@group(0) @binding(2) var<storage, read_write> gradients: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) lane: u32) {
    let base = workgroup.x * ELEMENTS;
    var sum = 0.0;
    for (var e = lane; e < ELEMENTS; e += WORKGROUP) { sum += terms[base + e]; }
    let total = ordered_sum(lane, sum, 0.0) * SCALE;
    if (lane == 0u) {
        let index = STEP_INDEX + workgroup.x;
        gradients[index] = select(total, gradients[index] + total, images.accumulate != 0u);
    }
}
