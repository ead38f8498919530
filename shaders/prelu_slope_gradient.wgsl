// The gradient of PReLU's slopes: gradients[slope] = Σ gradient · min(x, 0) over the values of its
// channel, or of all; set by the first part of a batch, added to by later ones. `gradient` is that
// of the output, x the function's input. Sizes as in `prelu`. One workgroup a group of 4 channels,
// which takes its values in a fixed order; of one slope a single workgroup.

import constants::WORKGROUP;
import package::common::images::Images;
import package::common::storage::{Output, State, load_output, load_state};
import package::common::sums::workgroup_sum;

override ELEMENTS: u32;
override GROUPS: u32;
override CHANNELS: u32;
override SLOPE_INDEX: u32;
override PER_CHANNEL: u32;

@group(0) @binding(0) var<uniform> images: Images;
@group(0) @binding(1) var<storage, read> state: array<State>;
@group(0) @binding(2) var<storage, read> gradient: array<Output>;
@group(0) @binding(3) var<storage, read_write> gradients: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) lane: u32) {
    // Of one slope every group is a step.
    let step = select(1u, GROUPS, PER_CHANNEL != 0u);
    let base = images.first * ELEMENTS + workgroup.x;
    var sum = vec4f();
    for (var at = lane * step; at < images.count * ELEMENTS; at += WORKGROUP * step) {
        let x = min(load_state(state[base + at]), vec4f());
        sum += load_output(gradient[base + at]) * x;
    }
    let total = workgroup_sum(lane, sum);
    let all = total.x + total.y + total.z + total.w;
    let value = select(all, total[lane % 4u], PER_CHANNEL != 0u);
    let channel = workgroup.x * 4u + lane;
    let is_slope = select(lane == 0u, lane < 4u && channel < CHANNELS, PER_CHANNEL != 0u);
    if (is_slope) {
        let index = SLOPE_INDEX + channel * PER_CHANNEL;
        gradients[index] = select(value, gradients[index] + value, images.accumulate != 0u);
    }
}
