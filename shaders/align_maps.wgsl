// How far the student's map s of an image is from the teacher's map t, and which way it should
// change: sums[image].y = 1 − cos(s, t), and s becomes
//   v = WEIGHT/N · ∂(1 − cos)/∂s = WEIGHT/N · (cos · s/‖s‖ − t/‖t‖)/‖s‖
// for a batch of N images. A map of norm 0 has distance 1 and v = 0.
//
// Maps are divided by their largest magnitudes first: squares of small gradients are below f32's
// range. With d = s/‖s‖ − t/‖t‖ the distance is ‖d‖²/2 and the bracket d − ‖d‖²/2 · s/‖s‖: nothing
// cancels where the maps are alike. ELEMENTS groups of 4 values per image, padding 0. One workgroup
// per image.

import constants::WORKGROUP;
import package::common::images::Images;
import package::common::sums::{workgroup_max, workgroup_sum};

override ELEMENTS: u32;
override WEIGHT: f32;

@group(0) @binding(0) var<uniform> images: Images;
@group(0) @binding(1) var<storage, read> teacher: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> student: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> sums: array<vec4f>;

// The smallest number of f32 whose inverse is finite on every device.
const SMALLEST = 1.1754944e-38;

fn largest(value: vec4f) -> f32 {
    let magnitude = abs(value);
    return max(max(magnitude.x, magnitude.y), max(magnitude.z, magnitude.w));
}

// 1/x, and 0 where there is none. A NaN stays.
fn inverse(x: vec2f) -> vec2f {
    return select(1.0 / x, vec2f(), x < vec2f(SMALLEST));
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) lane: u32) {
    if (workgroup.x >= images.count) { return; }
    let image = images.first + workgroup.x;
    let base = image * ELEMENTS;
    var highest = vec4f();
    for (var at = base + lane; at < base + ELEMENTS; at += WORKGROUP) {
        highest = max(highest, vec4f(largest(student[at]), largest(teacher[at]), 0.0, 0.0));
    }
    let scale = inverse(workgroup_max(lane, highest).xy);
    var squares = vec4f();
    for (var at = base + lane; at < base + ELEMENTS; at += WORKGROUP) {
        let s = student[at] * scale.x;
        let t = teacher[at] * scale.y;
        squares += vec4f(dot(s, s), dot(t, t), 0.0, 0.0);
    }
    let inverse_length = inverse(sqrt(workgroup_sum(lane, squares).xy));
    let unit = scale * inverse_length;
    var distance = vec4f();
    for (var at = base + lane; at < base + ELEMENTS; at += WORKGROUP) {
        let d = student[at] * unit.x - teacher[at] * unit.y;
        distance += vec4f(dot(d, d), 0.0, 0.0, 0.0);
    }
    let half_square = 0.5 * workgroup_sum(lane, distance).x;
    let is_zero = unit.x == 0.0 || unit.y == 0.0;
    let factor = select(WEIGHT / f32(images.batch) * unit.x, 0.0, is_zero);
    for (var at = base + lane; at < base + ELEMENTS; at += WORKGROUP) {
        let s = student[at] * unit.x;
        student[at] = factor * (s - teacher[at] * unit.y - half_square * s);
    }
    // A NaN is told, whatever the norms are.
    if (lane == 0u) { sums[image].y = select(half_square, 1.0, is_zero && half_square <= 1.0); }
}
