// The derivative of max-pooling along a direction: output = the direction's value at the pixel that
// gave the window its maximum. Sizes, layouts and `choice` as in `max_pool`. One invocation a group
// of 4 outputs.

import package::common::grid::linear_workgroup;
import package::common::images::Images;
import package::common::pooling::unpack_positions;

override IN_HEIGHT: u32;
override IN_WIDTH: u32;
override GROUPS: u32;
override OUT_HEIGHT: u32;
override OUT_WIDTH: u32;
override KERNEL_WIDTH: u32;
override STRIDE_Y: u32;
override STRIDE_X: u32;
override TOP: u32;
override LEFT: u32;

@group(0) @binding(0) var<uniform> images: Images;
@group(0) @binding(1) var<storage, read> input: array<vec4f>;
@group(0) @binding(2) var<storage, read> choice: array<u32>;
@group(0) @binding(3) var<storage, read_write> output: array<vec4f>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) count: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let element = linear_workgroup(workgroup, count) * 64u + lane;
    let per_image = OUT_HEIGHT * OUT_WIDTH * GROUPS;
    if (element >= images.count * per_image) { return; }
    let image = images.first + element / per_image;
    let group = element % GROUPS;
    let column = (element / GROUPS) % OUT_WIDTH;
    let row = (element / (GROUPS * OUT_WIDTH)) % OUT_HEIGHT;
    let at = images.first * per_image + element;
    let position = unpack_positions(choice[at]);
    // A maximum is a pixel of the image: the sums are not negative.
    let y = vec4u(row * STRIDE_Y) + position / KERNEL_WIDTH - vec4u(TOP);
    let x = vec4u(column * STRIDE_X) + position % KERNEL_WIDTH - vec4u(LEFT);
    let source = ((image * IN_HEIGHT + y) * IN_WIDTH + x) * GROUPS + vec4u(group);
    output[at] = vec4f(
        input[source.x].x,
        input[source.y].y,
        input[source.z].z,
        input[source.w].w,
    );
}
