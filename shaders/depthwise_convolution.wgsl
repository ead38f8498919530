// Depthwise 2-D convolution (cross-correlation) with bias and activation: every channel by a filter
// of its own (torch.nn.Conv2d with as many groups as channels, followed by ReLU or PACT):
//   x[n, y, x, c] = bias[c] + Σ_{ky, kx} input[n, y·S + ky·D − P, x·S + kx·D − P, c]
//     · weight[ky, kx, c], output = activate(x),
// with stride S, dilation D and padding P of either axis. In integer inference `requantize`
// replaces bias and activation; floats hold its sums.
//
// Activations are [image, row, column, channel / 4] vec4f, channels padded with zeros to a multiple
// of 4; weights are [ky, kx, channel / 4] vec4f.
//
// An invocation goes down ROWS rows of a strip of COLUMNS pixels of one group of channels, with the
// weights and KERNEL_HEIGHT rows of inputs in registers: every row of outputs loads only the FRESH
// rows of inputs that the one before had no use for. Neighbours have neighbouring groups.

import constants::{COLUMNS, LANES, FRESH, KERNEL_HEIGHT, KERNEL_WIDTH, STRIDE_Y, STRIDE_X};
import constants::{DILATION_Y, DILATION_X, TOP, LEFT};
import package::common::grid::linear_workgroup;
import package::common::images::Images;
import package::common::activation::activate;
import package::common::requantize::requantize;
import package::common::storage::{Input, Output, load_input, store_output};

override IN_HEIGHT: u32;
override IN_WIDTH: u32;
override OUT_HEIGHT: u32;
override OUT_WIDTH: u32;
override GROUPS: u32;
override ROWS: u32;
override ACTIVATION: u32;
@if(pact) override LEVELS: f32;
@if(pact) override ALPHA_INDEX: u32;
@if(pact) override OFFSET_INDEX: u32;
@if(requantized) override LOWEST: f32;
@if(requantized) override HIGHEST: f32;
// Groups of offsets between two pixels; 0 if offsets do not depend on the position.
@if(requantized) override PIXEL_OFFSETS: u32;

@group(0) @binding(0) var<uniform> images: Images;
@group(0) @binding(1) var<storage, read> input: array<Input>;
@group(0) @binding(2) var<storage, read> weight: array<vec4f>;
@if(bias) @group(0) @binding(3) var<storage, read> bias: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> output: array<Output>;
@if(pact) @group(0) @binding(5) var<storage, read_write> pre_activation: array<Output>;
@if(pact) @group(0) @binding(6) var<storage, read> parameters: array<f32>;
@if(requantized) @group(0) @binding(3) var<storage, read> multiplier: array<vec4f>;
@if(requantized) @group(0) @binding(5) var<storage, read> offset: array<vec4f>;

const TAPS = KERNEL_HEIGHT * KERNEL_WIDTH;
// Pixels of a row that a strip sees.
const SPAN = (COLUMNS - 1u) * STRIDE_X + (KERNEL_WIDTH - 1u) * DILATION_X + 1u;
// Rows of outputs that leave rows of inputs to the next one. Rows of dilated taps are not
// neighbours: FRESH is KERNEL_HEIGHT then.
const KEPT = (KERNEL_HEIGHT - FRESH + STRIDE_Y - 1u) / STRIDE_Y;

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
    @unroll for (var t = 0u; t < TAPS; t++) { w[t] = weight[t * GROUPS + group]; }
    @if(bias) let b = bias[group];
    @if(!bias) let b = vec4f();
    @if(requantized) let m = multiplier[group];
    @if(pact) let learned = vec2f(parameters[ALPHA_INDEX], parameters[OFFSET_INDEX]);
    var line: array<vec4f, KERNEL_HEIGHT * SPAN>;
    let end = min(first_row + ROWS, OUT_HEIGHT);
    for (var row = first_row; row < end; row++) {
        // The first row finds no rows of inputs.
        for (var loads = select(1u, 1u + KEPT, row == first_row); loads > 0u; loads--) {
            @unroll for (var s = 0u; s < (KERNEL_HEIGHT - FRESH) * SPAN; s++) {
                line[s] = line[s + FRESH * SPAN];
            }
            @unroll for (var t = 0u; t < FRESH; t++) {
                // Wraps to a huge number above the first row.
                let y = (row + 1u - loads) * STRIDE_Y + (KERNEL_HEIGHT - FRESH + t) * DILATION_Y
                    - TOP;
                let row_base =
                    (image * IN_HEIGHT + min(y, IN_HEIGHT - 1u)) * IN_WIDTH * GROUPS + group;
                @unroll for (var s = 0u; s < SPAN; s++) {
                    let x = column * STRIDE_X + s - LEFT;
                    let value = load_input(input[row_base + min(x, IN_WIDTH - 1u) * GROUPS]);
                    line[(KERNEL_HEIGHT - FRESH + t) * SPAN + s] =
                        select(vec4f(), value, y < IN_HEIGHT && x < IN_WIDTH);
                }
            }
        }
        let at = ((image * OUT_HEIGHT + row) * OUT_WIDTH + column) * GROUPS + group;
        @unroll for (var c = 0u; c < COLUMNS; c++) {
            var sum = b;
            @unroll for (var ky = 0u; ky < KERNEL_HEIGHT; ky++) {
                @unroll for (var kx = 0u; kx < KERNEL_WIDTH; kx++) {
                    sum = fma(
                        line[ky * SPAN + c * STRIDE_X + kx * DILATION_X],
                        w[ky * KERNEL_WIDTH + kx],
                        sum,
                    );
                }
            }
            if (column + c < OUT_WIDTH) {
                @if(pact) {
                    pre_activation[at + c * GROUPS] = store_output(sum);
                    output[at + c * GROUPS] =
                        store_output(activate(ACTIVATION, sum, learned, LEVELS));
                }
                @if(!pact && !requantized) {
                    output[at + c * GROUPS] = store_output(activate(ACTIVATION, sum, vec2f(), 1.0));
                }
                @if(requantized) {
                    let o = offset[(row * OUT_WIDTH + column + c) * PIXEL_OFFSETS + group];
                    output[at + c * GROUPS] = store_output(requantize(sum, m, o, LOWEST, HIGHEST));
                }
            }
        }
    }
}
