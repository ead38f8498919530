// 2-D convolution (cross-correlation) of integer inference for software drivers: sums of integers,
// exact in f32 below 2^24, which `requantize` turns into the levels of the output:
//   output[n, y, x, o] = requantize(Σ_{ky, i, kx} input[n, y·S + ky·D − P, x·S + kx·D − P, i]
//     · weight[ky, kx, i, o], multiplier[o], offset[place, o]).
//
// With `paired`, for sums below 2^15, an invocation processes two images at once: a + 2^16·b of
// their inputs a and b gives Σ w·a + 2^16·Σ w·b by one multiplication of integers modulo 2^32.
//
// Values are [image, row, column, channel / 4] in the formats of common/storage.wgsl; zeros pad the
// channels to a multiple of 4. Weights are a slice of the output channels in the layout of
// `slice_weights`. They are in a uniform buffer if they fit, because uniform buffers are loaded
// without a loop over the lanes. With `subgroups` of LANES invocations, each loads its share of a
// row of taps, and all read it from there.
//
// One invocation keeps ROWS rows of COLUMNS pixels by GROUPS groups of 4 channels in registers;
// invocations of a workgroup differ in their pixels. ROWS is 1 if a stride is not 1, because the
// taps of a pixel must be known when linking.

import constants::{ROWS, COLUMNS, GROUPS, KERNEL_HEIGHT, KERNEL_WIDTH, STRIDE_Y, STRIDE_X};
import constants::{DILATION_Y, DILATION_X, TOP, LEFT, DEPTH, LANES, WEIGHTS};
import package::common::grid::linear_workgroup;
import package::common::images::Images;
import package::common::slices::Slice;
import package::common::requantize::requantize;
import package::common::storage::{Input, Output, load_input, store_output};
@if(paired) import package::common::storage::load_levels;

override IN_HEIGHT: u32;
override IN_WIDTH: u32;
override IN_GROUPS: u32;
override OUT_HEIGHT: u32;
override OUT_WIDTH: u32;
override OUT_GROUPS: u32;
override LOWEST: f32;
override HIGHEST: f32;
// Groups of offsets between two pixels; 0 if offsets do not depend on the position.
override PIXEL_OFFSETS: u32;

@group(0) @binding(0) var<uniform> images: Images;
@group(0) @binding(1) var<storage, read> input: array<Input>;
@if(uniform_weights) @group(0) @binding(2) var<uniform> weight: array<vec4f, WEIGHTS>;
@if(!uniform_weights) @group(0) @binding(2) var<storage, read> weight: array<vec4f>;
@group(0) @binding(3) var<uniform> slice: Slice;
@group(0) @binding(4) var<storage, read_write> output: array<Output>;
@group(0) @binding(5) var<storage, read> multiplier: array<vec4f>;
@group(0) @binding(6) var<storage, read> offset: array<vec4f>;

