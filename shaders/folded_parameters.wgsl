// Parameters without the batch norms right behind layers with weights: W ← s·W and
// b ← s·(b − μ) + β per output channel, with s = γ/√(variance + ε) of the running statistics (paper
// eqs. (4), (5)). Each of the COUNT folded parameters has an entry in `sources`: 1 + the index of
// the parameter that it comes from, 0 for a value of 0; and 1 + its entry in `norms`, 0 where no
// batch norm is behind it. Operations are in the order of `fold_batch_norm`, so that quantizers get
// the same bits. One invocation per parameter.

import package::common::grid::linear_workgroup;

override COUNT: u32;

// A channel of a batch norm: indices of its parameters.
struct Norm {
    scale: u32,
    shift: u32,
    mean: u32,
    variance: u32,
    epsilon: f32,
    shifts: u32, // 1 for biases
}

@group(0) @binding(0) var<storage, read> parameters: array<f32>;
@group(0) @binding(1) var<storage, read> sources: array<vec2u>;
@group(0) @binding(2) var<storage, read> norms: array<Norm>;
@group(0) @binding(3) var<storage, read_write> folded: array<f32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) count: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let element = linear_workgroup(workgroup, count) * 64u + lane;
    if (element >= COUNT) { return; }
    let own = sources[element];
    var value = 0.0;
    if (own.x > 0u) { value = parameters[own.x - 1u]; }
    if (own.y > 0u) {
        let norm = norms[own.y - 1u];
        let inverse_deviation = 1.0 / sqrt(parameters[norm.variance] + norm.epsilon);
        let factor = parameters[norm.scale] * inverse_deviation;
        value *= factor;
        if (norm.shifts != 0u) {
            value = value - factor * parameters[norm.mean] + parameters[norm.shift];
        }
    }
    folded[element] = value;
}
