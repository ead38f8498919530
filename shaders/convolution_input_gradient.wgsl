// Gradient of a 2-D convolution with respect to its input (torch.nn.grad.conv2d_input):
//   input_gradient[n, y, x, i] = Σ_{ky, kx, o} output_gradient[n, (y + P − ky) / S, (x + P − kx) / S, o] · weight[o, i, ky, kx],
// over the taps whose divisions leave no rest and whose results lie inside the output.
//
// Gradients are [image, row, column, channel / 4] vec4f. Weights are [ky, kx, out channel (padded), in channel / 4] vec4f: the second
// layout of `prepare_weights`. Tiling as in `convolution`; COLUMNS is a multiple of STRIDE, so which taps meet is known when linked.

import constants::{COLUMNS, GROUPS, KERNEL, STRIDE, PADDING, DEPTH, LANES};
import package::common::images::Images;
import package::common::storage::{Input, Output, load_output, store_input};

override IN_HEIGHT: u32;
override IN_WIDTH: u32;
override IN_GROUPS: u32;
override OUT_HEIGHT: u32;
override OUT_WIDTH: u32;
override OUT_GROUPS: u32;

@group(0) @binding(0) var<uniform> images: Images;
@group(0) @binding(1) var<storage, read> output_gradient: array<Output>;
@group(0) @binding(2) var<storage, read> weight: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> input_gradient: array<Input>;

// Output column of input column c under tap kx, from the strip's first: (c + PADDING + KERNEL·STRIDE − kx) / STRIDE − KERNEL.
const LOW = (PADDING + KERNEL * STRIDE - KERNEL + 1u) / STRIDE;
const SPAN = (COLUMNS - 1u + PADDING + KERNEL * STRIDE) / STRIDE - LOW + 1u;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) lane: u32) {
    if (workgroup.y >= images.count) { return; }
    let image = images.first + workgroup.y;
    let strips = (IN_WIDTH + COLUMNS - 1u) / COLUMNS;
    let row = workgroup.x / strips;
    let column = (workgroup.x % strips) * COLUMNS;
    let first_group = workgroup.z * LANES * GROUPS + lane;
    let image_base = image * OUT_HEIGHT * OUT_WIDTH * OUT_GROUPS;

    var sum: array<vec4f, COLUMNS * GROUPS>;
    for (var ky = 0u; ky < KERNEL; ky++) {
        let shifted = row + PADDING - ky; // wraps to a huge number below the first row
        let y = shifted / STRIDE;
        if (shifted % STRIDE != 0u || y >= OUT_HEIGHT) { continue; }
        for (var o = 0u; o < OUT_GROUPS; o++) {
            var line: array<vec4f, SPAN>;
            @unroll for (var s = 0u; s < SPAN; s++) {
                let x = column / STRIDE + s + LOW - KERNEL;
                let value = load_output(output_gradient[image_base + (y * OUT_WIDTH + min(x, OUT_WIDTH - 1u)) * OUT_GROUPS + o]);
                line[s] = select(vec4f(), value, x < OUT_WIDTH);
            }
            @unroll for (var kx = 0u; kx < KERNEL; kx++) {
                let tap = ((ky * KERNEL + kx) * OUT_GROUPS + o) * 4u * IN_GROUPS;
                @unroll for (var j = 0u; j < DEPTH; j++) {
                    @unroll for (var g = 0u; g < GROUPS; g++) {
                        let w = weight[tap + j * IN_GROUPS + min(first_group + g * LANES, IN_GROUPS - 1u)];
                        @unroll for (var c = 0u; c < COLUMNS; c++) {
                            if ((c + PADDING + KERNEL * STRIDE - kx) % STRIDE == 0u) {
                                sum[c * GROUPS + g] = fma(
                                    vec4f(line[(c + PADDING + KERNEL * STRIDE - kx) / STRIDE - LOW][j]), w, sum[c * GROUPS + g]);
                            }
                        }
                    }
                }
            }
        }
    }
    @unroll for (var c = 0u; c < COLUMNS; c++) {
        if (column + c < IN_WIDTH) {
            let at = ((image * IN_HEIGHT + row) * IN_WIDTH + column + c) * IN_GROUPS + first_group;
            @unroll for (var g = 0u; g < GROUPS; g++) {
                if (first_group + g * LANES < IN_GROUPS) { input_gradient[at + g * LANES] = store_input(sum[c * GROUPS + g]); }
            }
        }
    }
}
