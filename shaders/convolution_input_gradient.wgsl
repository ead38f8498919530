// Gradient of a convolution with respect to its input for software drivers
// (torch.nn.grad.conv2d_input):
//   input_gradient[n, y, x, i] = Σ_{ky, o, kx} weight[ky, kx, i, o]
//     · output_gradient[n, (y + P − ky·D)/S, (x + P − kx·D)/S, o],
// over the terms whose divisions have no remainder. It is a convolution with the mirrored taps over
// the output's gradient, with SPACING − 1 zeros between its pixels, where SPACING is the layer's
// stride S, and with PADDING = (K − 1)·D − P. Here "input" is that gradient: IN_ and OUT_ are the
// sizes of the tensors that the kernel reads and writes.
//
// With `pooled_input` a max-pool of 2 × 2 windows follows the layer. The kernel reads the gradient
// of each window and assigns it to the pixel that was `chosen`; the others are 0, as in
// `max_pool_gradient`. IN_HEIGHT and IN_WIDTH then count windows; COLUMNS is even.
//
// `rectified` multiplies by the derivative of the ReLU in front: `input_gradient` holds the ReLU's
// values before, and their gradient afterwards.
//
// Gradients are [image, row, column, channel / 4] vec4f; zeros pad the channels to a multiple of 4.
// Weights are a slice of the layer's input channels in the mirrored layout of `slice_weights`. They
// are in a uniform buffer if they fit, because uniform buffers are loaded without a loop over the
// lanes. With `subgroups` of LANES invocations, each loads its share of a row of taps, and all read
// it from there.
//
// One invocation keeps ROWS rows of COLUMNS pixels by GROUPS groups of 4 channels in registers;
// invocations of a workgroup differ in their pixels. Taps are added in reverse order of the
// weights. COLUMNS is a multiple of SPACING_X, because the taps of a pixel must be known when
// linking.

import constants::{ROWS, COLUMNS, GROUPS, KERNEL_HEIGHT, KERNEL_WIDTH, SPACING_Y, SPACING_X};
import constants::{DILATION_Y, DILATION_X, TOP, LEFT, DEPTH, LANES, WEIGHTS};
import kinds::activation::RELU;
import package::common::grid::linear_workgroup;
import package::common::images::Images;
import package::common::slices::Slice;
@if(pooled_input) import package::common::pooling::unpack_positions;
import package::common::storage::{Input, Output, load_input, load_state, store_output};
import package::common::activation::derivative;

override IN_HEIGHT: u32;
override IN_WIDTH: u32;
override IN_GROUPS: u32;
override OUT_HEIGHT: u32;
override OUT_WIDTH: u32;
override OUT_GROUPS: u32;

@group(0) @binding(0) var<uniform> images: Images;
@group(0) @binding(1) var<storage, read> output_gradient: array<Input>;
@if(uniform_weights) @group(0) @binding(2) var<uniform> weight: array<vec4f, WEIGHTS>;
@if(!uniform_weights) @group(0) @binding(2) var<storage, read> weight: array<vec4f>;
@group(0) @binding(3) var<uniform> slice: Slice;
@group(0) @binding(4) var<storage, read_write> input_gradient: array<Output>;
@if(pooled_input) @group(0) @binding(5) var<storage, read> chosen: array<u32>;

