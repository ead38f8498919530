// Adadelta with torch.optim.Adadelta's semantics: g += decay · θ; s = ρs + (1 − ρ)g²; Δ = √(a + ε) / √(s + ε) · g; a = ρa + (1 − ρ)Δ²; θ −= rate · Δ.
//
// Parameters are one array of LENGTH floats, gradients and states alike: weights and biases before STEP_FIRST, learned steps before ALPHA_FIRST,
// PACT's α from there on. WEIGHT_DECAY is for weights and biases; steps have none; α have their own ALPHA_DECAY (an L2 penalty: decay · α is
// added to the gradient). Steps and α have STEP_LR_FACTOR and ALPHA_LR_FACTOR times the rate, and stay ≥ STEP_FLOOR and ALPHA_FLOOR.
// With `probe` nothing is changed: the lowest indices of a gradient and of a result that are NaN or infinite go to `health`. Without it the update is made
// where `health` says so, at the rate's factor there.
// 4 elements an invocation; workgroups are counted over x, then y.

import constants::LANES;
import package::common::step::Step;
import package::common::floats::are_finite;
import package::common::health::{GRADIENT, UPDATE, APPLY, RATE, NONE, first_of};
import package::common::parameters::{Kind, apply_floor, by_kind, kinds};

override LENGTH: u32;
override STEP_FIRST: u32;
override ALPHA_FIRST: u32;
override WEIGHT_DECAY: f32 = 0.0;
override ALPHA_DECAY: f32 = 0.0;
override STEP_LR_FACTOR: f32 = 1.0;
override STEP_FLOOR: f32 = 0.0;
override ALPHA_LR_FACTOR: f32 = 1.0;
override ALPHA_FLOOR: f32 = 0.0;
override RHO: f32 = 0.9;
override RHO_REST: f32 = 0.1; // 1 − ρ, rounded once
override EPSILON: f32 = 1e-6;

@group(0) @binding(0) var<uniform> current: Step;
@group(0) @binding(1) var<storage, read_write> parameters: array<vec4f>;
@group(0) @binding(2) var<storage, read> gradients: array<vec4f>;
@if(probe) @group(0) @binding(3) var<storage, read_write> health: array<atomic<u32>>;
@if(!probe) @group(0) @binding(3) var<storage, read> health: array<u32>;
@group(0) @binding(4) var<storage, read_write> square_average: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> delta_average: array<vec4f>;

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let at = (workgroup.y * workgroups.x + workgroup.x) * LANES + lane;
    if (at >= (LENGTH + 3u) / 4u) { return; }
    var factor = 1.0;
    @if(probe) { factor = bitcast<f32>(atomicLoad(&health[RATE])); }
    @if(!probe) {
        if (health[APPLY] == 0u) { return; }
        factor = bitcast<f32>(health[RATE]);
    }
    let kind = kinds(at, STEP_FIRST, ALPHA_FIRST, LENGTH);
    let old = parameters[at];
    let rate = factor * current.learning_rate * by_kind(kind, 1.0, STEP_LR_FACTOR, ALPHA_LR_FACTOR);
    let g = gradients[at] + by_kind(kind, WEIGHT_DECAY, 0.0, ALPHA_DECAY) * old;
    let s = RHO * square_average[at] + RHO_REST * g * g;
    let a = delta_average[at];
    let delta = sqrt(a + EPSILON) / sqrt(s + EPSILON) * g;
    let moved = RHO * a + RHO_REST * delta * delta;
    let updated = old - rate * delta;

    @if(probe) {
        let gradient = first_of(kind.real & !are_finite(gradients[at]), at);
        if (gradient != NONE) { atomicMin(&health[GRADIENT], gradient); }
        let update = first_of(kind.real & !(are_finite(updated) & are_finite(s) & are_finite(moved)), at);
        if (update != NONE) { atomicMin(&health[UPDATE], update); }
    }
    @if(!probe) {
        square_average[at] = s;
        delta_average[at] = moved;
        parameters[at] = apply_floor(old, updated, kind, by_kind(kind, 0.0, STEP_FLOOR, ALPHA_FLOOR));
    }
}
