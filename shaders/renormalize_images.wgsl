// Images in another normalisation: output = SCALE · input + OFFSET in real channels, 0 in the
// padding, [image, row, column, channel / 4] vec4f. One invocation per group of 4 channels.

import package::common::channels::real_channels;
import package::common::grid::linear_workgroup;
import package::common::images::Images;

override PIXELS: u32;
override CHANNELS: u32;
override SCALE: f32;
override OFFSET: f32;

@group(0) @binding(0) var<uniform> images: Images;
@group(0) @binding(1) var<storage, read> input: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> output: array<vec4f>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) count: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let element = linear_workgroup(workgroup, count) * 64u + lane;
    let groups = (CHANNELS + 3u) / 4u;
    let size = PIXELS * groups;
    if (element >= images.count * size) { return; }
    let at = images.first * size + element;
    let value = SCALE * input[at] + vec4f(OFFSET);
    output[at] = select(vec4f(), value, real_channels(element % groups, CHANNELS));
}
