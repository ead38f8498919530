// Structural similarity of two maps of every image (Wang et al. 2004): Gaussian window of σ = 1.5
// and 11 × 11 pixels, K₁ = 0.01, K₂ = 0.03, mean over all windows inside the image and over the
// channels.
//
// Each map is first divided by its own largest magnitude, so that it lies in −1..1 (range L = 2)
// and its scale does not matter; a map of zeros is not changed. Images smaller than the window use
// the largest odd window that fits. `a`, `b` are [image, channel, row, column]. The sum is over the
// difference of each window from 1, computed from differences of the maps, so that equal maps have
// exactly 1. One workgroup per image.

import constants::WORKGROUP;
import package::common::images::Images;
import package::common::sums::{workgroup_max, workgroup_sum};

override HEIGHT: u32;
override WIDTH: u32;
override CHANNELS: u32;
override WINDOW: u32 = 11u; // odd, at most MOST

const MOST = 11u;

const C1 = 0.02 * 0.02; // (K·L)²
const C2 = 0.06 * 0.06;

@group(0) @binding(0) var<uniform> images: Images;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read_write> similarity: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) lane: u32) {
    if (workgroup.x >= images.count) { return; }
    let image = images.first + workgroup.x;
    let values = CHANNELS * HEIGHT * WIDTH;
    let base = image * values;
    var largest = vec4f();
    for (var at = lane; at < values; at += WORKGROUP) {
        largest = max(largest, vec4f(abs(a[base + at]), abs(b[base + at]), 0.0, 0.0));
    }
    largest = workgroup_max(lane, largest);
    let scale = select(largest.xy, vec2f(1.0), largest.xy == vec2f());

    let radius = f32(WINDOW / 2u);
    var weights: array<f32, MOST>;
    var weight_sum = 0.0;
    for (var tap = 0u; tap < WINDOW; tap++) {
        let distance = f32(tap) - radius;
        weights[tap] = exp(-distance * distance / (2.0 * 1.5 * 1.5));
        weight_sum += weights[tap];
    }
    for (var tap = 0u; tap < WINDOW; tap++) { weights[tap] /= weight_sum; }
    let rows = HEIGHT - WINDOW + 1u;
    let columns = WIDTH - WINDOW + 1u;
    var sum = vec4f();
    for (var window = lane; window < CHANNELS * rows * columns; window += WORKGROUP) {
        let corner = base + (window / (rows * columns) * HEIGHT + window / columns % rows) * WIDTH
            + window % columns;
        var means = vec2f();
        for (var row = 0u; row < WINDOW; row++) {
            for (var column = 0u; column < WINDOW; column++) {
                let at = corner + row * WIDTH + column;
                means += weights[row] * weights[column] * vec2f(a[at], b[at]);
            }
        }
        // About the means, because differences of sums of squares would cancel. For the
        // differences: σ_a² + σ_b² − 2σ_ab.
        var variances = vec2f();
        var of_differences = 0.0;
        for (var row = 0u; row < WINDOW; row++) {
            for (var column = 0u; column < WINDOW; column++) {
                let at = corner + row * WIDTH + column;
                let weight = weights[row] * weights[column];
                let pair = (vec2f(a[at], b[at]) - means) / scale;
                variances += weight * pair * pair;
                of_differences += weight * (pair.x - pair.y) * (pair.x - pair.y);
            }
        }
        means /= scale;
        let apart = means.x - means.y;
        let luminance = apart * apart / (dot(means, means) + C1);
        let structure = of_differences / (variances.x + variances.y + C2);
        sum.x += luminance + structure - luminance * structure;
    }
    sum = workgroup_sum(lane, sum);
    if (lane == 0u) { similarity[image] = 1.0 - sum.x / f32(CHANNELS * rows * columns); }
}
