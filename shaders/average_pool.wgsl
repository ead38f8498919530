// Average-pooling over windows of KERNEL_HEIGHT × KERNEL_WIDTH pixels with strides STRIDE_Y and
// STRIDE_X, and TOP, LEFT, BOTTOM and RIGHT zeros around the image (torch.nn.AvgPool2d, which has
// as many on opposite sides):
//   output = Σ_{pixels of the window inside the image} input / pixels(row) / pixels(column),
// `averaged` counts the pixels of a mean along each axis. Values are [image, row, column, channel /
// 4] vec4f. For integers n (pixels or levels), the output is the mean of the floats SCALE · (n −
// ZERO); a padded pixel is the float 0. One invocation per group of 4 outputs.

import package::common::averages::{averaged, inside};
import package::common::channels::real_channels;
import package::common::grid::linear_workgroup;
import package::common::images::Images;
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
override BOTTOM: u32;
override RIGHT: u32;
override COUNTS_PADDING: u32;
@if(input_u8 || input_i8) override CHANNELS: u32;
@if(input_u8 || input_i8) override SCALE: f32;
@if(input_u8 || input_i8) override ZERO: f32;

@group(0) @binding(0) var<uniform> images: Images;
@group(0) @binding(1) var<storage, read> input: array<Input>;
@group(0) @binding(2) var<storage, read_write> output: array<Output>;

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
    var sum = vec4f();
    for (var y = rows.x; y < rows.y; y++) {
        for (var x = columns.x; x < columns.y; x++) {
            sum += load_input(input[((image * IN_HEIGHT + y) * IN_WIDTH + x) * GROUPS + group]);
        }
    }
    @if(input_u8 || input_i8) {
        let pixels = f32((rows.y - rows.x) * (columns.y - columns.x));
        let value = (sum - ZERO * pixels) * SCALE;
        sum = select(vec4f(), value, real_channels(group, CHANNELS));
    }
    let vertical = vec2u(TOP, BOTTOM);
    let horizontal = vec2u(LEFT, RIGHT);
    let high = averaged(row * STRIDE_Y, IN_HEIGHT, KERNEL_HEIGHT, vertical, COUNTS_PADDING);
    let wide = averaged(column * STRIDE_X, IN_WIDTH, KERNEL_WIDTH, horizontal, COUNTS_PADDING);
    output[images.first * per_image + element] = store_output(sum / f32(high * wide));
}