// Number of pixels of a row that a strip reads.
const SPAN = (COLUMNS - 1u) * STRIDE_X + (KERNEL_WIDTH - 1u) * DILATION_X + 1u;
// Number of weights of a row of taps, and the number of loads when all lanes share them.
const ROW_WEIGHTS = KERNEL_WIDTH * 4u * GROUPS;
const ROW_LOADS = (ROW_WEIGHTS + LANES - 1u) / LANES;
// Number of images per invocation, and the type of its products and sums.
@if(paired) const IMAGES = 2u;
@if(!paired) const IMAGES = 1u;
@if(paired) alias Numbers = vec4i;
@if(!paired) alias Numbers = vec4f;

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) count: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let strips = (OUT_WIDTH + COLUMNS - 1u) / COLUMNS;
    let bands = (OUT_HEIGHT + ROWS - 1u) / ROWS;
    let first_strip = linear_workgroup(workgroup, count) * LANES;
    if (first_strip >= (images.count + IMAGES - 1u) / IMAGES * bands * strips) { return; }
    let strip = first_strip + lane;
    let index = strip / (strips * bands) * IMAGES;
    let image = images.first + min(index, images.count - 1u);
    // Offset from a group of the first image to that of the second; 0 if the last image has no
    // partner.
    @if(paired) let to_second =
        select(0u, IN_HEIGHT * IN_WIDTH * IN_GROUPS, index + 1u < images.count);
    let row = (strip / strips) % bands * ROWS;
    let column = (strip % strips) * COLUMNS;
    let first_group = slice.first_group + workgroup.z * GROUPS;

    var sum: array<Numbers, ROWS * COLUMNS * GROUPS>;
    for (var ky = 0u; ky < KERNEL_HEIGHT; ky++) {
        for (var i = 0u; i < IN_GROUPS; i++) {
            var line: array<Numbers, ROWS * SPAN>;
            @unroll for (var r = 0u; r < ROWS; r++) {
                // Wraps to a huge number above the first row.
                let y = (row + r) * STRIDE_Y + ky * DILATION_Y - TOP;
                let row_base =
                    (image * IN_HEIGHT + min(y, IN_HEIGHT - 1u)) * IN_WIDTH * IN_GROUPS + i;
                @unroll for (var s = 0u; s < SPAN; s++) {
                    let x = column * STRIDE_X + s - LEFT;
                    let at = row_base + min(x, IN_WIDTH - 1u) * IN_GROUPS;
                    @if(paired) let value =
                        load_levels(input[at]) + (load_levels(input[at + to_second]) << vec4u(16u));
                    @if(!paired) let value = load_input(input[at]);
                    line[r * SPAN + s] = select(Numbers(), value, y < IN_HEIGHT && x < IN_WIDTH);
                }
            }
            let taps = ((workgroup.z * KERNEL_HEIGHT + ky) * IN_GROUPS + i) * ROW_WEIGHTS;
            @if(subgroups) var shares: array<Numbers, ROW_LOADS>;
            @if(subgroups) {
                @unroll for (var l = 0u; l < ROW_LOADS; l++) {
                    shares[l] = Numbers(weight[taps + min(l * LANES + lane, ROW_WEIGHTS - 1u)]);
                }
            }
            @unroll for (var g = 0u; g < GROUPS; g++) {
                @unroll for (var kx = 0u; kx < KERNEL_WIDTH; kx++) {
                    var w: array<Numbers, DEPTH>;
                    @unroll for (var j = 0u; j < DEPTH; j++) {
                        const at = (kx * 4u + j) * GROUPS + g;
                        @if(subgroups) { w[j] = subgroupBroadcast(shares[at / LANES], at % LANES); }
                        @if(!subgroups) { w[j] = Numbers(weight[taps + at]); }
                    }
                    @unroll for (var r = 0u; r < ROWS; r++) {
                        @unroll for (var c = 0u; c < COLUMNS; c++) {
                            @unroll for (var j = 0u; j < DEPTH; j++) {
                                @if(!paired) {
                                    sum[(r * COLUMNS + c) * GROUPS + g] = fma(
                                        vec4f(line[r * SPAN + c * STRIDE_X + kx * DILATION_X][j]),
                                        w[j],
                                        sum[(r * COLUMNS + c) * GROUPS + g],
                                    );
                                }
                                @if(paired) {
                                    sum[(r * COLUMNS + c) * GROUPS + g] +=
                                        line[r * SPAN + c * STRIDE_X + kx * DILATION_X][j] * w[j];
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
                        let o = offset[(y * OUT_WIDTH + x) * PIXEL_OFFSETS + first_group + g];
                        let m = multiplier[first_group + g];
                        let both = sum[(r * COLUMNS + c) * GROUPS + g];
                        @if(paired) let first = (both << vec4u(16u)) >> vec4u(16u);
                        @if(!paired) let first = both;
                        output[at + g] =
                            store_output(requantize(vec4f(first), m, o, LOWEST, HIGHEST));
                        @if(paired) {
                            if (index + 1u < images.count) {
                                let second = vec4f((both - first) >> vec4u(16u));
                                output[at + OUT_HEIGHT * OUT_WIDTH * OUT_GROUPS + g] =
                                    store_output(requantize(second, m, o, LOWEST, HIGHEST));
                            }
                        }
                    }
                }
            }
        }
    }
}