// Number of pixels of padding in front of a row, and the position of the first of them between the
// spaced pixels.
const FRONT = (LEFT + SPACING_X - 1u) / SPACING_X;
const OFFSET = FRONT * SPACING_X - LEFT;
const SPAN = (COLUMNS - 1u + (KERNEL_WIDTH - 1u) * DILATION_X + OFFSET) / SPACING_X + 1u;
// Windows that contain a strip's pixels; the first of them starts SKEW pixels before the strip.
const SKEW = FRONT % 2u;
const WINDOWS = (SPAN + SKEW + 1u) / 2u;
// Number of weights of a row of taps, and the number of loads when all lanes share them.
const ROW_WEIGHTS = KERNEL_WIDTH * 4u * GROUPS;
const ROW_LOADS = (ROW_WEIGHTS + LANES - 1u) / LANES;

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) count: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let strips = (OUT_WIDTH + COLUMNS - 1u) / COLUMNS;
    let bands = (OUT_HEIGHT + ROWS - 1u) / ROWS;
    let first_strip = linear_workgroup(workgroup, count) * LANES;
    if (first_strip >= images.count * bands * strips) { return; }
    let strip = first_strip + lane;
    let index = strip / (strips * bands);
    let image = images.first + min(index, images.count - 1u);
    let row = (strip / strips) % bands * ROWS;
    let column = (strip % strips) * COLUMNS;
    let first_group = slice.first_group + workgroup.z * GROUPS;

    var sum: array<vec4f, ROWS * COLUMNS * GROUPS>;
    for (var tap_row = 0u; tap_row < KERNEL_HEIGHT; tap_row++) {
        let ky = KERNEL_HEIGHT - 1u - tap_row;
        for (var i = 0u; i < IN_GROUPS; i++) {
            var line: array<vec4f, ROWS * SPAN>;
            @unroll for (var r = 0u; r < ROWS; r++) {
                // Wraps to a huge number above the first row.
                let spaced = row + r + ky * DILATION_Y - TOP;
                @if(!pooled_input) let y = spaced / SPACING_Y;
                @if(!pooled_input) let meets = spaced % SPACING_Y == 0u && y < IN_HEIGHT;
                @if(pooled_input) let y = spaced / 2u;
                @if(pooled_input) let first_of_row = spaced % 2u * 2u;
                let row_base =
                    (image * IN_HEIGHT + min(y, IN_HEIGHT - 1u)) * IN_WIDTH * IN_GROUPS + i;
                @if(!pooled_input) {
                    @unroll for (var s = 0u; s < SPAN; s++) {
                        let x = column / SPACING_X + s - FRONT;
                        let at = row_base + min(x, IN_WIDTH - 1u) * IN_GROUPS;
                        line[r * SPAN + s] =
                            select(vec4f(), load_input(output_gradient[at]), meets && x < IN_WIDTH);
                    }
                }
                @if(pooled_input) {
                    @unroll for (var w = 0u; w < WINDOWS; w++) {
                        let x = (column + 2u * w - FRONT - SKEW) / 2u;
                        let at = row_base + min(x, IN_WIDTH - 1u) * IN_GROUPS;
                        let value =
                            select(vec4f(), load_input(output_gradient[at]),
                                y < IN_HEIGHT && x < IN_WIDTH);
                        let position = unpack_positions(chosen[at]);
                        @unroll for (var s = 0u; s < SPAN; s++) {
                            if ((s + SKEW) / 2u == w) {
                                let own = position == vec4u(first_of_row + (s + SKEW) % 2u);
                                line[r * SPAN + s] = select(vec4f(), value, own);
                            }
                        }
                    }
                }
            }
            let taps = ((workgroup.z * KERNEL_HEIGHT + ky) * IN_GROUPS + i) * ROW_WEIGHTS;
            @if(subgroups) var shares: array<vec4f, ROW_LOADS>;
            @if(subgroups) {
                @unroll for (var l = 0u; l < ROW_LOADS; l++) {
                    shares[l] = weight[taps + min(l * LANES + lane, ROW_WEIGHTS - 1u)];
                }
            }
            @unroll for (var g = 0u; g < GROUPS; g++) {
                @unroll for (var tap = 0u; tap < KERNEL_WIDTH; tap++) {
                    const kx = KERNEL_WIDTH - 1u - tap;
                    var w: array<vec4f, DEPTH>;
                    @unroll for (var j = 0u; j < DEPTH; j++) {
                        const at = (kx * 4u + j) * GROUPS + g;
                        @if(subgroups) { w[j] = subgroupBroadcast(shares[at / LANES], at % LANES); }
                        @if(!subgroups) { w[j] = weight[taps + at]; }
                    }
                    @unroll for (var r = 0u; r < ROWS; r++) {
                        @unroll for (var c = 0u; c < COLUMNS; c++) {
                            if ((c + kx * DILATION_X + OFFSET) % SPACING_X == 0u) {
                                @unroll for (var j = 0u; j < DEPTH; j++) {
                                    sum[(r * COLUMNS + c) * GROUPS + g] = fma(
                                        vec4f(line[r * SPAN
                                            + (c + kx * DILATION_X + OFFSET) / SPACING_X][j]),
                                        w[j],
                                        sum[(r * COLUMNS + c) * GROUPS + g],
                                    );
                                }
                            }
                        }
                    }
                }
            }
        }
    }
    if (index >= images.count) { return; }
    @unroll for (var r = 0u; r < ROWS; r++) {
        @unroll for (var c = 0u; c < COLUMNS; c++) {
            let y = row + r;
            let x = column + c;
            if (y < OUT_HEIGHT && x < OUT_WIDTH) {
                let at = ((image * OUT_HEIGHT + y) * OUT_WIDTH + x) * OUT_GROUPS + first_group;
                @unroll for (var g = 0u; g < GROUPS; g++) {
                    if (first_group + g < OUT_GROUPS) {
                        let own = sum[(r * COLUMNS + c) * GROUPS + g];
                        @if(rectified) {
                            let slope =
                                derivative(RELU, load_state(input_gradient[at + g]), vec2f(), 1.0);
                            input_gradient[at + g] = store_output(slope * own);
                        }
                        @if(!rectified) { input_gradient[at + g] = store_output(own); }
                    }
                }
            }
        }
    }
}
