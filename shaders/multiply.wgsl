// The product of two values: output = SCALE · left · right, over PIXELS pixels of GROUPS groups of
// 4 channels an image. With `broadcast` right has one pixel an image, which meets all of left's.
// With `twins` right is the sum of an image's value and its baseline's, which is behind the images,
// in the same order: SCALE 0.5 makes it their mean.

import package::common::grid::linear_workgroup;
import package::common::images::Images;
import package::common::storage::{Input, State, Output, load_input, load_state, store_output};

override PIXELS: u32;
override GROUPS: u32;
override SCALE: f32;

@group(0) @binding(0) var<uniform> images: Images;
@group(0) @binding(1) var<storage, read> left: array<Input>;
@group(0) @binding(2) var<storage, read> right: array<State>;
@group(0) @binding(3) var<storage, read_write> output: array<Output>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) count: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let element = linear_workgroup(workgroup, count) * 64u + lane;
    let size = PIXELS * GROUPS;
    if (element >= images.count * size) { return; }
    let at = images.first * size + element;
    @if(broadcast) let other = at / size * GROUPS + at % GROUPS;
    @if(!broadcast) let other = at;
    var factor = load_state(right[other]);
    @if(twins && broadcast) { factor += load_state(right[other + images.count * GROUPS]); }
    @if(twins && !broadcast) { factor += load_state(right[other + images.count * size]); }
    output[at] = store_output(SCALE * load_input(left[at]) * factor);
}
