// Similarities of two maps of every image: similarity[image] = (Pearson correlation, cosine, ‖b −
// a‖₂ / ‖a‖₂, a · b) over VALUES values per image.
//
// The correlation of a constant map is not defined, nor is the cosine of a map of zeros: they are 1
// for two such maps, and 0 if only one map is such. A zero a is divided by 1, as in Captum. For
// ranks, the Pearson correlation is Spearman's. Means are subtracted before products are summed.
// With u and v of length 1, S = ‖u + v‖² and D = ‖u − v‖², the correlation is (S − D) / (S + D).
// This is exactly 1 for equal maps, never outside −1..1, and to second order free of the errors of
// the two lengths. One workgroup per image.

import constants::WORKGROUP;
import package::common::images::Images;
import package::common::sums::workgroup_sum;

override VALUES: u32;

@group(0) @binding(0) var<uniform> images: Images;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read_write> similarity: array<vec4f>;

// The factors that give maps with these sums of squares length 1; 0 for a map of zeros.
fn inverse_lengths(squares: vec2f) -> vec2f {
    return select(1.0 / sqrt(squares), vec2f(), squares == vec2f());
}

// The correlation from S and D, if neither map is zero; `squares` are those of the maps before
// scaling.
fn correlation(sum: f32, difference: f32, squares: vec2f) -> f32 {
    if (squares.x == 0.0 || squares.y == 0.0) { return select(0.0, 1.0, squares.x == squares.y); }
    let whole = sum + difference;
    return select(2.0 * sum / whole - 1.0, 1.0 - 2.0 * difference / whole, difference < sum);
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) lane: u32) {
    if (workgroup.x >= images.count) { return; }
    let image = images.first + workgroup.x;
    let base = image * VALUES;
    // Differences from the first values, so that the mean of a constant map is exact.
    let origin = vec2f(a[base], b[base]);
    var sums = vec4f();
    for (var at = lane; at < VALUES; at += WORKGROUP) {
        let x = a[base + at];
        let y = b[base + at];
        sums += vec4f(x - origin.x, y - origin.y, (y - x) * (y - x), x * y);
    }
    sums = workgroup_sum(lane, sums);
    let mean = origin + sums.xy / f32(VALUES);
    var squares = vec4f();
    for (var at = lane; at < VALUES; at += WORKGROUP) {
        let values = vec2f(a[base + at], b[base + at]);
        let centred = values - mean;
        squares += vec4f(values * values, centred * centred);
    }
    squares = workgroup_sum(lane, squares);
    let cosine_scale = inverse_lengths(squares.xy);
    let pearson_scale = inverse_lengths(squares.zw);
    var both = vec4f(); // S and D of the values, of the centred ones
    for (var at = lane; at < VALUES; at += WORKGROUP) {
        let values = vec2f(a[base + at], b[base + at]);
        let u = values * cosine_scale;
        let v = (values - mean) * pearson_scale;
        let ends = vec4f(u.x + u.y, u.x - u.y, v.x + v.y, v.x - v.y);
        both += ends * ends;
    }
    both = workgroup_sum(lane, both);
    if (lane == 0u) {
        similarity[image] = vec4f(
            correlation(both.z, both.w, squares.zw),
            correlation(both.x, both.y, squares.xy),
            sqrt(sums.z) / select(sqrt(squares.x), 1.0, squares.x == 0.0),
            sums.w,
        );
    }
}
