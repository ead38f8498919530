// 2-D convolution (cross-correlation) with bias and activation, torch.nn.Conv2d followed by ReLU or PACT:
//   x[n, y, x, o] = bias[o] + Σ_{ky, kx, i} input[n, y·S + ky − P, x·S + kx − P, i] · weight[ky, kx, i, o],  output = activate(x).
//
// Activations are [image, row, column, channel / 4] vec4f, channels padded with zeros to a multiple of 4. Weights are
// [ky, kx, in channel (padded), out channel / 4] vec4f as `prepare_weights` lays them out.
//
// One invocation keeps ROWS × COLUMNS outputs of GROUPS groups of 4 channels in registers. Invocations of a workgroup differ only in
// their channels, so every input is loaded once for all of them. The order of additions is the same for every output: equal windows
// give equal bits, which max-pooling relies on.

import constants::{ROWS, COLUMNS, GROUPS, KERNEL, STRIDE, DEPTH, LANES};
import package::common::images::Images;
import package::common::activation::activate;
import package::common::storage::{Input, Output, load_input, store_output};

override IN_HEIGHT: u32;
override IN_WIDTH: u32;
override IN_GROUPS: u32;
override OUT_HEIGHT: u32;
override OUT_WIDTH: u32;
override OUT_GROUPS: u32;
override PADDING: u32;
override ACTIVATION: u32;
@if(pact) override LEVELS: f32;
@if(pact) override ALPHA_INDEX: u32;

@group(0) @binding(0) var<uniform> images: Images;
@group(0) @binding(1) var<storage, read> input: array<Input>;
@group(0) @binding(2) var<storage, read> weight: array<vec4f>;
@group(0) @binding(3) var<storage, read> bias: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> output: array<Output>;
// PACT's backward pass needs x itself: quantization hides on which side of the range's ends it was.
@if(pact) @group(0) @binding(5) var<storage, read_write> pre_activation: array<Output>;
@if(pact) @group(0) @binding(6) var<storage, read> parameters: array<f32>;

const SPAN = (COLUMNS - 1u) * STRIDE + KERNEL;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) lane: u32) {
    if (workgroup.y >= images.count) { return; }
    let image = images.first + workgroup.y;
    let strips = (OUT_WIDTH + COLUMNS - 1u) / COLUMNS;
    let row = (workgroup.x / strips) * ROWS;
    let column = (workgroup.x % strips) * COLUMNS;
    let first_group = workgroup.z * LANES * GROUPS + lane;
    let image_base = image * IN_HEIGHT * IN_WIDTH * IN_GROUPS;

    var sum: array<vec4f, ROWS * COLUMNS * GROUPS>;
    @unroll for (var g = 0u; g < GROUPS; g++) {
        let b = bias[min(first_group + g * LANES, OUT_GROUPS - 1u)];
        @unroll for (var o = 0u; o < ROWS * COLUMNS; o++) { sum[o * GROUPS + g] = b; }
    }
    for (var ky = 0u; ky < KERNEL; ky++) {
        for (var i = 0u; i < IN_GROUPS; i++) {
            var line: array<vec4f, ROWS * SPAN>;
            @unroll for (var r = 0u; r < ROWS; r++) {
                let y = (row + r) * STRIDE + ky - PADDING; // wraps to a huge number above the first row
                let y_base = image_base + min(y, IN_HEIGHT - 1u) * IN_WIDTH * IN_GROUPS + i;
                @unroll for (var s = 0u; s < SPAN; s++) {
                    let x = column * STRIDE + s - PADDING;
                    let inside = y < IN_HEIGHT && x < IN_WIDTH;
                    line[r * SPAN + s] = select(vec4f(), load_input(input[y_base + min(x, IN_WIDTH - 1u) * IN_GROUPS]), inside);
                }
            }
            @unroll for (var kx = 0u; kx < KERNEL; kx++) {
                let tap = ((ky * KERNEL + kx) * IN_GROUPS + i) * 4u * OUT_GROUPS;
                @unroll for (var j = 0u; j < DEPTH; j++) {
                    @unroll for (var g = 0u; g < GROUPS; g++) {
                        let w = weight[tap + j * OUT_GROUPS + min(first_group + g * LANES, OUT_GROUPS - 1u)];
                        @unroll for (var r = 0u; r < ROWS; r++) {
                            @unroll for (var c = 0u; c < COLUMNS; c++) {
                                sum[(r * COLUMNS + c) * GROUPS + g] =
                                    fma(vec4f(line[r * SPAN + c * STRIDE + kx][j]), w, sum[(r * COLUMNS + c) * GROUPS + g]);
                            }
                        }
                    }
                }
            }
        }
    }
    @if(pact) let alpha = parameters[ALPHA_INDEX];
    @unroll for (var r = 0u; r < ROWS; r++) {
        @unroll for (var c = 0u; c < COLUMNS; c++) {
            if (row + r < OUT_HEIGHT && column + c < OUT_WIDTH) {
                let at = ((image * OUT_HEIGHT + row + r) * OUT_WIDTH + column + c) * OUT_GROUPS + first_group;
                @unroll for (var g = 0u; g < GROUPS; g++) {
                    if (first_group + g * LANES < OUT_GROUPS) {
                        let x = sum[(r * COLUMNS + c) * GROUPS + g];
                        @if(pact) {
                            pre_activation[at + g * LANES] = store_output(x);
                            output[at + g * LANES] = store_output(activate(ACTIVATION, x, alpha, LEVELS));
                        }
                        @if(!pact) { output[at + g * LANES] = store_output(activate(ACTIVATION, x, 0.0, 1.0)); }
                    }
                }
            }
        }
    }
}
