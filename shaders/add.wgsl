// The sum of two values of one shape: output = activate(left + right), elementwise over ELEMENTS
// groups of 4 values an image. Without `right` it is output += left, for the terms of a longer sum
// and for a gradient that several layers have a share of.
//
// PACT and LSQ keep the sum, which is their input, in `pre_activation`. In integer inference
// (`requantized`) numbers of both values are brought to the output's scale, and their sum becomes a
// level: x = left·LEFT_MULTIPLIER + (right·RIGHT_MULTIPLIER + OFFSET), see common/requantize.wgsl.

import package::common::grid::linear_workgroup;
import package::common::images::Images;
import package::common::activation::activate;
import package::common::channels::real_channels;
import package::common::requantize::requantize;
import package::common::storage::{Input, State, Output};
import package::common::storage::{load_input, load_state, load_output, store_output};

override ELEMENTS: u32;
override ACTIVATION: u32;
@if(pact) override LEVELS: f32;
@if(pact) override ALPHA_INDEX: u32;
@if(pact) override OFFSET_INDEX: u32;
@if(requantized) override CHANNELS: u32;
@if(requantized) override LEFT_MULTIPLIER: f32;
@if(requantized) override RIGHT_MULTIPLIER: f32;
@if(requantized) override OFFSET: f32;
@if(requantized) override LOWEST: f32;
@if(requantized) override HIGHEST: f32;

@group(0) @binding(0) var<uniform> images: Images;
@group(0) @binding(1) var<storage, read> left: array<Input>;
@if(right) @group(0) @binding(2) var<storage, read> right: array<State>;
@group(0) @binding(3) var<storage, read_write> output: array<Output>;
@if(pact) @group(0) @binding(4) var<storage, read_write> pre_activation: array<Output>;
@if(pact) @group(0) @binding(5) var<storage, read> parameters: array<f32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) count: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let element = linear_workgroup(workgroup, count) * 64u + lane;
    if (element >= images.count * ELEMENTS) { return; }
    let at = images.first * ELEMENTS + element;
    @if(requantized) {
        let offset = load_state(right[at]) * RIGHT_MULTIPLIER + OFFSET;
        let value =
            requantize(load_input(left[at]), vec4f(LEFT_MULTIPLIER), offset, LOWEST, HIGHEST);
        let group = element % ((CHANNELS + 3u) / 4u);
        output[at] = store_output(select(vec4f(), value, real_channels(group, CHANNELS)));
        return;
    }
    var sum = load_input(left[at]);
    @if(right && !requantized) { sum += load_state(right[at]); }
    @if(!right) { sum += load_output(output[at]); }
    @if(pact) {
        pre_activation[at] = store_output(sum);
        let learned = vec2f(parameters[ALPHA_INDEX], parameters[OFFSET_INDEX]);
        output[at] = store_output(activate(ACTIVATION, sum, learned, LEVELS));
    }
    @if(!pact && !requantized) {
        output[at] = store_output(activate(ACTIVATION, sum, vec2f(), 1.0));
    }
}
