// 2-D convolution (cross-correlation) with bias and activation for software drivers
// (torch.nn.Conv2d followed by ReLU or PACT):
//   x[n, y, x, o] = bias[o] + Σ_{ky, i, kx} input[n, y·S + ky·D − P, x·S + kx·D − P, i]
//     · weight[ky, kx, i, o], output = activate(x).
//
// With `pooled_output` a max-pool of 2 × 2 windows is part of the kernel. For every window, the
// first of the largest activated values is stored, with the x it came from, and its position in
// `choice`, as in `max_pool`. OUT_HEIGHT and OUT_WIDTH then count windows; ROWS and COLUMNS are
// even.
//
// Activations are [image, row, column, channel / 4] vec4f; zeros pad the channels to a multiple of
// 4. Weights are a slice of the output channels in the layout of `slice_weights`. They are in a
// uniform buffer if they fit, because uniform buffers are loaded without a loop over the lanes.
// With `subgroups` of LANES invocations, each loads its share of a row of taps, and all read it
// from there.
//
// One invocation keeps ROWS rows of COLUMNS pixels by GROUPS groups of 4 channels in registers;
// invocations of a workgroup differ in their pixels. The order of additions is the same for every
// output, so that equal windows give equal bits, which max-pooling relies on. ROWS is 1 if a stride
// is not 1, because the taps of a pixel must be known when linking.

import constants::{ROWS, COLUMNS, GROUPS, KERNEL_HEIGHT, KERNEL_WIDTH, STRIDE_Y, STRIDE_X};
import constants::{DILATION_Y, DILATION_X, TOP, LEFT, DEPTH, LANES, WEIGHTS};
import package::common::grid::linear_workgroup;
import package::common::images::Images;
import package::common::slices::Slice;
import package::common::activation::activate;
import package::common::pooling::pack_positions;
import package::common::storage::{Input, Output, load_input, store_output, as_stored_output};

override IN_HEIGHT: u32;
override IN_WIDTH: u32;
override IN_GROUPS: u32;
override OUT_HEIGHT: u32;
override OUT_WIDTH: u32;
override OUT_GROUPS: u32;
override ACTIVATION: u32;
@if(pact) override LEVELS: f32;
@if(pact) override ALPHA_INDEX: u32;
@if(pact) override OFFSET_INDEX: u32;

@group(0) @binding(0) var<uniform> images: Images;
@group(0) @binding(1) var<storage, read> input: array<Input>;
@if(uniform_weights) @group(0) @binding(2) var<uniform> weight: array<vec4f, WEIGHTS>;
@if(!uniform_weights) @group(0) @binding(2) var<storage, read> weight: array<vec4f>;
@group(0) @binding(3) var<uniform> slice: Slice;
@group(0) @binding(4) var<storage, read> bias: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> output: array<Output>;
// PACT's backward pass needs x itself, because quantization hides on which side of the range's ends
// it was.
@if(pact) @group(0) @binding(6) var<storage, read_write> pre_activation: array<Output>;
@if(pact) @group(0) @binding(7) var<storage, read> parameters: array<f32>;
@if(pooled_output) @group(0) @binding(8) var<storage, read_write> choice: array<u32>;

