// 2-D convolution (cross-correlation) for software drivers, forward with bias and activation (torch.nn.Conv2d followed by ReLU or PACT):
//   x[n, y, x, o] = bias[o] + Σ_{ky, kx, i} input[n, y·S + ky − P, x·S + kx − P, i] · weight[ky, kx, i, o],  output = activate(x),
// and, with mirrored taps, padding K − 1 − P, stride 1, and neither bias nor activation, the gradient with respect to its input
// (torch.nn.grad.conv2d_input): there `input` is the output's gradient with SPACING − 1 zeros between its pixels, SPACING the stride.
//
// Activations are [image, row, column, channel / 4] vec4f, channels padded with zeros to a multiple of 4. Weights are a slice of the output
// channels as `slice_weights` lays them out: in a uniform buffer where they fit, because those are loaded without a loop over the lanes.
//
// One invocation keeps a strip of COLUMNS pixels of a row by GROUPS groups of 4 channels in registers; invocations of a workgroup differ in
// their strips. The order of additions is the same for every output: equal windows give equal bits, which max-pooling relies on.
// STRIDE or SPACING is 1, and COLUMNS is a multiple of SPACING: which taps meet a pixel is known when linked.

import constants::{COLUMNS, GROUPS, KERNEL, STRIDE, SPACING, PADDING, DEPTH, LANES, WEIGHTS};
import package::common::grid::linear_workgroup;
import package::common::images::Images;
import package::common::slices::Slice;
import package::common::activation::activate;
import package::common::storage::{Input, Output, load_input, store_output};

override IN_HEIGHT: u32;
override IN_WIDTH: u32;
override IN_GROUPS: u32;
override OUT_HEIGHT: u32;
override OUT_WIDTH: u32;
override OUT_GROUPS: u32;
override ACTIVATION: u32;
@if(pact) override LEVELS: f32;
@if(pact) override ALPHA_INDEX: u32;

@group(0) @binding(0) var<uniform> images: Images;
@group(0) @binding(1) var<storage, read> input: array<Input>;
@if(uniform_weights) @group(0) @binding(2) var<uniform> weight: array<vec4f, WEIGHTS>;
@if(!uniform_weights) @group(0) @binding(2) var<storage, read> weight: array<vec4f>;
@group(0) @binding(3) var<uniform> slice: Slice;
@group(0) @binding(4) var<storage, read_write> output: array<Output>;
@if(bias) @group(0) @binding(5) var<storage, read> bias: array<vec4f>;
// PACT's backward pass needs x itself: quantization hides on which side of the range's ends it was.
@if(pact) @group(0) @binding(6) var<storage, read_write> pre_activation: array<Output>;
@if(pact) @group(0) @binding(7) var<storage, read> parameters: array<f32>;

// Pixels of padding in front of a row, and where the first of them is between the spaced pixels.
const FRONT = (PADDING + SPACING - 1u) / SPACING;
const OFFSET = FRONT * SPACING - PADDING;
const SPAN = ((COLUMNS - 1u) * STRIDE + KERNEL - 1u + OFFSET) / SPACING + 1u;

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) count: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let strips = (OUT_WIDTH + COLUMNS - 1u) / COLUMNS;
    let strip = linear_workgroup(workgroup, count) * LANES + lane;
    let index = strip / (strips * OUT_HEIGHT);
    let image = images.first + min(index, images.count - 1u);
    let row = (strip / strips) % OUT_HEIGHT;
    let column = (strip % strips) * COLUMNS;
    let first_group = slice.first_group + workgroup.z * GROUPS;
    let block = workgroup.z * KERNEL * KERNEL;

    var sum: array<vec4f, COLUMNS * GROUPS>;
    @if(bias) {
        @unroll for (var g = 0u; g < GROUPS; g++) {
            let b = bias[min(first_group + g, OUT_GROUPS - 1u)];
            @unroll for (var c = 0u; c < COLUMNS; c++) { sum[c * GROUPS + g] = b; }
        }
    }
    // Strips beyond the last image have no taps: a workgroup of such strips ends here.
    let rows = select(0u, KERNEL, index < images.count);
    for (var tap_row = 0u; tap_row < rows; tap_row++) {
        // Mirrored taps are added in the order of the weights' own, from the last on.
        @if(bias) let ky = tap_row;
        @if(!bias) let ky = KERNEL - 1u - tap_row;
        let spaced = row * STRIDE + ky - PADDING; // wraps to a huge number above the first row
        let y = spaced / SPACING;
        let meets = spaced % SPACING == 0u && y < IN_HEIGHT;
        let row_base = (image * IN_HEIGHT + min(y, IN_HEIGHT - 1u)) * IN_WIDTH * IN_GROUPS;
        for (var i = 0u; i < IN_GROUPS; i++) {
            var line: array<vec4f, SPAN>;
            @unroll for (var s = 0u; s < SPAN; s++) {
                let x = column * STRIDE / SPACING + s - FRONT;
                let value = load_input(input[row_base + min(x, IN_WIDTH - 1u) * IN_GROUPS + i]);
                line[s] = select(vec4f(), value, meets && x < IN_WIDTH);
            }
            let taps = ((block + ky * KERNEL) * IN_GROUPS + i) * 4u * GROUPS;
            @unroll for (var g = 0u; g < GROUPS; g++) {
                @unroll for (var tap = 0u; tap < KERNEL; tap++) {
                    @if(bias) const kx = tap;
                    @if(!bias) const kx = KERNEL - 1u - tap;
                    var w: array<vec4f, DEPTH>;
                    @unroll for (var j = 0u; j < DEPTH; j++) { w[j] = weight[taps + kx * IN_GROUPS * 4u * GROUPS + j * GROUPS + g]; }
                    @unroll for (var c = 0u; c < COLUMNS; c++) {
                        if ((c * STRIDE + kx + OFFSET) % SPACING == 0u) {
                            @unroll for (var j = 0u; j < DEPTH; j++) {
                                sum[c * GROUPS + g] =
                                    fma(vec4f(line[(c * STRIDE + kx + OFFSET) / SPACING][j]), w[j], sum[c * GROUPS + g]);
                            }
                        }
                    }
                }
            }
        }
    }
    if (index < images.count) {
        @if(pact) let alpha = parameters[ALPHA_INDEX];
        @unroll for (var c = 0u; c < COLUMNS; c++) {
            if (column + c < OUT_WIDTH) {
                let at = ((image * OUT_HEIGHT + row) * OUT_WIDTH + column + c) * OUT_GROUPS + first_group;
                @unroll for (var g = 0u; g < GROUPS; g++) {
                    if (first_group + g < OUT_GROUPS) {
                        let x = sum[c * GROUPS + g];
                        @if(pact) {
                            pre_activation[at + g] = store_output(x);
                            output[at + g] = store_output(activate(ACTIVATION, x, alpha, LEVELS));
                        }
                        @if(!pact) { output[at + g] = store_output(activate(ACTIVATION, x, 0.0, 1.0)); }
                    }
                }
            }
        }
    }
}
