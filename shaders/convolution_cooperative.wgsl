// 2-D convolution of quantized inputs by quantized weights, with bias and activation, as one
// product of cooperative matrices, for GPUs that have them: the sum of `convolution_tiled`,
//   x[n, y, x, o] = bias[o]
//     + Σ_{ky, kx, i} input[n, y·S + ky·D − P, x·S + kx·D − P, i] · weight[ky, kx, i, o],
//   output = activate(x),
// over the same layouts, with factors in f16 and sums in f32.
//
// The factors are integer levels, and the sum is scaled at the end by the input's step times the
// channel's (`weight_unit`). Integers up to 2048 are exact in f16, and sums up to 2^24 in f32.
// nn/choices/table.rs uses this kernel only if no sum can be larger, so that the product has no
// rounding, whatever the order of additions. (At 8 bits each this holds up to 258 products per sum,
// 255 · 255 · 258 < 2^24.) A fully connected layer is the convolution of 1 × 1 pixels by one tap.
//
// A workgroup is one subgroup and makes ROWS × COLUMNS matrices of SIDE × SIDE. It passes slabs of
// DEEP groups of the inner dimension, [row, DEEP] windows and [4·DEEP, column] weights, through
// workgroup memory. Its sums go to the lanes that finish them, one matrix at a time. The order of
// additions depends on the device, but is the same for every matrix of a dispatch.

import constants::{LANES, SIDE, ROWS, COLUMNS, DEEP};
import package::common::grid::linear_workgroup;
import package::common::images::Images;
import package::common::activation::{activate, step_size};
import package::common::quantizer::weight_unit;
import package::common::storage::{Input, Output, load_input, store_output};
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
override ACTIVATION: u32;
@if(pact) override LEVELS: f32;
@if(pact) override ALPHA_INDEX: u32;
@if(pact) override OFFSET_INDEX: u32;
override INPUT_ACTIVATION: u32;
override INPUT_LEVELS: f32;
override INPUT_INDEX: u32;
override QUANTIZER: u32;
override WEIGHT_LEVELS: f32;

@group(0) @binding(0) var<uniform> images: Images;
@group(0) @binding(1) var<storage, read> input: array<Input>;
@group(0) @binding(2) var<storage, read> weight: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> output: array<Output>;
@group(0) @binding(4) var<storage, read> bias: array<vec4f>;
@group(0) @binding(5) var<storage, read> parameters: array<f32>;
@group(0) @binding(6) var<storage, read> quantizer: array<vec4f>;
@if(pact) @group(0) @binding(7) var<storage, read_write> pre_activation: array<Output>;

@if(side_8) alias Windows = coop_mat8x8<f16, A>;
@if(side_8) alias Weights = coop_mat8x8<f16, B>;
@if(side_8) alias Sums = coop_mat8x8<f32, C>;
@if(!side_8) alias Windows = coop_mat16x16<f16, A>;
@if(!side_8) alias Weights = coop_mat16x16<f16, B>;
@if(!side_8) alias Sums = coop_mat16x16<f32, C>;

const INNER = 4u * DEEP;
const TILE_ROWS = SIDE * ROWS;
const TILE_GROUPS = SIDE / 4u * COLUMNS;
// Ensures that an invocation has the same position in a slab for all its loads.
const_assert LANES % DEEP == 0u;
const_assert INNER % SIDE == 0u;
const_assert TILE_ROWS * DEEP % LANES == 0u;
const WINDOW_LOADS = TILE_ROWS * DEEP / LANES;
const WEIGHT_LOADS = (INNER * TILE_GROUPS + LANES - 1u) / LANES;

var<workgroup> window_tile: array<f16, TILE_ROWS * INNER>;
var<workgroup> weight_tile: array<f16, INNER * TILE_GROUPS * 4u>;
var<workgroup> sums: array<f32, SIDE * SIDE>;

// The level of a value: the value as a multiple of `unit`.
fn levels(value: vec4f, unit: vec4f) -> vec4<f16> {
    return vec4<f16>(select(round(value / unit), vec4f(), unit == vec4f()));
}

