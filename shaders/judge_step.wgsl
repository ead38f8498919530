// Decides whether a step's update is made. It is not made if the loss, a gradient, or a result of
// the update is NaN or infinite, nor if the mean cross entropy is above EXPLODED (infinities inside
// the network can end in a ReLU and leave a finite loss). POLICY then decides: no update is made
// from this step on, until the host has looked at it (STOP); this step's update is not made (SKIP);
// or this step's update is not made, and the learning rate is halved for later steps (LOWER_RATE).
//
// verdicts[log_slot] = (cause, index): the index is that of the first bad gradient or update in the
// flat array of parameters, else NONE. `health` is then reset for the next step's probe.
//
// Runs once per step, after the probe and before the optimiser; one invocation.

import kinds::cause;
import kinds::policy::{STOP, LOWER_RATE};
import package::common::step::Step;
import package::common::health::{GRADIENT, UPDATE, APPLY, HALTED, RATE, NONE};

override POLICY: u32; // kinds::policy
override EXPLODED: f32;

@group(0) @binding(0) var<uniform> current: Step;
@group(0) @binding(1) var<storage, read> metrics: array<vec4f>;
@group(0) @binding(2) var<storage, read> flags: array<u32>;
@group(0) @binding(3) var<storage, read_write> health: array<u32>;
@group(0) @binding(4) var<storage, read_write> verdicts: array<vec2u>;

@compute @workgroup_size(1)
fn main() {
    let slot = current.log_slot;
    let sums = metrics[slot];
    var verdict = vec2u(cause::NOTHING, NONE);
    if (health[HALTED] != 0u) {
        verdict.x = cause::HALTED;
    } else if (flags[slot] != 0u) {
        verdict.x = cause::LOSS;
    } else if (sums.x > EXPLODED * sums.w) {
        verdict.x = cause::EXPLODED;
    } else if (health[GRADIENT] != NONE) {
        verdict = vec2u(cause::GRADIENT, health[GRADIENT]);
    } else if (health[UPDATE] != NONE) {
        verdict = vec2u(cause::UPDATE, health[UPDATE]);
    }
    let bad = verdict.x != cause::NOTHING;
    health[APPLY] = select(1u, 0u, bad);
    if (bad && POLICY == STOP) { health[HALTED] = 1u; }
    if (bad && POLICY == LOWER_RATE) {
        health[RATE] = bitcast<u32>(bitcast<f32>(health[RATE]) * 0.5);
    }
    health[GRADIENT] = NONE;
    health[UPDATE] = NONE;
    verdicts[slot] = verdict;
}
