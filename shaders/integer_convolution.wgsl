// Forward convolution of integers: exact 32-bit sums of products of bytes, which `requantize` turns
// into outputs (deploy::IntegerPlan):
//   sum[n, y, x, o] =
//     Σ_{ky, kx, i} input[n, y·S + ky − P, x·S + kx − P, i] · weight[ky, kx, i, o],
// where the input is 0 outside the image.
// A fully connected layer is the convolution of 1 × 1 pixels by one tap. Four channels are one
// word. Input is [image, row, column, channel / 4], weights [ky, kx, channel / 4, out channel / 4]
// vec4u.
//
// Products are of signed bytes. Unsigned inputs have their top bit flipped: a = a' + 128, so that Σ
// w·a = Σ w·a' + 128·Σ w, and the part that does not depend on the image is in `start`. WIDE
// weights, −255 … 255, are w = SPACING·c + factor[o] with signed bytes c:
//   Σ w·a = SPACING·Σ c·a' + factor[o]·Σ a' + start[o],  where Σ a' is one more sum a row.
//
// Tiles are those of `convolution_tiled`: ROW_LANES·ROWS pixels × COLUMN_LANES groups of 4 output
// channels per workgroup, slabs of DEEP words through workgroup memory, and SLICES sets of
// invocations per slab.

import constants::{ROW_LANES, COLUMN_LANES, ROWS, DEEP, SLICES};
import package::common::grid::linear_workgroup;
import package::common::images::Images;
import package::common::requantize::requantize;
import package::common::storage::{Output, store_output};
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
override LOWEST: f32;
override HIGHEST: f32;
// Groups of offsets between two pixels; 0 if offsets do not depend on the position.
override PIXEL_OFFSETS: u32;
@if(wide) override SPACING: i32;

// Start and factor of the sums of a group of output channels.
struct Sums {
    start: vec4i,
    factor: vec4i,
}

@group(0) @binding(0) var<uniform> images: Images;
@group(0) @binding(1) var<storage, read> input: array<u32>;
@group(0) @binding(2) var<storage, read> weight: array<vec4u>;
@group(0) @binding(3) var<storage, read_write> output: array<Output>;
@group(0) @binding(4) var<storage, read> multiplier: array<vec4f>;
@group(0) @binding(5) var<storage, read> offset: array<vec4f>;
@group(0) @binding(6) var<storage, read> sums: array<Sums>;

const SLICE_LANES = ROW_LANES * COLUMN_LANES;
const LANES = SLICE_LANES * SLICES;
// Ensures that an invocation has the same position in a slab for all its loads.
const_assert LANES % DEEP == 0u;
const_assert DEEP % SLICES == 0u;
const TILE_ROWS = ROW_LANES * ROWS;
const WINDOWS = TILE_ROWS * DEEP;
const WINDOW_LOADS = (WINDOWS + LANES - 1u) / LANES;
const WEIGHTS = DEEP * COLUMN_LANES;
const WEIGHT_LOADS = (WEIGHTS + LANES - 1u) / LANES;
// Mask that turns the input's bytes into signed bytes.
@if(input_u8) const FLIP = 0x80808080u;
@if(!input_u8) const FLIP = 0u;

var<workgroup> window_tile: array<u32, TILE_ROWS * (DEEP + 1u)>;
var<workgroup> weight_tile: array<vec4u, WEIGHTS>;
@if(sliced) var<workgroup> slice_sums: array<vec4i, LANES>;

fn dot_group(a: u32, w: vec4u) -> vec4i {
    return vec4i(dot4I8Packed(a, w.x), dot4I8Packed(a, w.y), dot4I8Packed(a, w.z),
        dot4I8Packed(a, w.w));
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
    if (first_row >= row_count) { return; }
    let first_group = workgroup.z * COLUMN_LANES;
    @if(sliced) let slice = lane / SLICE_LANES;
    @if(!sliced) const slice = 0u;
    let row_lane = (lane % SLICE_LANES) / COLUMN_LANES;
    let group = first_group + lane % COLUMN_LANES;
    let inner = KERNEL_HEIGHT * KERNEL_WIDTH * IN_GROUPS;

    // The rows that an invocation loads are the same for all slabs.
    var windows: array<Window, WINDOW_LOADS>;
    @unroll for (var l = 0u; l < WINDOW_LOADS; l++) {
        let row = min(first_row + (l * LANES + lane) / DEEP, row_count - 1u);
        windows[l] = window_of(row, images.first, IN_HEIGHT * IN_WIDTH * IN_GROUPS, pixels,
            OUT_WIDTH, vec2u(STRIDE_Y, STRIDE_X), vec2u(TOP, LEFT));
    }

    var sum: array<vec4i, ROWS>;
    @if(wide) var input_sum: array<i32, ROWS>;
    for (var first = 0u; first < inner; first += DEEP) {
        workgroupBarrier();
        let k = first + lane % DEEP;
        let tap = k / IN_GROUPS;
        @unroll for (var l = 0u; l < WINDOW_LOADS; l++) {
            let element = l * LANES + lane;
            if (element < WINDOWS) {
                let y = windows[l].y + tap / KERNEL_WIDTH * DILATION_Y;
                let x = windows[l].x + tap % KERNEL_WIDTH * DILATION_X;
                let at = windows[l].image + (min(y, IN_HEIGHT - 1u) * IN_WIDTH
                    + min(x, IN_WIDTH - 1u)) * IN_GROUPS + k % IN_GROUPS;
                let word = select(0u, input[at], y < IN_HEIGHT && x < IN_WIDTH) ^ FLIP;
                // Words behind the last one would be multiplied by weights of others.
                window_tile[element + element / DEEP] = select(0u, word, k < inner);
            }
        }
        @unroll for (var l = 0u; l < WEIGHT_LOADS; l++) {
            let element = l * LANES + lane;
            if (element < WEIGHTS) {
                let line = min(first + element / COLUMN_LANES, inner - 1u);
                let column = min(first_group + element % COLUMN_LANES, OUT_GROUPS - 1u);
                weight_tile[element] = weight[line * OUT_GROUPS + column];
            }
        }
        workgroupBarrier();
        for (var step = 0u; step < DEEP / SLICES; step++) {
            let d = step * SLICES + slice;
            let w = weight_tile[d * COLUMN_LANES + lane % COLUMN_LANES];
            @unroll for (var r = 0u; r < ROWS; r++) {
                let a = window_tile[(r * ROW_LANES + row_lane) * (DEEP + 1u) + d];
                sum[r] += dot_group(a, w);
                @if(wide) input_sum[r] += dot4I8Packed(a, 0x01010101u);
            }
        }
    }
    let own = sums[min(group, OUT_GROUPS - 1u)];
    @if(wide) {
        @unroll for (var r = 0u; r < ROWS; r++) {
            sum[r] = SPACING * sum[r] + own.factor * input_sum[r];
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
    @unroll for (var r = 0u; r < ROWS; r++) {
        let row = first_row + r * ROW_LANES + row_lane;
        if (row < row_count) {
            let x = vec4f(sum[r] + own.start);
            let o = offset[row % pixels * PIXEL_OFFSETS + group];
            output[(images.first * pixels + row) * OUT_GROUPS + group] =
                store_output(requantize(x, multiplier[group], o, LOWEST, HIGHEST));
        }
    }
}
