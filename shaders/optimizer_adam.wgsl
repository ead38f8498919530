// Adam (torch.optim.Adam) and, with DECOUPLED, AdamW: g += decay · θ, or for AdamW's weights θ *= 1
// − rate · decay; m = β₁m + (1 − β₁)g; v = β₂v + (1 − β₂)g²; θ −= rate/(1 − β₁ᵗ) · m / (√v / √(1 −
// β₂ᵗ) + ε). The corrections 1 − βᵗ are the step's.
//
// Parameters, pipeline constants, `probe` and dispatch: common/optimizer.wgsl.

import constants::LANES;
import package::common::floats::are_finite;
import package::common::optimizer::{
    current, gradients, is_due, learning_rate, parameters, place, tell,
};
import package::common::parameters::{apply_floor, by_kind, kinds};

override LENGTH: u32;
override STEP_FIRST: u32;
override ALPHA_FIRST: u32;
override OFFSET_FIRST: u32;
override WEIGHT_DECAY: f32 = 0.0;
override ALPHA_DECAY: f32 = 0.0;
override STEP_LR_FACTOR: f32 = 1.0;
override STEP_FLOOR: f32 = 0.0;
override ALPHA_LR_FACTOR: f32 = 1.0;
override ALPHA_FLOOR: f32 = 0.0;
override BETA1: f32 = 0.9;
override BETA2: f32 = 0.999;
// 1 − β₁ and 1 − β₂, rounded once; in f32 the differences would have an error of up to 1e-5.
override BETA1_REST: f32 = 0.1;
override BETA2_REST: f32 = 0.001;
override EPSILON: f32 = 1e-8;
override DECOUPLED: u32 = 0u;

@group(0) @binding(4) var<storage, read_write> first_moment: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> second_moment: array<vec4f>;

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let at = place(workgroup, workgroups, lane);
    if (at >= (LENGTH + 3u) / 4u || !is_due()) { return; }
    let kind = kinds(at, STEP_FIRST, ALPHA_FIRST, OFFSET_FIRST, LENGTH);
    let old = parameters[at];
    let rate = learning_rate() * by_kind(kind, 1.0, STEP_LR_FACTOR, ALPHA_LR_FACTOR);
    let decay = by_kind(kind, WEIGHT_DECAY, 0.0, ALPHA_DECAY);
    let apart = vec4<bool>(DECOUPLED != 0u) & !kind.alpha;
    let g = gradients[at] + select(decay * old, vec4f(), apart);
    let shrunk = select(old, old * (1.0 - rate * decay), apart);
    let m = BETA1 * first_moment[at] + BETA1_REST * g;
    let v = BETA2 * second_moment[at] + BETA2_REST * g * g;
    let denominator = sqrt(v) / sqrt(current.beta2_correction) + EPSILON;
    let updated = shrunk - rate / current.beta1_correction * m / denominator;

    @if(probe) { tell(at, kind, are_finite(updated) & are_finite(m) & are_finite(v)); }
    @if(!probe) {
        first_moment[at] = m;
        second_moment[at] = v;
        parameters[at] =
            apply_floor(old, updated, kind, by_kind(kind, 0.0, STEP_FLOOR, ALPHA_FLOOR));
    }
}
