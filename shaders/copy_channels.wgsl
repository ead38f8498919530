// COUNT channels of every pixel copied to another place among other channels:
//   to[pixel, TO + c] = from[pixel, FROM + c], c < COUNT,
// a value's part of a concatenation, and its part of the gradient. Of the groups of 4 channels that
// are written, those channels in front of TO stay as they are, and those behind become 0: parts are
// put side by side in their order. `from` has FROM_CHANNELS channels, `to` TO_CHANNELS. One
// invocation a pixel and group of `to`.

import package::common::grid::linear_workgroup;
import package::common::images::Images;
import package::common::storage::{Input, Output, load_input, load_output, store_output};

override PIXELS: u32;
override FROM_CHANNELS: u32;
override TO_CHANNELS: u32;
override FROM: u32;
override TO: u32;
override COUNT: u32;

@group(0) @binding(0) var<uniform> images: Images;
@group(0) @binding(1) var<storage, read> input: array<Input>;
@group(0) @binding(2) var<storage, read_write> output: array<Output>;

// Group `group` of a pixel of `from`, zeros beside the real ones.
fn group_at(pixel: u32, group: i32) -> vec4f {
    let groups = i32((FROM_CHANNELS + 3u) / 4u);
    let inside = group >= 0 && group < groups;
    let at = pixel * u32(groups) + u32(clamp(group, 0, groups - 1));
    return select(vec4f(), load_input(input[at]), inside);
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) count: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let element = linear_workgroup(workgroup, count) * 64u + lane;
    let first = TO / 4u;
    let written = (TO + COUNT - 1u) / 4u - first + 1u;
    if (element >= images.count * PIXELS * written) { return; }
    let pixel = images.first * PIXELS + element / written;
    let group = first + element % written;

    // The channel of `from` that the group's first lane would have, which may lie in front of it.
    let source = i32(group * 4u + FROM) - i32(TO);
    let low = group_at(pixel, source >> 2u);
    let high = group_at(pixel, (source >> 2u) + 1);
    var value = low;
    switch source & 3 {
        case 1: { value = vec4f(low.yzw, high.x); }
        case 2: { value = vec4f(low.zw, high.xy); }
        case 3: { value = vec4f(low.w, high.xyz); }
        default: {}
    }
    let place = vec4i(i32(group * 4u) - i32(TO)) + vec4i(0, 1, 2, 3);
    let at = pixel * ((TO_CHANNELS + 3u) / 4u) + group;
    value = select(value, vec4f(), place >= vec4i(i32(COUNT)));
    output[at] = store_output(select(value, load_output(output[at]), place < vec4i()));
}
