// Stochastic gradient descent with torch.optim.SGD's semantics: g += decay · θ; b = μ·b + g; θ −=
// rate · d, where d is g (MOMENTUM: NONE), b (PLAIN) or g + μ·b (NESTEROV). The momentum μ is the
// step's; b starts at 0. Without momentum b is not touched.
//
// Parameters, pipeline constants, `probe` and dispatch: common/optimizer.wgsl.

import constants::LANES;
import kinds::momentum::{NONE, NESTEROV};
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
override MOMENTUM: u32; // kinds::momentum

@group(0) @binding(4) var<storage, read_write> velocity: array<vec4f>;

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
    var direction = g;
    var b = vec4f();
    if (MOMENTUM != NONE) {
        b = current.momentum * velocity[at] + g;
        direction = select(b, g + current.momentum * b, MOMENTUM == NESTEROV);
    }
    let updated = old - rate * direction;

    @if(probe) { tell(at, kind, are_finite(updated) & are_finite(b)); }
    @if(!probe) {
        if (MOMENTUM != NONE) { velocity[at] = b; }
        parameters[at] =
            apply_floor(old, updated, kind, by_kind(kind, 0.0, STEP_FLOOR, ALPHA_FLOOR));
    }
}
