// 2-D convolution (cross-correlation) with bias and activation over sets of channels that are
// convolved on their own (torch.nn.Conv2d with groups, followed by ReLU or PACT); PyTorch's groups
// are called sets here, since channels are stored in groups of 4:
//   x[n, y, x, o] = bias[o] + Σ_{ky, kx, i} input[n, y·S + ky·D − P, x·S + kx·D − P, s·I + i]
//     · weight[ky, kx, i, o], output = activate(x),
// where output o is in set s = ⌊o / O⌋ of I = SET_INPUTS inputs and O = SET_OUTPUTS outputs, with
// stride S, dilation D and padding P of either axis. In integer inference `requantize` replaces
// bias and activation. Floats hold its sums up to 2^24; beyond that they are of `integers` of 32
// bits.
//
// Any sizes: it is for what the other kernels have no fast way for. Activations are [image, row,
// column, channel / 4] vec4f, channels padded with zeros to a multiple of 4; weights are [ky, kx,
// input of the set, out channel / 4] vec4f. With `one_set` the outputs of every group of 4 are in
// one set. One invocation a group of outputs of a pixel.

import constants::LANES;
import package::common::grid::linear_workgroup;
import package::common::images::Images;
import package::common::activation::activate;
import package::common::requantize::requantize;
import package::common::storage::{Input, Output, load_input, store_output};
@if(integers) import package::common::storage::load_levels;

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
override SETS: u32;
override SET_INPUTS: u32;
override SET_OUTPUTS: u32;
override ACTIVATION: u32;
@if(pact) override LEVELS: f32;
@if(pact) override ALPHA_INDEX: u32;
@if(pact) override OFFSET_INDEX: u32;
@if(requantized) override LOWEST: f32;
@if(requantized) override HIGHEST: f32;
// Groups of offsets between two pixels; 0 if offsets do not depend on the position.
@if(requantized) override PIXEL_OFFSETS: u32;

@group(0) @binding(0) var<uniform> images: Images;
@group(0) @binding(1) var<storage, read> input: array<Input>;
@group(0) @binding(2) var<storage, read> weight: array<vec4f>;
@if(bias) @group(0) @binding(3) var<storage, read> bias: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> output: array<Output>;
@if(pact) @group(0) @binding(5) var<storage, read_write> pre_activation: array<Output>;
@if(pact) @group(0) @binding(6) var<storage, read> parameters: array<f32>;
@if(requantized) @group(0) @binding(3) var<storage, read> multiplier: array<vec4f>;
@if(requantized) @group(0) @binding(5) var<storage, read> offset: array<vec4f>;

// The type of an input and of a group of sums.
@if(integers) alias Number = i32;
@if(!integers) alias Number = f32;
@if(integers) alias Numbers = vec4i;
@if(!integers) alias Numbers = vec4f;

// Channel `channel` of the pixel whose groups begin at `pixel`.
fn input_at(pixel: u32, channel: u32) -> Number {
    @if(integers) return load_levels(input[pixel + channel / 4u])[channel % 4u];
    @if(!integers) return load_input(input[pixel + channel / 4u])[channel % 4u];
}

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) count: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let element = linear_workgroup(workgroup, count) * LANES + lane;
    let group = element % OUT_GROUPS;
    let pixel = element / OUT_GROUPS;
    let index = pixel / (OUT_HEIGHT * OUT_WIDTH);
    if (index >= images.count) { return; }
    let image = images.first + index;
    let y = pixel / OUT_WIDTH % OUT_HEIGHT;
    let x = pixel % OUT_WIDTH;
    // The first inputs of the outputs' sets; outputs behind the last are padding, with weights of
    // 0.
    let own_sets = min((group * 4u + vec4u(0u, 1u, 2u, 3u)) / SET_OUTPUTS, vec4u(SETS - 1u));
    let first = own_sets * SET_INPUTS;

    @if(bias) var sum = bias[group];
    @if(!bias) var sum = Numbers();
    for (var ky = 0u; ky < KERNEL_HEIGHT; ky++) {
        let row = y * STRIDE_Y + ky * DILATION_Y - TOP; // wraps to a huge number above the first
        if (row >= IN_HEIGHT) { continue; }
        for (var kx = 0u; kx < KERNEL_WIDTH; kx++) {
            let column = x * STRIDE_X + kx * DILATION_X - LEFT;
            if (column >= IN_WIDTH) { continue; }
            let source = ((image * IN_HEIGHT + row) * IN_WIDTH + column) * IN_GROUPS;
            let taps = (ky * KERNEL_WIDTH + kx) * SET_INPUTS * OUT_GROUPS + group;
            for (var i = 0u; i < SET_INPUTS; i++) {
                @if(one_set) let values = Numbers(input_at(source, first.x + i));
                @if(!one_set) let values = Numbers(
                    input_at(source, first.x + i),
                    input_at(source, first.y + i),
                    input_at(source, first.z + i),
                    input_at(source, first.w + i),
                );
                let w = weight[taps + i * OUT_GROUPS];
                @if(integers) { sum += values * vec4i(w); }
                @if(!integers) { sum = fma(values, w, sum); }
            }
        }
    }
    let at = (image * OUT_HEIGHT * OUT_WIDTH + y * OUT_WIDTH + x) * OUT_GROUPS + group;
    @if(pact) {
        let learned = vec2f(parameters[ALPHA_INDEX], parameters[OFFSET_INDEX]);
        pre_activation[at] = store_output(sum);
        output[at] = store_output(activate(ACTIVATION, sum, learned, LEVELS));
    }
    @if(!pact && !requantized) {
        output[at] = store_output(activate(ACTIVATION, sum, vec2f(), 1.0));
    }
    @if(requantized) {
        let o = offset[(y * OUT_WIDTH + x) * PIXEL_OFFSETS + group];
        output[at] = store_output(requantize(vec4f(sum), multiplier[group], o, LOWEST, HIGHEST));
    }
}
