// The sum of a product over the pixels of an image: output[image, group] = SCALE · Σ left · right,
// over PIXELS pixels of GROUPS groups of 4 channels, row by row: the gradient of a factor that
// meets all pixels. `twins` as in `multiply`. One invocation an image and group.

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
    if (element >= images.count * GROUPS) { return; }
    let image = images.first + element / GROUPS;
    let group = element % GROUPS;
    var sum = vec4f();
    for (var pixel = 0u; pixel < PIXELS; pixel++) {
        let at = (image * PIXELS + pixel) * GROUPS + group;
        var factor = load_state(right[at]);
        @if(twins) { factor += load_state(right[at + images.count * PIXELS * GROUPS]); }
        sum += load_input(left[at]) * factor;
    }
    output[images.first * GROUPS + element] = store_output(SCALE * sum);
}
