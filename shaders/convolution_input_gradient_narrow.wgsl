// Gradient of a 2-D convolution with respect to an input of at most 4 channels (an image): the
// convolution of the output's gradient with the mirrored weights. In `convolution`, whose lanes are
// output channels, all lanes but one would have no work.
//
// Gradients are [image, row, column, channel / 4] vec4f. Weights are the forward layout of
// `prepare_weights`, [ky, kx, in channel (padded), out channel / 4] vec4f. Invocations of a
// workgroup differ in their row, so that weights are loaded once for all. One invocation keeps
// COLUMNS pixels of a row in registers; COLUMNS is a multiple of STRIDE_X.

import constants::{COLUMNS, KERNEL_HEIGHT, KERNEL_WIDTH, STRIDE_Y, STRIDE_X};
import constants::{DILATION_Y, DILATION_X, TOP, LEFT, CHANNELS, LANES};
import package::common::images::Images;
import package::common::storage::{Input, Output, load_output, store_input};

override IN_HEIGHT: u32;
override IN_WIDTH: u32;
override IN_GROUPS: u32; // 1
override OUT_HEIGHT: u32;
override OUT_WIDTH: u32;
override OUT_GROUPS: u32;

@group(0) @binding(0) var<uniform> images: Images;
@group(0) @binding(1) var<storage, read> output_gradient: array<Output>;
@group(0) @binding(2) var<storage, read> weight: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> input_gradient: array<Input>;

// Pixels that a row of taps spreads over.
const EXTENT = (KERNEL_WIDTH - 1u) * DILATION_X + 1u;
// Output column of input column c under tap kx, from the strip's first: (c + LEFT +
// EXTENT·STRIDE_X − kx·DILATION_X) / STRIDE_X − EXTENT.
const LOW = (LEFT + EXTENT * STRIDE_X - EXTENT + 1u) / STRIDE_X;
const SPAN = (COLUMNS - 1u + LEFT + EXTENT * STRIDE_X) / STRIDE_X - LOW + 1u;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) lane: u32) {
    if (workgroup.y >= images.count) { return; }
    let image = images.first + workgroup.y;
    let strips = (IN_WIDTH + COLUMNS - 1u) / COLUMNS;
    let row = (workgroup.x / strips) * LANES + lane;
    let column = (workgroup.x % strips) * COLUMNS;
    let image_base = image * OUT_HEIGHT * OUT_WIDTH * OUT_GROUPS;

    var sum: array<vec4f, COLUMNS>;
    for (var ky = 0u; ky < KERNEL_HEIGHT; ky++) {
        // Wraps to a huge number below the first row.
        let shifted = row + TOP - ky * DILATION_Y;
        let y = shifted / STRIDE_Y;
        let meets = shifted % STRIDE_Y == 0u && y < OUT_HEIGHT;
        let row_base = image_base + min(y, OUT_HEIGHT - 1u) * OUT_WIDTH * OUT_GROUPS;
        for (var o = 0u; o < OUT_GROUPS; o++) {
            var line: array<vec4f, SPAN>;
            @unroll for (var s = 0u; s < SPAN; s++) {
                let x = column / STRIDE_X + s + LOW - EXTENT;
                let value = load_output(output_gradient[row_base
                    + min(x, OUT_WIDTH - 1u) * OUT_GROUPS + o]);
                line[s] = select(vec4f(), value, meets && x < OUT_WIDTH);
            }
            @unroll for (var kx = 0u; kx < KERNEL_WIDTH; kx++) {
                @unroll for (var i = 0u; i < CHANNELS; i++) {
                    let w = weight[((ky * KERNEL_WIDTH + kx) * 4u + i) * OUT_GROUPS + o];
                    @unroll for (var c = 0u; c < COLUMNS; c++) {
                        const at = c + LEFT + EXTENT * STRIDE_X - kx * DILATION_X;
                        if (at % STRIDE_X == 0u) { sum[c][i] += dot(line[at / STRIDE_X - LOW], w);
                        }
                    }
                }
            }
        }
    }
    if (row < IN_HEIGHT) {
        @unroll for (var c = 0u; c < COLUMNS; c++) {
            if (column + c < IN_WIDTH) {
                input_gradient[((image * IN_HEIGHT + row) * IN_WIDTH + column + c) * IN_GROUPS] =
                    store_input(sum[c]);
            }
        }
    }
}
