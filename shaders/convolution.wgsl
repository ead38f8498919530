// 2-D convolution (cross-correlation) for software drivers, forward with bias and activation
// (torch.nn.Conv2d followed by ReLU or PACT):
//   x[n, y, x, o] = bias[o] + Σ_{ky, i, kx} input[n, y·S + ky − P, x·S + kx − P, i] · weight[ky, kx, i, o],
//     output = activate(x),
// and, with mirrored taps, padding K − 1 − P, stride 1, and neither bias nor activation, the
// gradient with respect to its input (torch.nn.grad.conv2d_input): there `input` is the output's
// gradient with SPACING − 1 zeros between its pixels, SPACING the stride.
//
// A max-pool of 2 × 2 windows behind the layer can be part of both. Forward, `pooled_output` keeps
// of every window the first of the largest activated values, the x it came from, and its position
// in `choice`, as `max_pool` does. Backward, `pooled_input` reads the gradient of the windows and
// takes each for the pixel that was chosen, the others being 0, as `max_pool_gradient` does.
// OUT_HEIGHT and OUT_WIDTH, and IN_HEIGHT and IN_WIDTH, count windows then; ROWS of the output and
// all COLUMNS are even.
//
// Activations are [image, row, column, channel / 4] vec4f, channels padded with zeros to a multiple
// of 4. Weights are a slice of the output channels as `slice_weights` lays them out: in a uniform
// buffer where they fit, because those are loaded without a loop over the lanes. With `subgroups`
// of LANES invocations each loads its share of a row of taps, and all get it from there.
//
// One invocation keeps ROWS rows of COLUMNS pixels by GROUPS groups of 4 channels in registers;
// invocations of a workgroup differ in their pixels. The order of additions is the same for every
// output: equal windows give equal bits, which max-pooling relies on. In integer inference the sums
// are of integers, exact below 2^24, and `requantize` takes the place of bias and activation. With
// `paired`, for sums below 2^15, an invocation takes two images at once: a + 2^16·b of their inputs
// a and b gives Σ w·a + 2^16·Σ w·b by one multiplication of integers modulo 2^32. STRIDE or SPACING
// is 1, ROWS is 1 where STRIDE is not, and COLUMNS is a multiple of SPACING: which taps meet a
// pixel is known when linked.

import constants::{ROWS, COLUMNS, GROUPS, KERNEL, STRIDE, SPACING, PADDING, DEPTH, LANES, WEIGHTS};
import package::common::grid::linear_workgroup;
import package::common::images::Images;
import package::common::slices::Slice;
import package::common::activation::activate;
import package::common::requantize::requantize;
import package::common::pooling::{pack_positions, unpack_positions};
import package::common::storage::{Input, Output, load_input, store_output, as_stored_output};
@if(paired) import package::common::storage::load_levels;

override IN_HEIGHT: u32;
override IN_WIDTH: u32;
override IN_GROUPS: u32;
override OUT_HEIGHT: u32;
override OUT_WIDTH: u32;
override OUT_GROUPS: u32;
override ACTIVATION: u32;
@if(pact) override LEVELS: f32;
@if(pact) override ALPHA_INDEX: u32;
@if(requantized) override LOWEST: f32;
@if(requantized) override HIGHEST: f32;
@if(requantized) override PIXEL_OFFSETS: u32; // groups of offsets from a pixel to the next: 0 where they do not depend on the place

@group(0) @binding(0) var<uniform> images: Images;
@group(0) @binding(1) var<storage, read> input: array<Input>;
@if(uniform_weights) @group(0) @binding(2) var<uniform> weight: array<vec4f, WEIGHTS>;
@if(!uniform_weights) @group(0) @binding(2) var<storage, read> weight: array<vec4f>;
@group(0) @binding(3) var<uniform> slice: Slice;
@group(0) @binding(4) var<storage, read_write> output: array<Output>;
@if(pooled_input) @group(0) @binding(5) var<storage, read> chosen: array<u32>;
@if(bias) @group(0) @binding(5) var<storage, read> bias: array<vec4f>;
// PACT's backward pass needs x itself: quantization hides on which side of the range's ends it was.
@if(pact) @group(0) @binding(6) var<storage, read_write> pre_activation: array<Output>;
@if(pact) @group(0) @binding(7) var<storage, read> parameters: array<f32>;
@if(pact && pooled_output) @group(0) @binding(8) var<storage, read_write> choice: array<u32>;
@if(!pact && pooled_output) @group(0) @binding(6) var<storage, read_write> choice: array<u32>;
@if(requantized) @group(0) @binding(5) var<storage, read> multiplier: array<vec4f>;
@if(requantized) @group(0) @binding(6) var<storage, read> offset: array<vec4f>;

