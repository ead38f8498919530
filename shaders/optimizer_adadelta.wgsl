// Adadelta with torch.optim.Adadelta's semantics: g += decay · θ; s = ρs + (1 − ρ)g²; Δ = √(a + ε)
// / √(s + ε) · g; a = ρa + (1 − ρ)Δ²; θ −= rate · Δ.
//
// Parameters, pipeline constants, `probe` and dispatch: common/optimizer.wgsl.

import constants::LANES;
import package::common::floats::are_finite;
import package::common::optimizer::{gradients, is_due, learning_rate, parameters, place, tell};
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
override RHO: f32 = 0.9;
override RHO_REST: f32 = 0.1; // 1 − ρ, rounded once
override EPSILON: f32 = 1e-6;

@group(0) @binding(4) var<storage, read_write> square_average: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> delta_average: array<vec4f>;

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
    let g = gradients[at] + by_kind(kind, WEIGHT_DECAY, 0.0, ALPHA_DECAY) * old;
    let s = RHO * square_average[at] + RHO_REST * g * g;
    let a = delta_average[at];
    let delta = sqrt(a + EPSILON) / sqrt(s + EPSILON) * g;
    let moved = RHO * a + RHO_REST * delta * delta;
    let updated = old - rate * delta;

    @if(probe) { tell(at, kind, are_finite(updated) & are_finite(s) & are_finite(moved)); }
    @if(!probe) {
        square_average[at] = s;
        delta_average[at] = moved;
        parameters[at] =
            apply_floor(old, updated, kind, by_kind(kind, 0.0, STEP_FLOOR, ALPHA_FLOOR));
    }
}