fn weight_units(group: u32) -> vec4f {
    var unit: vec4f;
    @unroll for (var j = 0u; j < 4u; j++) {
        unit[j] =
            weight_unit(QUANTIZER, quantizer[4u * min(group, OUT_GROUPS - 1u) + j], WEIGHT_LEVELS);
    }
    return unit;
}

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) count: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let pixels = OUT_HEIGHT * OUT_WIDTH;
    let row_count = images.count * pixels;
    let first_row = linear_workgroup(workgroup, count) * TILE_ROWS;
    let first_group = workgroup.z * TILE_GROUPS;
    let inner = KERNEL_HEIGHT * KERNEL_WIDTH * IN_GROUPS;
    let input_unit = step_size(INPUT_ACTIVATION, parameters[INPUT_INDEX], INPUT_LEVELS);

    // The rows that an invocation loads are the same for all slabs.
    var origins: array<Window, WINDOW_LOADS>;
    @unroll for (var l = 0u; l < WINDOW_LOADS; l++) {
        let row = min(first_row + (l * LANES + lane) / DEEP, row_count - 1u);
        origins[l] = window_of(row, images.first, IN_HEIGHT * IN_WIDTH * IN_GROUPS, pixels,
            OUT_WIDTH, vec2u(STRIDE_Y, STRIDE_X), vec2u(TOP, LEFT));
    }

    var sum: array<Sums, ROWS * COLUMNS>;
    for (var first = 0u; first < inner; first += DEEP) {
        workgroupBarrier();
        let k = first + lane % DEEP;
        let tap = k / IN_GROUPS;
        @unroll for (var l = 0u; l < WINDOW_LOADS; l++) {
            let y = origins[l].y + tap / KERNEL_WIDTH * DILATION_Y;
            let x = origins[l].x + tap % KERNEL_WIDTH * DILATION_X;
            let at = origins[l].image + (min(y, IN_HEIGHT - 1u) * IN_WIDTH + min(x, IN_WIDTH - 1u))
                * IN_GROUPS + k % IN_GROUPS;
            let inside = k < inner && y < IN_HEIGHT && x < IN_WIDTH;
            let value = levels(select(vec4f(), load_input(input[at]), inside), vec4f(input_unit));
            @unroll for (var j = 0u; j < 4u; j++) {
                window_tile[4u * (l * LANES + lane) + j] = value[j];
            }
        }
        @unroll for (var l = 0u; l < WEIGHT_LOADS; l++) {
            let element = l * LANES + lane;
            if (element < INNER * TILE_GROUPS) {
                // Windows are 0 behind the end of the inner dimension.
                let line = min(first * 4u + element / TILE_GROUPS, inner * 4u - 1u);
                let group = min(first_group + element % TILE_GROUPS, OUT_GROUPS - 1u);
                let value = levels(weight[line * OUT_GROUPS + group], weight_units(group));
                @unroll for (var j = 0u; j < 4u; j++) { weight_tile[4u * element + j] = value[j]; }
            }
        }
        workgroupBarrier();
        @unroll for (var d = 0u; d < INNER / SIDE; d++) {
            var windows: array<Windows, ROWS>;
            @unroll for (var r = 0u; r < ROWS; r++) {
                windows[r] = coopLoadT<Windows>(&window_tile[r * SIDE * INNER + d * SIDE], INNER);
            }
            @unroll for (var c = 0u; c < COLUMNS; c++) {
                let weights = coopLoadT<Weights>(
                    &weight_tile[d * SIDE * TILE_GROUPS * 4u + c * SIDE], TILE_GROUPS * 4u);
                @unroll for (var r = 0u; r < ROWS; r++) {
                    sum[r * COLUMNS + c] =
                        coopMultiplyAdd(windows[r], weights, sum[r * COLUMNS + c]);
                }
            }
        }
    }
    @if(pact) let learned = vec2f(parameters[ALPHA_INDEX], parameters[OFFSET_INDEX]);
    @unroll for (var tile = 0u; tile < ROWS * COLUMNS; tile++) {
        workgroupBarrier();
        coopStoreT(sum[tile], &sums[0], SIDE);
        workgroupBarrier();
        for (var element = lane; element < SIDE * SIDE / 4u; element += LANES) {
            let row = first_row + tile / COLUMNS * SIDE + element / (SIDE / 4u);
            let group = first_group + tile % COLUMNS * (SIDE / 4u) + element % (SIDE / 4u);
            if (row < row_count && group < OUT_GROUPS) {
                let own = vec4f(sums[4u * element], sums[4u * element + 1u],
                    sums[4u * element + 2u], sums[4u * element + 3u]);
                let x = own * (weight_units(group) * input_unit) + bias[group];
                let at = (images.first * pixels + row) * OUT_GROUPS + group;
                @if(pact) {
                    pre_activation[at] = store_output(x);
                    output[at] = store_output(activate(ACTIVATION, x, learned, LEVELS));
                }
                @if(!pact) { output[at] = store_output(activate(ACTIVATION, x, vec2f(), 1.0)); }
            }
        }
    }
}
