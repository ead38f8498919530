// Backward pass of an activation, in place: gradient[e] ← activation'(state[e]) · gradient[e], over
// ELEMENTS groups of 4 values an image, and ∂L/∂α = Σ ∂y/∂α · gradient of PACT (∂L/∂s of LSQ), one
// partial sum a workgroup; with `offset` as many of LSQ+'s ∂L/∂β. `state` is the activation's input
// x for PACT, its output for ReLU. An invocation takes ITEMS groups of 4 elements.

import constants::{ITEMS, WORKGROUP};
import package::common::grid::linear_workgroup;
import package::common::images::Images;
import package::common::activation::{derivative, learned_derivative, offset_derivative};
import package::common::storage::{Output, State, load_output, load_state, store_output};
import package::common::sums::ordered_sum;

override ELEMENTS: u32;
override ACTIVATION: u32;
@if(pact) override LEVELS: f32;
@if(pact) override ALPHA_INDEX: u32;
@if(pact) override OFFSET_INDEX: u32;

@group(0) @binding(0) var<uniform> images: Images;
@group(0) @binding(1) var<storage, read> state: array<State>;
@group(0) @binding(2) var<storage, read_write> gradient: array<Output>;
@if(pact) @group(0) @binding(3) var<storage, read> parameters: array<f32>;
@if(pact) @group(0) @binding(4) var<storage, read_write> partial_sums: array<f32>;
@if(offset) @group(0) @binding(5) var<storage, read_write> offset_sums: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) count: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let block = linear_workgroup(workgroup, count);
    @if(pact) let learned = vec2f(parameters[ALPHA_INDEX], parameters[OFFSET_INDEX]);
    @if(pact) var alpha_sum = vec4f();
    @if(offset) var offset_sum = vec4f();
    for (var item = 0u; item < ITEMS; item++) {
        let element = (block * ITEMS + item) * WORKGROUP + lane;
        if (element < images.count * ELEMENTS) {
            let at = images.first * ELEMENTS + element;
            @if(pact) {
                let x = load_state(state[at]);
                let g = load_output(gradient[at]);
                alpha_sum += g * learned_derivative(ACTIVATION, x, learned, LEVELS);
                @if(offset) { offset_sum += g * offset_derivative(ACTIVATION, x, learned, LEVELS); }
                gradient[at] = store_output(g * derivative(ACTIVATION, x, learned, LEVELS));
            }
            @if(!pact) {
                let slope = derivative(ACTIVATION, load_state(state[at]), vec2f(), 1.0);
                gradient[at] = store_output(load_output(gradient[at]) * slope);
            }
        }
    }
    @if(pact) {
        let sum = ordered_sum(lane, alpha_sum.x + alpha_sum.y + alpha_sum.z + alpha_sum.w, 0.0);
        // A dispatch spread over two dimensions can be larger than the sums it was sized for.
        if (lane == 0u && block < arrayLength(&partial_sums)) { partial_sums[block] = sum; }
    }
    @if(offset) {
        let sum = ordered_sum(lane, offset_sum.x + offset_sum.y + offset_sum.z + offset_sum.w, 0.0);
        if (lane == 0u && block < arrayLength(&offset_sums)) { offset_sums[block] = sum; }
    }
}
