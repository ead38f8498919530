// Max-pooling over windows of KERNEL_HEIGHT × KERNEL_WIDTH pixels with strides STRIDE_Y and
// STRIDE_X and TOP rows and LEFT columns in front of the image (torch.nn.MaxPool2d): the maximum of
// the window's pixels inside the image, of which there is one at least; ties go to the first
// element in row-major order. Values are [image, row, column, channel / 4] vec4f. `choice` keeps,
// for each output, the position ky · KERNEL_WIDTH + kx of its maximum: one byte a channel, so
// windows have at most 256 pixels; integer inference has no use for it. One invocation a group of 4
// outputs.

import package::common::averages::inside;
import package::common::grid::linear_workgroup;
import package::common::images::Images;
import package::common::pooling::pack_positions;
import package::common::storage::{Input, Output, load_input, store_output};

override IN_HEIGHT: u32;
override IN_WIDTH: u32;
override GROUPS: u32;
override OUT_HEIGHT: u32;
override OUT_WIDTH: u32;
override KERNEL_HEIGHT: u32;
override KERNEL_WIDTH: u32;
override STRIDE_Y: u32;
override STRIDE_X: u32;
override TOP: u32;
override LEFT: u32;

@group(0) @binding(0) var<uniform> images: Images;
@group(0) @binding(1) var<storage, read> input: array<Input>;
@group(0) @binding(2) var<storage, read_write> output: array<Output>;
@if(!output_u8 && !output_i8) @group(0) @binding(3) var<storage, read_write> choice: array<u32>;

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

    let rows = inside(row * STRIDE_Y, IN_HEIGHT, KERNEL_HEIGHT, TOP);
    let columns = inside(column * STRIDE_X, IN_WIDTH, KERNEL_WIDTH, LEFT);
    // The position of the image's first pixel, from which the window's wrap where that is in front.
    let origin = (TOP - row * STRIDE_Y) * KERNEL_WIDTH + LEFT - column * STRIDE_X;
    let first = ((image * IN_HEIGHT + rows.x) * IN_WIDTH + columns.x) * GROUPS + group;
    var best = load_input(input[first]);
    var position = vec4u(origin + rows.x * KERNEL_WIDTH + columns.x);
    for (var y = rows.x; y < rows.y; y++) {
        for (var x = columns.x; x < columns.y; x++) {
            let at = ((image * IN_HEIGHT + y) * IN_WIDTH + x) * GROUPS + group;
            let value = load_input(input[at]);
            let larger = value > best;
            best = select(best, value, larger);
            position = select(position, vec4u(origin + y * KERNEL_WIDTH + x), larger);
        }
    }
    let at = images.first * per_image + element;
    output[at] = store_output(best);
    @if(!output_u8 && !output_i8) choice[at] = pack_positions(position);
}
