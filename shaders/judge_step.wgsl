// Decides whether a step's update is made: not if its loss, a gradient, or what the update would
// leave behind is NaN or infinite, nor if the mean cross entropy is above EXPLODED (infinities
// inside can end in a ReLU and leave a finite loss). What to do then is the POLICY: no update is
// made from this step on, until the host has looked at it (STOP); this step's is not made (SKIP);
// likewise, and the learning rate is halved for those that follow (LOWER_RATE).
//
// verdicts[log_slot] = (cause, index): the index is that of the first bad gradient or update in the
// flat array of parameters, NONE else. `health` is ready for the next step's probe then.
//
// Runs once a step, after the probe and before the optimiser; one invocation.

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
