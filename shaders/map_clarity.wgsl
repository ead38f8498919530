// The concentration of the map of every image: clarity[image] = (Gini coefficient, entropy, 0, 0).
//
// Gini (sparseness; Hurley and Rickard 2009, Chalasani et al. 2020): a = |φ| + 1e-7 ascending, Σ(2i
// − n − 1)·a_i / (n·Σa_i); i comes as `ranks` of |φ|, which gives equal values the same sum.
// Entropy (complexity; Bhatt et al. 2020): −Σ p·ln(p + 1e-12), p = |φ| / Σ|φ|; 0 for a map of
// zeros. One workgroup per image.

import constants::WORKGROUP;
import package::common::images::Images;
import package::common::sums::workgroup_sum;

override VALUES: u32;

const FLOOR = 1e-7;

@group(0) @binding(0) var<uniform> images: Images;
@group(0) @binding(1) var<storage, read> values: array<f32>;
@group(0) @binding(2) var<storage, read> ranks: array<f32>;
@group(0) @binding(3) var<storage, read_write> clarity: array<vec4f>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) lane: u32) {
    if (workgroup.x >= images.count) { return; }
    let image = images.first + workgroup.x;
    let base = image * VALUES;
    let count = f32(VALUES);
    var sums = vec4f();
    for (var at = lane; at < VALUES; at += WORKGROUP) {
        let magnitude = abs(values[base + at]);
        sums += vec4f(magnitude,
            (2.0 * ranks[base + at] - count - 1.0) / count * (magnitude + FLOOR), 0.0, 0.0);
    }
    sums = workgroup_sum(lane, sums);
    let total = select(sums.x, 1.0, sums.x == 0.0);
    var entropy = vec4f();
    for (var at = lane; at < VALUES; at += WORKGROUP) {
        let share = abs(values[base + at]) / total;
        entropy.x -= share * log(share + 1e-12);
    }
    entropy = workgroup_sum(lane, entropy);
    if (lane == 0u) {
        // Both are 0 or more; a value below 0 is a rounding error.
        let both = vec2f(sums.y / (sums.x + count * FLOOR), entropy.x);
        clarity[image] = vec4f(select(both, vec2f(), both < vec2f()), 0.0, 0.0);
    }
}
