// Gradient of average-pooling with respect to its input:
//   input_gradient[e] = Σ_{windows that e is in} output_gradient[window] / pixels of its mean.
// Layouts and `averaged` as in `average_pool`. One invocation per group of 4 inputs, which are in
// at most WINDOWS_Y = ceil(KERNEL_HEIGHT / STRIDE_Y) windows along rows, and WINDOWS_X along
// columns.

import constants::{WINDOWS_X, WINDOWS_Y};
import package::common::averages::averaged;
import package::common::grid::linear_workgroup;
import package::common::images::Images;
import package::common::storage::{Input, Output, load_output, store_input};

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

@group(0) @binding(0) var<uniform> images: Images;
@group(0) @binding(1) var<storage, read> output_gradient: array<Output>;
@group(0) @binding(2) var<storage, read_write> input_gradient: array<Input>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) count: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let element = linear_workgroup(workgroup, count) * 64u + lane;
    let per_image = IN_HEIGHT * IN_WIDTH * GROUPS;
    if (element >= images.count * per_image) { return; }
    let image = images.first + element / per_image;
    let group = element % GROUPS;
    // In the padded image.
    let column = (element / GROUPS) % IN_WIDTH + LEFT;
    let row = (element / (GROUPS * IN_WIDTH)) % IN_HEIGHT + TOP;

    let vertical = vec2u(TOP, BOTTOM);
    let horizontal = vec2u(LEFT, RIGHT);
    var sum = vec4f();
    for (var wy = 0u; wy < WINDOWS_Y; wy++) {
        // The number wraps to a huge value in front of the first window.
        let y = row / STRIDE_Y - wy;
        if (y >= OUT_HEIGHT || row - y * STRIDE_Y >= KERNEL_HEIGHT) { continue; }
        let high = averaged(y * STRIDE_Y, IN_HEIGHT, KERNEL_HEIGHT, vertical, COUNTS_PADDING);
        for (var wx = 0u; wx < WINDOWS_X; wx++) {
            let x = column / STRIDE_X - wx;
            if (x >= OUT_WIDTH || column - x * STRIDE_X >= KERNEL_WIDTH) { continue; }
            let wide = averaged(x * STRIDE_X, IN_WIDTH, KERNEL_WIDTH, horizontal, COUNTS_PADDING);
            let at = ((image * OUT_HEIGHT + y) * OUT_WIDTH + x) * GROUPS + group;
            sum += load_output(output_gradient[at]) / f32(high * wide);
        }
    }
    input_gradient[images.first * per_image + element] = store_input(sum);
}
