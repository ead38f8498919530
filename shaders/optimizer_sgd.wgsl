// Stochastic gradient descent with torch.optim.SGD's semantics: g += decay · θ; b = μ·b + g; θ −= rate · d,
// where d is g (MOMENTUM 0), b (1) or g + μ·b (2, Nesterov's form). The momentum μ is the step's; b starts at 0. Without momentum b is not touched.
//
// Parameters are one array of LENGTH floats, gradients and states alike: weights and biases before STEP_FIRST, learned steps before ALPHA_FIRST,
// PACT's α from there on. WEIGHT_DECAY is for weights and biases; steps have none; α have their own ALPHA_DECAY (an L2 penalty: decay · α is
// added to the gradient). Steps and α have STEP_LR_FACTOR and ALPHA_LR_FACTOR times the rate, and stay ≥ STEP_FLOOR and ALPHA_FLOOR.
// flag[0] gets bit 0 for a weight or bias and bit 1 for a step or an α that is no longer finite; it is never cleared here.
// 4 elements an invocation; workgroups are counted over x, then y.

import constants::LANES;
import package::common::step::Step;
import package::common::parameters::{Kind, apply_floor, by_kind, kinds, report};

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
@group(0) @binding(3) var<storage, read_write> flag: array<atomic<u32>>;
@group(0) @binding(4) var<storage, read_write> velocity: array<vec4f>;

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let at = (workgroup.y * workgroups.x + workgroup.x) * LANES + lane;
    if (at >= (LENGTH + 3u) / 4u) { return; }
    let kind = kinds(at, STEP_FIRST, ALPHA_FIRST, LENGTH);
    let old = parameters[at];
    let rate = current.learning_rate * by_kind(kind, 1.0, STEP_LR_FACTOR, ALPHA_LR_FACTOR);
    let g = gradients[at] + by_kind(kind, WEIGHT_DECAY, 0.0, ALPHA_DECAY) * old;
    var direction = g;
    if (MOMENTUM != 0u) {
        let b = current.momentum * velocity[at] + g;
        velocity[at] = b;
        direction = select(b, g + current.momentum * b, MOMENTUM == 2u);
    }
    let updated = old - rate * direction;

    let damage = report(updated, kind);
    if (damage != 0u) { atomicOr(&flag[0], damage); }
    parameters[at] = apply_floor(old, updated, kind, by_kind(kind, 0.0, STEP_FLOOR, ALPHA_FLOOR));
}
