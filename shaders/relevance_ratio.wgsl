// Layer-wise relevance propagation at an activation y = activate(x), in place: multiplier[e] ← y[e]
// / (x[e] + sign(x[e])·ε) · multiplier[e], sign(0) = 1, ε = 1e-9 (Bach et al. 2015, the ε rule with
// Captum's default), over ELEMENTS groups of 4 values per image.
//
// A multiplier is a relevance divided by the value that it is the relevance of: R = y·m. The rule
// R_i = x_i Σ_j w_ij R_j / (z_j ± ε) of the weighted layer z = Wx + b behind is then m_i = Σ_j w_ij
// · m_j · y_j / (z_j ± ε): its transposed weights after this kernel. No quotient of two small
// numbers appears.

import package::common::grid::linear_workgroup;
import package::common::images::Images;

override ELEMENTS: u32;

@group(0) @binding(0) var<uniform> images: Images;
@group(0) @binding(1) var<storage, read> input: array<vec4f>;
@group(0) @binding(2) var<storage, read> output: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> multiplier: array<vec4f>;

const EPSILON = 1e-9;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) count: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let element = linear_workgroup(workgroup, count) * 64u + lane;
    if (element >= images.count * ELEMENTS) { return; }
    let at = images.first * ELEMENTS + element;
    let x = input[at];
    multiplier[at] *= output[at] / (x + select(vec4f(EPSILON), vec4f(-EPSILON), x < vec4f()));
}
