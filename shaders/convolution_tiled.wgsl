// 2-D convolution with bias and activation as one matrix product, for GPUs: the sum of
// `convolution` over the same layouts,
//   x[n, y, x, o] = bias[o]
//     + Σ_{ky, kx, i} input[n, y·S + ky·D − P, x·S + kx·D − P, i] · weight[ky, kx, i, o],
//   output = activate(x).
// Rows of the product are the pixels of all images, columns are the output channels, and the inner
// dimension is (ky, kx, i). The matrix of windows ("im2col") is never stored. A fully connected
// layer is the convolution of 1 × 1 pixels by one tap. The gradient with respect to the input is
// the same sum with stride 1 over the output's gradient, whose pixels are SPACING = S apart with
// zeros between them. It has MIRRORED taps, padding (KERNEL − 1)·D − P, the backward weights, and
// neither bias nor activation. `rectified` multiplies it by the derivative of the ReLU in front,
// whose values the output holds before. In integer inference `requantize` replaces bias and
// activation.
//
// A workgroup makes ROW_LANES·ROWS rows × COLUMN_LANES groups of 4 columns. It passes slabs of DEEP
// groups of the inner dimension through workgroup memory: windows [row, DEEP] (with one more group
// per row, so that rows start in different banks) and weights [4·DEEP, column]. An invocation keeps
// ROWS × 4 outputs in registers; its rows are ROW_LANES apart, and neighbouring invocations have
// neighbouring columns. If there are few outputs, SLICES sets of invocations share a slab, and
// their sums are added in order. The order of additions is the same for every output, so that equal
// windows give equal bits, which max-pooling relies on.

import constants::{ROW_LANES, COLUMN_LANES, ROWS, DEEP, SLICES, DEPTH};
import kinds::activation::RELU;
import package::common::grid::linear_workgroup;
import package::common::images::Images;
import package::common::activation::{activate, derivative};
import package::common::requantize::requantize;
import package::common::storage::{Input, Output, load_input, load_state, store_output};
import package::common::windows::{Window, window_of};

override IN_HEIGHT: u32;
override IN_WIDTH: u32;
override IN_GROUPS: u32;
override OUT_HEIGHT: u32;
override OUT_WIDTH: u32;
override OUT_GROUPS: u32;
override KERNEL_HEIGHT: u32;
override KERNEL_WIDTH: u32;
override STRIDE_Y: u32;
override STRIDE_X: u32;
override DILATION_Y: u32;
override DILATION_X: u32;
override TOP: u32;
override LEFT: u32;
override MIRRORED: u32;
override SPACING_Y: u32;
override SPACING_X: u32;
override ACTIVATION: u32;
@if(pact) override LEVELS: f32;
@if(pact) override ALPHA_INDEX: u32;
@if(pact) override OFFSET_INDEX: u32;
@if(requantized) override LOWEST: f32;
@if(requantized) override HIGHEST: f32;
@if(requantized) override PIXEL_OFFSETS: u32; // as in `convolution`

@group(0) @binding(0) var<uniform> images: Images;
@group(0) @binding(1) var<storage, read> input: array<Input>;
@group(0) @binding(2) var<storage, read> weight: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> output: array<Output>;
@if(bias) @group(0) @binding(4) var<storage, read> bias: array<vec4f>;
@if(pact) @group(0) @binding(5) var<storage, read_write> pre_activation: array<Output>;
@if(pact) @group(0) @binding(6) var<storage, read> parameters: array<f32>;
@if(requantized) @group(0) @binding(4) var<storage, read> multiplier: array<vec4f>;
@if(requantized) @group(0) @binding(5) var<storage, read> offset: array<vec4f>;

const SLICE_LANES = ROW_LANES * COLUMN_LANES;
const LANES = SLICE_LANES * SLICES;
// Ensures that an invocation has the same position in a slab for all its loads.
const_assert LANES % DEEP == 0u;
const_assert DEEP % SLICES == 0u;
const TILE_ROWS = ROW_LANES * ROWS;
const WINDOWS = TILE_ROWS * DEEP;
const WINDOW_LOADS = (WINDOWS + LANES - 1u) / LANES;
const WEIGHTS = 4u * DEEP * COLUMN_LANES;
const WEIGHT_LOADS = (WEIGHTS + LANES - 1u) / LANES;

