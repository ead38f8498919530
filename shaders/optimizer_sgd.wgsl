// Stochastic gradient descent with torch.optim.SGD's semantics: g += decay · θ; b = μ·b + g; θ −= rate · d,
// where d is g (MOMENTUM 0), b (1) or g + μ·b (2, Nesterov's form). The momentum μ is the step's; b starts at 0. Without momentum b is not touched.
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
override MOMENTUM: u32 = 0u;

@group(0) @binding(0) var<uniform> current: Step;
@group(0) @binding(1) var<storage, read_write> parameters: array<vec4f>;
@group(0) @binding(2) var<storage, read> gradients: array<vec4f>;
@if(probe) @group(0) @binding(3) var<storage, read_write> health: array<atomic<u32>>;
@if(!probe) @group(0) @binding(3) var<storage, read> health: array<u32>;
@group(0) @binding(4) var<storage, read_write> velocity: array<vec4f>;

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
    var direction = g;
    var b = vec4f();
    if (MOMENTUM != 0u) {
        b = current.momentum * velocity[at] + g;
        direction = select(b, g + current.momentum * b, MOMENTUM == 2u);
    }
    let updated = old - rate * direction;

    @if(probe) {
        let gradient = first_of(kind.real & !are_finite(gradients[at]), at);
        if (gradient != NONE) { atomicMin(&health[GRADIENT], gradient); }
        let update = first_of(kind.real & !(are_finite(updated) & are_finite(b)), at);
        if (update != NONE) { atomicMin(&health[UPDATE], update); }
    }
    @if(!probe) {
        if (MOMENTUM != 0u) { velocity[at] = b; }
        parameters[at] = apply_floor(old, updated, kind, by_kind(kind, 0.0, STEP_FLOOR, ALPHA_FLOOR));
    }
}
