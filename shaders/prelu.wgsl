// PReLU (He et al. 2015; torch.nn.PReLU): output = x, or below 0 slope · x, with one learned slope,
// or with PER_CHANNEL = 1 one a channel, from SLOPE_INDEX on. Values are [image, pixel, channel /
// 4] vec4f, GROUPS groups of 4 channels a pixel and ELEMENTS an image; zeros stay zeros. One
// invocation a group of 4 values.

import package::common::grid::linear_workgroup;
import package::common::images::Images;
import package::common::slopes::{bent, slopes_of};
import package::common::storage::{Input, Output, load_input, store_output};

override ELEMENTS: u32;
override GROUPS: u32;
override CHANNELS: u32;
override SLOPE_INDEX: u32;
override PER_CHANNEL: u32;

@group(0) @binding(0) var<uniform> images: Images;
@group(0) @binding(1) var<storage, read> input: array<Input>;
@group(0) @binding(2) var<storage, read_write> output: array<Output>;
@group(0) @binding(3) var<storage, read> parameters: array<f32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) count: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let element = linear_workgroup(workgroup, count) * 64u + lane;
    if (element >= images.count * ELEMENTS) { return; }
    let at = images.first * ELEMENTS + element;
    let places = slopes_of(element % GROUPS, CHANNELS, SLOPE_INDEX, PER_CHANNEL);
    let slope = vec4f(
        parameters[places.x],
        parameters[places.y],
        parameters[places.z],
        parameters[places.w],
    );
    output[at] = store_output(bent(load_input(input[at]), slope));
}
