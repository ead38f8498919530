// The positive part once more, in place: values[e] ← values[e] + GAMMA·max(values[e], 0), COUNT
// groups of 4 values. Weights of layer-wise relevance propagation's γ rule (Montavon et al. 2019,
// section 10.2.1).

import package::common::grid::linear_workgroup;

override COUNT: u32;
override GAMMA: f32;

@group(0) @binding(0) var<storage, read_write> values: array<vec4f>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) count: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let element = linear_workgroup(workgroup, count) * 64u + lane;
    if (element < COUNT) { values[element] += GAMMA * max(values[element], vec4f()); }
}
