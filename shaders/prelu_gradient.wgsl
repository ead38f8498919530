// What comes back through PReLU, in place: gradient ← y′ · gradient, with y′ = 1 above 0 and else
// the slope, as PyTorch has it. With `guided` max(y′ · gradient, 0): guided back-propagation
// (Springenberg et al. 2015). With `rescale` Δy/Δx · gradient, of differences from the baselines,
// which are behind the images in the same order (DeepLIFT, Shrikumar et al. 2017), and where |Δx| <
// 1e-10 the derivative. Sizes as in `prelu`; `state` is the function's input. One invocation a
// group of 4 values.

import package::common::grid::linear_workgroup;
import package::common::images::Images;
import package::common::slopes::{bent, slopes_of};
import package::common::storage::{Output, State, load_output, load_state, store_output};

override ELEMENTS: u32;
override GROUPS: u32;
override CHANNELS: u32;
override SLOPE_INDEX: u32;
override PER_CHANNEL: u32;

@group(0) @binding(0) var<uniform> images: Images;
@group(0) @binding(1) var<storage, read> state: array<State>;
@group(0) @binding(2) var<storage, read_write> gradient: array<Output>;
@group(0) @binding(3) var<storage, read> parameters: array<f32>;

@if(rescale) const SMALLEST_DIFFERENCE = 1e-10;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) count: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let element = linear_workgroup(workgroup, count) * 64u + lane;
    if (element >= images.count * ELEMENTS) { return; }
    let at = images.first * ELEMENTS + element;
    let places = slopes_of(element % GROUPS, CHANNELS, SLOPE_INDEX, PER_CHANNEL);
    let slope = vec4f(
        parameters[places.x],
        parameters[places.y],
        parameters[places.z],
        parameters[places.w],
    );
    let x = load_state(state[at]);
    var factor = select(slope, vec4f(1.0), x > vec4f());
    @if(rescale) {
        let base = load_state(state[at + images.count * ELEMENTS]);
        let flat = abs(x - base) < vec4f(SMALLEST_DIFFERENCE);
        let quotient = (bent(x, slope) - bent(base, slope)) / select(x - base, vec4f(1.0), flat);
        factor = select(quotient, factor, flat);
    }
    var result = factor * load_output(gradient[at]);
    @if(guided) { result = max(result, vec4f()); }
    gradient[at] = store_output(result);
}
