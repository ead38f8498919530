// 2-D convolution (cross-correlation) with bias: out[n, y, x, o] = bias[o] + Σ input[n, y·S + ky − P, x·S + kx − P, i] · weight[ky, kx, i, o].
//
// Activations are [image, row, column, channel / 4] vec4 with channels padded by zeros to a multiple of 4; weights are
// [ky, kx, in channel (padded), out channel / 4] vec4, as `prepare_weights` lays them out. Formula: torch.nn.Conv2d.
//
// One invocation computes COLUMNS consecutive outputs of a row for GROUPS groups of 4 channels and keeps them in registers.
// Invocations of a workgroup differ in their channels only, so that every input is loaded once for all of them.
// The order of additions is the same for every output: equal windows give equal bits.

import constants::{COLUMNS, GROUPS, KERNEL, STRIDE, LANES};
import package::common::images::Images;

override IN_HEIGHT: u32;
override IN_WIDTH: u32;
override IN_GROUPS: u32;
override OUT_HEIGHT: u32;
override OUT_WIDTH: u32;
override OUT_GROUPS: u32;
override PADDING: u32;

@group(0) @binding(0) var<uniform> images: Images;
@group(0) @binding(1) var<storage, read> input: array<vec4f>;
@group(0) @binding(2) var<storage, read> weight: array<vec4f>;
@group(0) @binding(3) var<storage, read> bias: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> output: array<vec4f>;

const SPAN = (COLUMNS - 1u) * STRIDE + KERNEL;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) lane: u32) {
    let image = workgroup.y;
    if (image >= images.count) { return; }
    let strips = (OUT_WIDTH + COLUMNS - 1u) / COLUMNS;
    let row = workgroup.x / strips;
    let column = (workgroup.x % strips) * COLUMNS;
    let first_group = workgroup.z * LANES * GROUPS + lane;
    let base = (images.first + image) * IN_HEIGHT * IN_WIDTH * IN_GROUPS;

    var sum: array<vec4f, COLUMNS * GROUPS>;
    @unroll for (var g = 0u; g < GROUPS; g++) {
        let b = bias[min(first_group + g * LANES, OUT_GROUPS - 1u)];
        @unroll for (var c = 0u; c < COLUMNS; c++) { sum[c * GROUPS + g] = b; }
    }
    for (var ky = 0u; ky < KERNEL; ky++) {
        let y = row * STRIDE + ky - PADDING;
        if (y >= IN_HEIGHT) { continue; }
        for (var i = 0u; i < IN_GROUPS; i++) {
            var line: array<vec4f, SPAN>;
            @unroll for (var s = 0u; s < SPAN; s++) {
                let x = column * STRIDE + s - PADDING;
                line[s] = select(vec4f(), input[base + (y * IN_WIDTH + min(x, IN_WIDTH - 1u)) * IN_GROUPS + i], x < IN_WIDTH);
            }
            @unroll for (var kx = 0u; kx < KERNEL; kx++) {
                let at = ((ky * KERNEL + kx) * IN_GROUPS + i) * 4u * OUT_GROUPS;
                @unroll for (var j = 0u; j < 4u; j++) {
                    @unroll for (var g = 0u; g < GROUPS; g++) {
                        let w = weight[at + j * OUT_GROUPS + min(first_group + g * LANES, OUT_GROUPS - 1u)];
                        @unroll for (var c = 0u; c < COLUMNS; c++) {
                            sum[c * GROUPS + g] = fma(vec4f(line[c * STRIDE + kx][j]), w, sum[c * GROUPS + g]);
                        }
                    }
                }
            }
        }
    }
    @unroll for (var c = 0u; c < COLUMNS; c++) {
        if (column + c < OUT_WIDTH) {
            let at = (((images.first + image) * OUT_HEIGHT + row) * OUT_WIDTH + column + c) * OUT_GROUPS + first_group;
            @unroll for (var g = 0u; g < GROUPS; g++) {
                if (first_group + g * LANES < OUT_GROUPS) { output[at + g * LANES] = sum[c * GROUPS + g]; }
            }
        }
    }
}
