// An activation on its own: output = activate(input), a function or a quantizer with fake
// quantization (common/activation.wgsl), elementwise over ELEMENTS groups of 4 values an image.
// Where it follows a convolution or fully connected layer, their kernels apply it instead. With
// `padded` the function has a value other than 0 at 0: what is beyond CHANNELS stays 0. In integer
// inference it is `requantize` with one multiplier and offset.

import package::common::grid::linear_workgroup;
import package::common::images::Images;
import package::common::activation::activate;
import package::common::channels::real_channels;
import package::common::requantize::requantize;
import package::common::storage::{Input, Output, load_input, store_output};

override ELEMENTS: u32;
override ACTIVATION: u32;
@if(pact) override LEVELS: f32;
@if(pact) override ALPHA_INDEX: u32;
@if(pact) override OFFSET_INDEX: u32;
@if(requantized || padded) override CHANNELS: u32;
@if(requantized) override MULTIPLIER: f32;
@if(requantized) override OFFSET: f32;
@if(requantized) override LOWEST: f32;
@if(requantized) override HIGHEST: f32;

@group(0) @binding(0) var<uniform> images: Images;
@group(0) @binding(1) var<storage, read> input: array<Input>;
@group(0) @binding(2) var<storage, read_write> output: array<Output>;
@if(pact) @group(0) @binding(3) var<storage, read> parameters: array<f32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) count: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let element = linear_workgroup(workgroup, count) * 64u + lane;
    if (element >= images.count * ELEMENTS) { return; }
    let at = images.first * ELEMENTS + element;
    @if(pact) let learned = vec2f(parameters[ALPHA_INDEX], parameters[OFFSET_INDEX]);
    @if(pact) let value = activate(ACTIVATION, load_input(input[at]), learned, LEVELS);
    @if(!pact && !requantized)
    let value = activate(ACTIVATION, load_input(input[at]), vec2f(), 1.0);
    @if(!requantized && !padded) { output[at] = store_output(value); }
    @if(padded) {
        let group = element % ((CHANNELS + 3u) / 4u);
        output[at] = store_output(select(vec4f(), value, real_channels(group, CHANNELS)));
    }
    @if(requantized) {
        let value =
            requantize(load_input(input[at]), vec4f(MULTIPLIER), vec4f(OFFSET), LOWEST, HIGHEST);
        let group = element % ((CHANNELS + 3u) / 4u);
        output[at] = store_output(select(vec4f(), value, real_channels(group, CHANNELS)));
    }
}
