// Batch norm with running statistics, y = γ(x − μ)/σ + β with σ = √(variance + ε), as coefficients
// of the layer's z = s·x (common/batch_norm.wgsl), and the factors [2·group] s and [2·group + 1]
// 1/σ. With FOLD s is γ/σ, so that y = z − s·μ + β; else s is 1. It runs once per step in front of
// the passes, so that all passes of a step scale the weights by the same statistics. Padding
// channels get zeros. One invocation per group of 4 channels.

import package::common::batch_norm::{Coefficients, reciprocal};
import package::common::norm_parameters::channels;

override CHANNELS: u32;
override SCALE_INDEX: u32;
override SHIFT_INDEX: u32;
override MEAN_INDEX: u32;
override VARIANCE_INDEX: u32;
override EPSILON: f32;
override FOLD: u32;

@group(0) @binding(1) var<storage, read_write> factors: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> coefficients: array<Coefficients>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    let group = id.x;
    if (group * 4u >= CHANNELS) { return; }
    let gamma = channels(SCALE_INDEX, group, CHANNELS);
    let inverse_deviation = vec4f(1.0) / sqrt(channels(VARIANCE_INDEX, group, CHANNELS) + EPSILON);
    let folded = FOLD != 0u;
    let factor = select(vec4f(1.0), gamma * inverse_deviation, folded);
    factors[2u * group] = factor;
    factors[2u * group + 1u] = inverse_deviation;
    coefficients[group] = Coefficients(
        factor * channels(MEAN_INDEX, group, CHANNELS),
        reciprocal(factor) * inverse_deviation,
        select(gamma * inverse_deviation, vec4f(1.0), folded),
        channels(SHIFT_INDEX, group, CHANNELS),
    );
}
