// Marks the features of every image that a round of a judgement removes: mask[image, feature] = 1
// for the first `removed` of the ranking, else 0; exchanged if the round is inverted (insertion).
// One invocation per feature.

import constants::LANES;
import package::common::images::Images;
import package::common::round::Round;

override FEATURES: u32;

@group(0) @binding(0) var<uniform> images: Images;
@group(0) @binding(1) var<uniform> current: Round;
@group(0) @binding(2) var<storage, read> positions: array<u32>; // of rank_values
@group(0) @binding(3) var<storage, read_write> mask: array<u32>;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) lane: u32) {
    let feature = workgroup.x * LANES + lane;
    if (workgroup.y >= images.count || feature >= FEATURES) { return; }
    let at = (images.first + workgroup.y) * FEATURES + feature;
    mask[at] = select(0u, 1u, (positions[at] < current.removed) != (current.inverted != 0u));
}
