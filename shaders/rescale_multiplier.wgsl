// DeepLIFT's rescale rule at an activation, in place: multiplier[e] ← Δy[e]/Δx[e] · multiplier[e],
// over ELEMENTS groups of 4 values per image (Shrikumar et al. 2017, eq. (12)). Δ is an image's
// value less its baseline's; the baselines are behind the images, in the same order. Where |Δx| <
// 1e-10 (Captum's threshold) the derivative at x stands for the quotient. y is the fake-quantized
// value: contributions add up to the difference of the outputs that the network has.

import package::common::grid::linear_workgroup;
import package::common::images::Images;
import package::common::activation::derivative;

override ELEMENTS: u32;
override ACTIVATION: u32;
override LEVELS: f32 = 1.0;
@if(pact) override ALPHA_INDEX: u32;
@if(pact) override OFFSET_INDEX: u32;

@group(0) @binding(0) var<uniform> images: Images;
@group(0) @binding(1) var<storage, read> input: array<vec4f>;
@group(0) @binding(2) var<storage, read> output: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> multiplier: array<vec4f>;
@if(pact) @group(0) @binding(4) var<storage, read> parameters: array<f32>;

const SMALLEST_DIFFERENCE = 1e-10;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) count: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let element = linear_workgroup(workgroup, count) * 64u + lane;
    if (element >= images.count * ELEMENTS) { return; }
    let at = images.first * ELEMENTS + element;
    let twin = at + images.count * ELEMENTS;
    let x = input[at];
    let difference = x - input[twin];
    let flat = abs(difference) < vec4f(SMALLEST_DIFFERENCE);
    let quotient = (output[at] - output[twin]) / select(difference, vec4f(1.0), flat);
    @if(pact) let learned = vec2f(parameters[ALPHA_INDEX], parameters[OFFSET_INDEX]);
    @if(!pact) let learned = vec2f();
    multiplier[at] *= select(quotient, derivative(ACTIVATION, x, learned, LEVELS), flat);
}
