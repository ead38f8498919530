// Gradient of a depthwise convolution with respect to its input (torch.nn.grad.conv2d_input):
//   input_gradient[n, y, x, c] =
//     Σ_{ky, kx} output_gradient[n, (y + P − ky·D)/S, (x + P − kx·D)/S, c] · weight[ky, kx, c],
// where the divisions have no remainder.
// It is a depthwise convolution by the mirrored taps over the output's gradient with S − 1 zeros
// between its pixels, which are SPACING apart. Here "input" is that gradient: IN_ and OUT_ sizes,
// TOP and LEFT are of what the kernel reads and writes.
//
// `rectified` multiplies by the derivative of the ReLU in front: `input_gradient` holds the ReLU's
// values before, and their gradient after.
//
// Gradients are [image, row, column, channel / 4] vec4f, weights [ky, kx, channel / 4] vec4f. An
// invocation goes down ROWS rows of a strip of COLUMNS pixels as in `depthwise_convolution`.
// COLUMNS is a multiple of SPACING_X: which taps meet a pixel is known when linked.

import constants::{COLUMNS, LANES, FRESH, KERNEL_HEIGHT, KERNEL_WIDTH, SPACING_Y, SPACING_X};
import constants::{DILATION_Y, DILATION_X, TOP, LEFT};
import kinds::activation::RELU;
import package::common::grid::linear_workgroup;
import package::common::images::Images;
import package::common::storage::{Input, Output, load_input, load_state, store_output};
import package::common::activation::derivative;

override IN_HEIGHT: u32;
override IN_WIDTH: u32;
override OUT_HEIGHT: u32;
override OUT_WIDTH: u32;
override GROUPS: u32;
override ROWS: u32;

@group(0) @binding(0) var<uniform> images: Images;
@group(0) @binding(1) var<storage, read> output_gradient: array<Input>;
@group(0) @binding(2) var<storage, read> weight: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> input_gradient: array<Output>;

const TAPS = KERNEL_HEIGHT * KERNEL_WIDTH;
// Pixels of padding in front of a row, and where the first of them is between the spaced pixels.
const FRONT = (LEFT + SPACING_X - 1u) / SPACING_X;
const OFFSET = FRONT * SPACING_X - LEFT;
const SPAN = (COLUMNS - 1u + (KERNEL_WIDTH - 1u) * DILATION_X + OFFSET) / SPACING_X + 1u;
// Rows that a row leaves to the next one; none where taps or pixels are apart: FRESH is
// KERNEL_HEIGHT then.
const KEPT = KERNEL_HEIGHT - FRESH;

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) count: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let strips = (OUT_WIDTH + COLUMNS - 1u) / COLUMNS;
    let bands = (OUT_HEIGHT + ROWS - 1u) / ROWS;
    let element = linear_workgroup(workgroup, count) * LANES + lane;
    let group = element % GROUPS;
    let strip = element / GROUPS;
    let index = strip / (strips * bands);
    if (index >= images.count) { return; }
    let image = images.first + index;
    let first_row = strip / strips % bands * ROWS;
    let column = strip % strips * COLUMNS;

    var w: array<vec4f, TAPS>;
    @unroll for (var t = 0u; t < TAPS; t++) { w[t] = weight[(TAPS - 1u - t) * GROUPS + group]; }
    var line: array<vec4f, KERNEL_HEIGHT * SPAN>;
    let end = min(first_row + ROWS, OUT_HEIGHT);
    for (var row = first_row; row < end; row++) {
        // The first row finds none.
        for (var loads = select(1u, 1u + KEPT, row == first_row); loads > 0u; loads--) {
            @unroll for (var s = 0u; s < (KERNEL_HEIGHT - FRESH) * SPAN; s++) {
                line[s] = line[s + FRESH * SPAN];
            }
            @unroll for (var t = 0u; t < FRESH; t++) {
                // Wraps to a huge number above the first row.
                let spaced = row + 1u - loads + (KERNEL_HEIGHT - FRESH + t) * DILATION_Y - TOP;
                let y = spaced / SPACING_Y;
                let meets = spaced % SPACING_Y == 0u && y < IN_HEIGHT;
                let row_base =
                    (image * IN_HEIGHT + min(y, IN_HEIGHT - 1u)) * IN_WIDTH * GROUPS + group;
                @unroll for (var s = 0u; s < SPAN; s++) {
                    let x = column / SPACING_X + s - FRONT;
                    let value =
                        load_input(output_gradient[row_base + min(x, IN_WIDTH - 1u) * GROUPS]);
                    line[(KERNEL_HEIGHT - FRESH + t) * SPAN + s] =
                        select(vec4f(), value, meets && x < IN_WIDTH);
                }
            }
        }
        let at = ((image * OUT_HEIGHT + row) * OUT_WIDTH + column) * GROUPS + group;
        @unroll for (var c = 0u; c < COLUMNS; c++) {
            var sum = vec4f();
            @unroll for (var ky = 0u; ky < KERNEL_HEIGHT; ky++) {
                @unroll for (var kx = 0u; kx < KERNEL_WIDTH; kx++) {
                    if ((c + kx * DILATION_X + OFFSET) % SPACING_X == 0u) {
                        sum = fma(
                            line[ky * SPAN + (c + kx * DILATION_X + OFFSET) / SPACING_X],
                            w[ky * KERNEL_WIDTH + kx],
                            sum,
                        );
                    }
                }
            }
            if (column + c < OUT_WIDTH) {
                @if(rectified) {
                    let value = load_state(input_gradient[at + c * GROUPS]);
                    let slope = derivative(RELU, value, vec2f(), 1.0);
                    input_gradient[at + c * GROUPS] = store_output(slope * sum);
                }
                @if(!rectified) { input_gradient[at + c * GROUPS] = store_output(sum); }
            }
        }
    }
}
