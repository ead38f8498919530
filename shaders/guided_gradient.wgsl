// Guided back-propagation through an activation, in place: gradient[e] ← max(activation'(state[e])
// · gradient[e], 0), over ELEMENTS groups of 4 values per image (Springenberg et al. 2015). `state`
// is the activation's input x for PACT, its output for ReLU.

import package::common::grid::linear_workgroup;
import package::common::images::Images;
import package::common::activation::derivative;

override ELEMENTS: u32;
override ACTIVATION: u32;
override LEVELS: f32 = 1.0;
@if(pact) override ALPHA_INDEX: u32;
@if(pact) override OFFSET_INDEX: u32;

@group(0) @binding(0) var<uniform> images: Images;
@group(0) @binding(1) var<storage, read> state: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> gradient: array<vec4f>;
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
    @if(!pact) let learned = vec2f();
    gradient[at] = max(derivative(ACTIVATION, state[at], learned, LEVELS) * gradient[at], vec4f());
}
