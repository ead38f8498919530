// Overlap of the first K features of two rankings of every image: overlap[image] = |A ∩ B| / |A ∪
// B|. One workgroup per image.

import constants::WORKGROUP;
import package::common::images::Images;
import package::common::sums::workgroup_sum;

override FEATURES: u32;
override K: u32;

@group(0) @binding(0) var<uniform> images: Images;
@group(0) @binding(1) var<storage, read> a: array<u32>; // positions of rank_values
@group(0) @binding(2) var<storage, read> b: array<u32>;
@group(0) @binding(3) var<storage, read_write> overlap: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) lane: u32) {
    if (workgroup.x >= images.count) { return; }
    let image = images.first + workgroup.x;
    let base = image * FEATURES;
    var shared_features = vec4f();
    for (var at = lane; at < FEATURES; at += WORKGROUP) {
        if (a[base + at] < K && b[base + at] < K) { shared_features.x += 1.0; }
    }
    shared_features = workgroup_sum(lane, shared_features);
    if (lane == 0u) {
        // The quotient of equal numbers may have a rounding error.
        let all = 2.0 * f32(K) - shared_features.x;
        overlap[image] = select(shared_features.x / all, 1.0, shared_features.x == all);
    }
}
