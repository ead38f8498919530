// Running statistics of batch norms change in the forward pass, before it is known whether a step
// counts. After a step that counts, COUNT parameters from FIRST on are saved; after one that does
// not, they are restored.

import constants::LANES;
import package::common::health::APPLY;

override FIRST: u32;
override COUNT: u32;

@group(0) @binding(0) var<storage, read> health: array<u32>;
@group(0) @binding(1) var<storage, read_write> parameters: array<f32>;
@group(0) @binding(2) var<storage, read_write> kept: array<f32>;

@compute @workgroup_size(LANES)
fn main(@builtin(global_invocation_id) invocation: vec3u) {
    let index = invocation.x;
    if (index >= COUNT) { return; }
    if (health[APPLY] != 0u) {
        kept[index] = parameters[FIRST + index];
    } else {
        parameters[FIRST + index] = kept[index];
    }
}
