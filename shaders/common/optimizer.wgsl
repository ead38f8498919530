// Common parts of the optimisers: the first four bindings, the parameters of an invocation, whether
// and at which rate they change, and the report of a probe.
//
// Parameters are one array of LENGTH floats, gradients and states alike: weights and biases before
// STEP_FIRST, learned steps before ALPHA_FIRST, PACT's α before OFFSET_FIRST, LSQ+'s offsets from
// there on, which are treated as steps but have no floor. WEIGHT_DECAY is for weights and biases;
// steps have none; α have their own ALPHA_DECAY (an L2 penalty: decay · α is added to
// the gradient). Steps and α have STEP_LR_FACTOR and ALPHA_LR_FACTOR times the rate, and stay ≥
// STEP_FLOOR and ALPHA_FLOOR. These pipeline constants stand in every optimiser: the linker would
// rename imported ones. With `probe` nothing is changed: the lowest indices of a gradient and of a
// result that are NaN or infinite go to `health`. Without it the update is made where `health` says
// so, at the rate's factor there. 4 elements an invocation; workgroups are counted over x, then y.

import constants::LANES;
import package::common::step::Step;
import package::common::floats::are_finite;
import package::common::grid::linear_workgroup;
import package::common::health::{GRADIENT, UPDATE, APPLY, RATE, NONE, first_of};
import package::common::parameters::Kind;

@group(0) @binding(0) var<uniform> current: Step;
@group(0) @binding(1) var<storage, read_write> parameters: array<vec4f>;
@group(0) @binding(2) var<storage, read> gradients: array<vec4f>;
@if(probe) @group(0) @binding(3) var<storage, read_write> health: array<atomic<u32>>;
@if(!probe) @group(0) @binding(3) var<storage, read> health: array<u32>;

// The 4 parameters of an invocation: 4·at … 4·at + 3.
fn place(workgroup: vec3u, workgroups: vec3u, lane: u32) -> u32 {
    return linear_workgroup(workgroup, workgroups) * LANES + lane;
}

// Whether there is work; a probe always has.
fn is_due() -> bool {
    @if(probe) return true;
    @if(!probe) return health[APPLY] != 0u;
}

// The step's learning rate, times the factor in `health`.
fn learning_rate() -> f32 {
    var factor = 1.0;
    @if(probe) { factor = bitcast<f32>(atomicLoad(&health[RATE])); }
    @if(!probe) { factor = bitcast<f32>(health[RATE]); }
    return factor * current.learning_rate;
}

// Reports on parameters 4·at … 4·at + 3 after the update, with their state: `fine` where all of
// that is finite.
@if(probe) fn tell(at: u32, kind: Kind, fine: vec4<bool>) {
    let gradient = first_of(kind.real & !are_finite(gradients[at]), at);
    if (gradient != NONE) { atomicMin(&health[GRADIENT], gradient); }
    let update = first_of(kind.real & !fine, at);
    if (update != NONE) { atomicMin(&health[UPDATE], update); }
}