var<workgroup> window_tile: array<vec4f, TILE_ROWS * (DEEP + 1u)>;
var<workgroup> weight_tile: array<vec4f, WEIGHTS>;
@if(sliced) var<workgroup> slice_sums: array<vec4f, LANES>;

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) count: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let pixels = OUT_HEIGHT * OUT_WIDTH;
    let row_count = images.count * pixels;
    let first_row = linear_workgroup(workgroup, count) * TILE_ROWS;
    if (first_row >= row_count) { return; }
    let first_group = workgroup.z * COLUMN_LANES;
    @if(sliced) let slice = lane / SLICE_LANES;
    @if(!sliced) const slice = 0u;
    let row_lane = (lane % SLICE_LANES) / COLUMN_LANES;
    let group = first_group + lane % COLUMN_LANES;
    let taps = KERNEL_HEIGHT * KERNEL_WIDTH;
    let inner = taps * IN_GROUPS;

    // The rows that an invocation loads are the same for all slabs.
    var windows: array<Window, WINDOW_LOADS>;
    @unroll for (var l = 0u; l < WINDOW_LOADS; l++) {
        let row = min(first_row + (l * LANES + lane) / DEEP, row_count - 1u);
        windows[l] = window_of(row, images.first, IN_HEIGHT * IN_WIDTH * IN_GROUPS, pixels,
            OUT_WIDTH, vec2u(STRIDE_Y, STRIDE_X), vec2u(TOP, LEFT));
    }

    var sum: array<vec4f, ROWS>;
    @if(bias) {
        let b = select(vec4f(), bias[min(group, OUT_GROUPS - 1u)], slice == 0u);
        @unroll for (var r = 0u; r < ROWS; r++) { sum[r] = b; }
    }
    for (var first = 0u; first < inner; first += DEEP) {
        workgroupBarrier();
        let k = first + lane % DEEP;
        let i = k % IN_GROUPS;
        let tap = select(k / IN_GROUPS, taps - 1u - k / IN_GROUPS, MIRRORED != 0u);
        @unroll for (var l = 0u; l < WINDOW_LOADS; l++) {
            let element = l * LANES + lane;
            if (element < WINDOWS) {
                let spaced_y = windows[l].y + tap / KERNEL_WIDTH * DILATION_Y;
                let spaced_x = windows[l].x + tap % KERNEL_WIDTH * DILATION_X;
                let y = spaced_y / SPACING_Y;
                let x = spaced_x / SPACING_X;
                let meets = spaced_y % SPACING_Y == 0u && spaced_x % SPACING_X == 0u;
                let at = windows[l].image
                    + (min(y, IN_HEIGHT - 1u) * IN_WIDTH + min(x, IN_WIDTH - 1u)) * IN_GROUPS + i;
                let inside = meets && k < inner && y < IN_HEIGHT && x < IN_WIDTH;
                window_tile[element + element / DEEP] =
                    select(vec4f(), load_input(input[at]), inside);
            }
        }
        @unroll for (var l = 0u; l < WEIGHT_LOADS; l++) {
            let element = l * LANES + lane;
            if (element < WEIGHTS) {
                let line = min(first * 4u + element / COLUMN_LANES, inner * 4u - 1u);
                let column = min(first_group + element % COLUMN_LANES, OUT_GROUPS - 1u);
                weight_tile[element] = weight[line * OUT_GROUPS + column];
            }
        }
        workgroupBarrier();
        for (var step = 0u; step < DEEP / SLICES; step++) {
            let d = step * SLICES + slice;
            var window: array<vec4f, ROWS>;
            @unroll for (var r = 0u; r < ROWS; r++) {
                window[r] = window_tile[(r * ROW_LANES + row_lane) * (DEEP + 1u) + d];
            }
            @unroll for (var j = 0u; j < DEPTH; j++) {
                let w = weight_tile[(d * 4u + j) * COLUMN_LANES + lane % COLUMN_LANES];
                @unroll for (var r = 0u; r < ROWS; r++) {
                    sum[r] = fma(vec4f(window[r][j]), w, sum[r]);
                }
            }
        }
    }
    @if(sliced) {
        @unroll for (var r = 0u; r < ROWS; r++) {
            workgroupBarrier();
            slice_sums[lane] = sum[r];
            workgroupBarrier();
            if (slice == 0u) {
                for (var s = 1u; s < SLICES; s++) { sum[r] += slice_sums[s * SLICE_LANES + lane]; }
            }
        }
    }
    if (slice > 0u || group >= OUT_GROUPS) { return; }
    @if(pact) let learned = vec2f(parameters[ALPHA_INDEX], parameters[OFFSET_INDEX]);
    @unroll for (var r = 0u; r < ROWS; r++) {
        let row = first_row + r * ROW_LANES + row_lane;
        if (row < row_count) {
            let at = (images.first * pixels + row) * OUT_GROUPS + group;
            @if(pact) {
                pre_activation[at] = store_output(sum[r]);
                output[at] = store_output(activate(ACTIVATION, sum[r], learned, LEVELS));
            }
            @if(rectified) {
                let slope = derivative(RELU, load_state(output[at]), vec2f(), 1.0);
                output[at] = store_output(slope * sum[r]);
            }
            @if(!pact && !requantized && !rectified) {
                output[at] = store_output(activate(ACTIVATION, sum[r], vec2f(), 1.0));
            }
            @if(requantized) {
                let o = offset[row % pixels * PIXEL_OFFSETS + group];
                output[at] =
                    store_output(requantize(sum[r], multiplier[group], o, LOWEST, HIGHEST));
            }
        }
    }
}