// Number of pixels of a row that a strip reads.
const SPAN = (COLUMNS - 1u) * STRIDE_X + (KERNEL_WIDTH - 1u) * DILATION_X + 1u;
// Number of pixels per output of the kernel along each axis.
@if(pooled_output) const SIDE = 2u;
@if(!pooled_output) const SIDE = 1u;
// Number of weights of a row of taps, and the number of loads when all lanes share them.
const ROW_WEIGHTS = KERNEL_WIDTH * 4u * GROUPS;
const ROW_LOADS = (ROW_WEIGHTS + LANES - 1u) / LANES;

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) count: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let strips = (OUT_WIDTH * SIDE + COLUMNS - 1u) / COLUMNS;
    let bands = (OUT_HEIGHT * SIDE + ROWS - 1u) / ROWS;
    let first_strip = linear_workgroup(workgroup, count) * LANES;
    if (first_strip >= images.count * bands * strips) { return; }
    let strip = first_strip + lane;
    let index = strip / (strips * bands);
    let image = images.first + min(index, images.count - 1u);
    let row = (strip / strips) % bands * ROWS;
    let column = (strip % strips) * COLUMNS;
    let first_group = slice.first_group + workgroup.z * GROUPS;

    var sum: array<vec4f, ROWS * COLUMNS * GROUPS>;
    @unroll for (var g = 0u; g < GROUPS; g++) {
        let b = bias[min(first_group + g, OUT_GROUPS - 1u)];
        @unroll for (var c = 0u; c < ROWS * COLUMNS; c++) { sum[c * GROUPS + g] = b; }
    }
    for (var ky = 0u; ky < KERNEL_HEIGHT; ky++) {
        for (var i = 0u; i < IN_GROUPS; i++) {
            var line: array<vec4f, ROWS * SPAN>;
            @unroll for (var r = 0u; r < ROWS; r++) {
                // Wraps to a huge number above the first row.
                let y = (row + r) * STRIDE_Y + ky * DILATION_Y - TOP;
                let row_base =
                    (image * IN_HEIGHT + min(y, IN_HEIGHT - 1u)) * IN_WIDTH * IN_GROUPS + i;
                @unroll for (var s = 0u; s < SPAN; s++) {
                    let x = column * STRIDE_X + s - LEFT;
                    let value = load_input(input[row_base + min(x, IN_WIDTH - 1u) * IN_GROUPS]);
                    line[r * SPAN + s] = select(vec4f(), value, y < IN_HEIGHT && x < IN_WIDTH);
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
                @unroll for (var kx = 0u; kx < KERNEL_WIDTH; kx++) {
                    var w: array<vec4f, DEPTH>;
                    @unroll for (var j = 0u; j < DEPTH; j++) {
                        const at = (kx * 4u + j) * GROUPS + g;
                        @if(subgroups) { w[j] = subgroupBroadcast(shares[at / LANES], at % LANES); }
                        @if(!subgroups) { w[j] = weight[taps + at]; }
                    }
                    @unroll for (var r = 0u; r < ROWS; r++) {
                        @unroll for (var c = 0u; c < COLUMNS; c++) {
                            @unroll for (var j = 0u; j < DEPTH; j++) {
                                sum[(r * COLUMNS + c) * GROUPS + g] = fma(
                                    vec4f(line[r * SPAN + c * STRIDE_X + kx * DILATION_X][j]),
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
    if (index >= images.count) { return; }
    @if(pact) let learned = vec2f(parameters[ALPHA_INDEX], parameters[OFFSET_INDEX]);
    @unroll for (var r = 0u; r < ROWS / SIDE; r++) {
        @unroll for (var c = 0u; c < COLUMNS / SIDE; c++) {
            let y = row / SIDE + r;
            let x = column / SIDE + c;
            if (y < OUT_HEIGHT && x < OUT_WIDTH) {
                let at = ((image * OUT_HEIGHT + y) * OUT_WIDTH + x) * OUT_GROUPS + first_group;
                @unroll for (var g = 0u; g < GROUPS; g++) {
                    if (first_group + g < OUT_GROUPS) {
                        var before = sum[(r * SIDE * COLUMNS + c * SIDE) * GROUPS + g];
                        @if(pact) var value = activate(ACTIVATION, before, learned, LEVELS);
                        @if(!pact) var value = activate(ACTIVATION, before, vec2f(), 1.0);
                        @if(pooled_output) {
                            // Values with equal stored forms must be equal.
                            value = as_stored_output(value);
                            var best = vec4u();
                            @unroll for (var p = 1u; p < 4u; p++) {
                                let other_before = sum[((r * 2u + p / 2u) * COLUMNS + c * 2u
                                    + p % 2u) * GROUPS + g];
                                @if(pact) let other =
                                    as_stored_output(
                                        activate(ACTIVATION, other_before, learned, LEVELS));
                                @if(!pact) let other =
                                    as_stored_output(
                                        activate(ACTIVATION, other_before, vec2f(), 1.0));
                                let larger = other > value;
                                value = select(value, other, larger);
                                before = select(before, other_before, larger);
                                best = select(best, vec4u(p), larger);
                            }
                            choice[at + g] = pack_positions(best);
                        }
                        @if(pact) { pre_activation[at + g] = store_output(before); }
                        output[at + g] = store_output(value);
                    }
                }
            }
        }
    }
}
