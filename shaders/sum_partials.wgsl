// Adds COUNT partial sums in a fixed order, times SCALE, into gradients[INDEX]: set by the first part of a batch, added to by later ones.
// One workgroup of 64.

import package::common::images::Images;

override COUNT: u32;
override INDEX: u32;
override SCALE: f32 = 1.0;

@group(0) @binding(0) var<uniform> images: Images;
@group(0) @binding(1) var<storage, read> partial_sums: array<f32>;
@group(0) @binding(2) var<storage, read_write> gradients: array<f32>;

var<workgroup> sums: array<f32, 64>;

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) lane: u32) {
    var sum = 0.0;
    for (var p = lane; p < COUNT; p += 64u) { sum += partial_sums[p]; }
    sums[lane] = sum;
    workgroupBarrier();
    if (lane == 0u) {
        var total = 0.0;
        for (var l = 0u; l < 64u; l++) { total += sums[l]; }
        total *= SCALE;
        gradients[INDEX] = select(total, gradients[INDEX] + total, images.accumulate != 0u);
    }
}
