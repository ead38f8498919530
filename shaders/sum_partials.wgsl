// Adds COUNT partial sums in a fixed order, times SCALE, into gradients[INDEX]: set by the first
// part of a batch, added to by later ones. One workgroup.

import constants::WORKGROUP;
import package::common::images::Images;
import package::common::sums::ordered_sum;

override COUNT: u32;
override INDEX: u32;
override SCALE: f32 = 1.0;

@group(0) @binding(0) var<uniform> images: Images;
@group(0) @binding(1) var<storage, read> partial_sums: array<f32>;
@group(0) @binding(2) var<storage, read_write> gradients: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(local_invocation_index) lane: u32) {
    var sum = 0.0;
    for (var p = lane; p < COUNT; p += WORKGROUP) { sum += partial_sums[p]; }
    let total = ordered_sum(lane, sum, 0.0) * SCALE;
    if (lane == 0u) {
        gradients[INDEX] = select(total, gradients[INDEX] + total, images.accumulate != 0u);
    }
}