// Pixels of padding in front of a row, and where the first of them is between the spaced pixels.
const FRONT = (PADDING + SPACING - 1u) / SPACING;
const OFFSET = FRONT * SPACING - PADDING;
const SPAN = ((COLUMNS - 1u) * STRIDE + KERNEL - 1u + OFFSET) / SPACING + 1u;
// Pixels that an output of the kernel covers along each axis.
@if(pooled_output) const SIDE = 2u;
@if(!pooled_output) const SIDE = 1u;
// Windows that a strip's pixels are in, the first of them SKEW pixels before the strip.
const SKEW = FRONT % 2u;
const WINDOWS = (SPAN + SKEW + 1u) / 2u;
// Weights of a row of taps, and the loads that all lanes share them out in.
const ROW_WEIGHTS = KERNEL * 4u * GROUPS;
const ROW_LOADS = (ROW_WEIGHTS + LANES - 1u) / LANES;
// Images of an invocation, and what it multiplies and adds.
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
    let strips = (OUT_WIDTH * SIDE + COLUMNS - 1u) / COLUMNS;
    let bands = (OUT_HEIGHT * SIDE + ROWS - 1u) / ROWS;
    let first_strip = linear_workgroup(workgroup, count) * LANES;
    if (first_strip >= (images.count + IMAGES - 1u) / IMAGES * bands * strips) { return; }
    let strip = first_strip + lane;
    let index = strip / (strips * bands) * IMAGES;
    let image = images.first + min(index, images.count - 1u);
    // From a group of the first image to the second's, or none where the last image is alone.
    @if(paired) let to_second = select(0u, IN_HEIGHT * IN_WIDTH * IN_GROUPS, index + 1u < images.count);
    let row = (strip / strips) % bands * ROWS;
    let column = (strip % strips) * COLUMNS;
    let first_group = slice.first_group + workgroup.z * GROUPS;

    var sum: array<Numbers, ROWS * COLUMNS * GROUPS>;
    @if(bias) {
        @unroll for (var g = 0u; g < GROUPS; g++) {
            let b = bias[min(first_group + g, OUT_GROUPS - 1u)];
            @unroll for (var c = 0u; c < ROWS * COLUMNS; c++) { sum[c * GROUPS + g] = b; }
        }
    }
    for (var tap_row = 0u; tap_row < KERNEL; tap_row++) {
        // Mirrored taps are added in the order of the weights' own, from the last on.
        @if(bias || requantized) let ky = tap_row;
        @if(!bias && !requantized) let ky = KERNEL - 1u - tap_row;
        for (var i = 0u; i < IN_GROUPS; i++) {
            var line: array<Numbers, ROWS * SPAN>;
            @unroll for (var r = 0u; r < ROWS; r++) {
                let spaced = (row + r) * STRIDE + ky - PADDING; // wraps to a huge number above the first row
                @if(!pooled_input) let y = spaced / SPACING;
                @if(!pooled_input) let meets = spaced % SPACING == 0u && y < IN_HEIGHT;
                @if(pooled_input) let y = spaced / 2u;
                @if(pooled_input) let first_of_row = spaced % 2u * 2u;
                let row_base = (image * IN_HEIGHT + min(y, IN_HEIGHT - 1u)) * IN_WIDTH * IN_GROUPS + i;
                @if(!pooled_input) {
                    @unroll for (var s = 0u; s < SPAN; s++) {
                        let x = column * STRIDE / SPACING + s - FRONT;
                        let at = row_base + min(x, IN_WIDTH - 1u) * IN_GROUPS;
                        @if(paired) let value = load_levels(input[at]) + (load_levels(input[at + to_second]) << vec4u(16u));
                        @if(!paired) let value = load_input(input[at]);
                        line[r * SPAN + s] = select(Numbers(), value, meets && x < IN_WIDTH);
                    }
                }
                @if(pooled_input) {
                    @unroll for (var w = 0u; w < WINDOWS; w++) {
                        let x = (column + 2u * w - FRONT - SKEW) / 2u;
                        let at = row_base + min(x, IN_WIDTH - 1u) * IN_GROUPS;
                        let value = select(vec4f(), load_input(input[at]), y < IN_HEIGHT && x < IN_WIDTH);
                        let position = unpack_positions(chosen[at]);
                        @unroll for (var s = 0u; s < SPAN; s++) {
                            if ((s + SKEW) / 2u == w) {
                                line[r * SPAN + s] = select(vec4f(), value, position == vec4u(first_of_row + (s + SKEW) % 2u));
                            }
                        }
                    }
                }
            }
            let taps = ((workgroup.z * KERNEL + ky) * IN_GROUPS + i) * ROW_WEIGHTS;
            @if(subgroups) var shares: array<Numbers, ROW_LOADS>;
            @if(subgroups) {
                @unroll for (var l = 0u; l < ROW_LOADS; l++) {
                    let share = weight[taps + min(l * LANES + lane, ROW_WEIGHTS - 1u)];
                    @if(paired) { shares[l] = vec4i(share); }
                    @if(!paired) { shares[l] = share; }
                }
            }
            @unroll for (var g = 0u; g < GROUPS; g++) {
                @unroll for (var tap = 0u; tap < KERNEL; tap++) {
                    @if(bias || requantized) const kx = tap;
                    @if(!bias && !requantized) const kx = KERNEL - 1u - tap;
                    var w: array<Numbers, DEPTH>;
                    @unroll for (var j = 0u; j < DEPTH; j++) {
                        const at = (kx * 4u + j) * GROUPS + g;
                        @if(subgroups) { w[j] = subgroupBroadcast(shares[at / LANES], at % LANES); }
                        @if(!subgroups && !paired) { w[j] = weight[taps + at]; }
                        @if(!subgroups && paired) { w[j] = vec4i(weight[taps + at]); }
                    }
                    @unroll for (var r = 0u; r < ROWS; r++) {
                        @unroll for (var c = 0u; c < COLUMNS; c++) {
                            if ((c * STRIDE + kx + OFFSET) % SPACING == 0u) {
                                @unroll for (var j = 0u; j < DEPTH; j++) {
                                    @if(!paired) {
                                        sum[(r * COLUMNS + c) * GROUPS + g] = fma(
                                            vec4f(line[r * SPAN + (c * STRIDE + kx + OFFSET) / SPACING][j]),
                                            w[j],
                                            sum[(r * COLUMNS + c) * GROUPS + g],
                                        );
                                    }
                                    @if(paired) {
                                        sum[(r * COLUMNS + c) * GROUPS + g] +=
                                            line[r * SPAN + (c * STRIDE + kx + OFFSET) / SPACING][j] * w[j];
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
    if (index >= images.count) { return; }
    @if(pact) let alpha = parameters[ALPHA_INDEX];
    @unroll for (var r = 0u; r < ROWS / SIDE; r++) {
        @unroll for (var c = 0u; c < COLUMNS / SIDE; c++) {
            let y = row / SIDE + r;
            let x = column / SIDE + c;
            if (y < OUT_HEIGHT && x < OUT_WIDTH) {
                let at = ((image * OUT_HEIGHT + y) * OUT_WIDTH + x) * OUT_GROUPS + first_group;
                @unroll for (var g = 0u; g < GROUPS; g++) {
                    if (first_group + g < OUT_GROUPS) {
                        @if(!paired) var before = sum[(r * SIDE * COLUMNS + c * SIDE) * GROUPS + g];
                        @if(paired) let both = sum[(r * COLUMNS + c) * GROUPS + g];
                        @if(paired) let before = (both << vec4u(16u)) >> vec4u(16u);
                        @if(pact) var value = activate(ACTIVATION, before, alpha, LEVELS);
                        @if(!pact && !requantized) var value = activate(ACTIVATION, before, 0.0, 1.0);
                        @if(requantized) let o = offset[(y * OUT_WIDTH + x) * PIXEL_OFFSETS + first_group + g];
                        @if(requantized) let m = multiplier[first_group + g];
                        @if(requantized) var value = requantize(vec4f(before), m, o, LOWEST, HIGHEST);
                        @if(pooled_output) {
                            // Values that are stored alike are alike.
                            value = as_stored_output(value);
                            var best = vec4u();
                            @unroll for (var p = 1u; p < 4u; p++) {
                                let other_before = sum[((r * 2u + p / 2u) * COLUMNS + c * 2u + p % 2u) * GROUPS + g];
                                @if(pact) let other = as_stored_output(activate(ACTIVATION, other_before, alpha, LEVELS));
                                @if(!pact) let other = as_stored_output(activate(ACTIVATION, other_before, 0.0, 1.0));
                                let larger = other > value;
                                value = select(value, other, larger);
                                before = select(before, other_before, larger);
                                best = select(best, vec4u(p), larger);
                            }
                            choice[at + g] = pack_positions(best);
                        }
                        @if(pact) { pre_activation[at + g] = store_output(before); }
                        output[at + g] = store_output(value);
                        @if(paired) {
                            if (index + 1u < images.count) {
                                let behind = vec4f((both - before) >> vec4u(16u));
                                output[at + OUT_HEIGHT * OUT_WIDTH * OUT_GROUPS + g] =
                                    store_output(requantize(behind, m, o, LOWEST, HIGHEST));
                            }
                        }
                    }
                }
            }
        }
    }
}
