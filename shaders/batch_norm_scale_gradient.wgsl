// The gradient of a batch norm's scale γ with running statistics, where its input is a direction
// and not a value: gradients[γ] += Σ g · z / σ over all rows. The derivative of y = γ/σ · (x − μ) +
// β along a direction z is γ/σ · z; g is the gradient of what it is used for. `factors` are those
// of `batch_norm_inference`. One workgroup per group of 4 channels.

import constants::WORKGROUP;
import package::common::images::Images;
import package::common::sums::workgroup_sum;

override PIXELS: u32;
override CHANNELS: u32;
override SCALE_INDEX: u32;

@group(0) @binding(0) var<uniform> images: Images;
@group(0) @binding(1) var<storage, read> input: array<vec4f>;
@group(0) @binding(2) var<storage, read> gradient: array<vec4f>;
@group(0) @binding(3) var<storage, read> factors: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> gradients: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) lane: u32) {
    let groups = (CHANNELS + 3u) / 4u;
    let group = workgroup.x;
    let base = images.first * PIXELS * groups + group;
    var sum = vec4f();
    for (var row = lane; row < images.count * PIXELS; row += WORKGROUP) {
        let at = base + row * groups;
        sum += gradient[at] * input[at];
    }
    let total = workgroup_sum(lane, sum) * factors[2u * group + 1u];
    let channel = group * 4u + lane;
    if (lane < 4u && channel < CHANNELS) { gradients[SCALE_INDEX + channel] += total[lane]; }
}
