// Second stage of a weight gradient: adds the parts in order, applies the quantizer's
// straight-through derivative, eq. (2), and writes PyTorch's order [out, in, tap] (and the bias)
// into the flat gradient: set by the first part of a batch, added to by later ones. With a learned
// step (LSQ) `terms` gets the summands of the step's gradient, ∂L/∂ŵ · ∂ŵ/∂s, for
// `learned_step_gradient`. Parts are [tap, in channel (padded), out channel (padded)] followed by
// the bias's [out channel (padded)]. One invocation per weight.

import package::common::grid::linear_workgroup;
import package::common::images::Images;
import package::common::quantizer::{step_derivative, weight_derivative};

override OUT_CHANNELS: u32;
override IN_CHANNELS: u32;
override TAPS: u32;
override OUT_PADDED: u32;
override IN_PADDED: u32;
override WEIGHT_INDEX: u32;
@if(bias) override BIAS_INDEX: u32;
override QUANTIZER: u32;
override PARTS: u32;

@group(0) @binding(0) var<uniform> images: Images;
@group(0) @binding(1) var<storage, read> parts: array<f32>;
@group(0) @binding(2) var<storage, read> parameters: array<f32>;
@group(0) @binding(3) var<storage, read> quantizer: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> gradients: array<f32>;
@if(learned_step) @group(0) @binding(5) var<storage, read_write> terms: array<f32>;

fn sum_of_parts(at: u32) -> f32 {
    let stride = (TAPS * IN_PADDED + 1u) * OUT_PADDED;
    var sum = 0.0;
    for (var p = 0u; p < PARTS; p++) { sum += parts[p * stride + at]; }
    return sum;
}

fn store(index: u32, value: f32) {
    gradients[index] = select(value, gradients[index] + value, images.accumulate != 0u);
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) count: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let element = linear_workgroup(workgroup, count) * 64u + lane;
    @if(bias) {
        if (element < OUT_CHANNELS) {
            store(BIAS_INDEX + element, sum_of_parts(TAPS * IN_PADDED * OUT_PADDED + element));
        }
    }
    if (element >= OUT_CHANNELS * IN_CHANNELS * TAPS) { return; }
    let out_channel = element / (IN_CHANNELS * TAPS);
    let in_channel = (element / TAPS) % IN_CHANNELS;
    let tap = element % TAPS;
    let gradient = sum_of_parts((tap * IN_PADDED + in_channel) * OUT_PADDED + out_channel);
    let w = parameters[WEIGHT_INDEX + element];
    store(WEIGHT_INDEX + element,
        gradient * weight_derivative(QUANTIZER, w, quantizer[out_channel]));
    @if(learned_step) { terms[element] = gradient * step_derivative(w, quantizer[out_channel]); }
}
