// Makes the masked half of a batch: image i's copy at i + count of the step's clean images, with
// its masked pixels replaced. Algorithm 1, step 3.
//
// Fills: independent U(min, max) of the image's own values for every pixel and channel; 0; the
// image's mean; its pixel (0, 0), per channel; a Gaussian blur of it (σ = 2 pixels, radius 8,
// weights that sum to 1). The blur reflects edges without repeating the border pixel, repeatedly if
// the image is smaller than the radius. Random numbers are keyed by step and position in the epoch.

import constants::LANES;
import kinds::mask_fill::{ZERO, MEAN, CORNER, BLUR};
import kinds::stream::FILL as FILL_STREAM;
import package::common::images::Images;
import package::common::step::Step;
import package::common::channels::real_channels;
import package::common::random::{random_bits, random_key, uniform01x4};

override HEIGHT: u32;
override WIDTH: u32;
override CHANNELS: u32;
override FILL: u32; // kinds::mask_fill

@group(0) @binding(0) var<uniform> current: Step;
@group(0) @binding(1) var<uniform> images: Images;
@group(0) @binding(2) var<storage, read_write> pixels: array<vec4f>;
@group(0) @binding(3) var<storage, read> mask: array<u32>;
@group(0) @binding(4) var<storage, read> statistics: array<vec4f>;

const RADIUS = 8u;
const TAPS = 2u * RADIUS + 1u;
// exp(−d²/(2σ²)) for d = −8 … 8 and σ = 2, divided by their sum.
const WEIGHTS = array<f32, TAPS>(
    6.691628957e-5, 4.363490205e-4, 2.215963173e-3, 8.764304363e-3,
    2.699595797e-2, 6.475993660e-2, 1.209874898e-1, 1.760357589e-1,
    1.994746479e-1,
    1.760357589e-1, 1.209874898e-1, 6.475993660e-2, 2.699595797e-2,
    8.764304363e-3, 2.215963173e-3, 4.363490205e-4, 6.691628957e-5,
);

// Position `at` + `tap` − RADIUS, mirrored at both ends into [0, length).
fn reflect_into(at: u32, tap: u32, length: u32) -> u32 {
    if (length == 1u) { return 0u; }
    let period = 2u * (length - 1u);
    let folded = (at + tap + RADIUS * period - RADIUS) % period;
    return min(folded, period - folded);
}

fn blurred(base: u32, y: u32, x: u32, group: u32, groups: u32) -> vec4f {
    var columns: array<u32, TAPS>;
    @unroll for (var tap = 0u; tap < TAPS; tap++) {
        columns[tap] = reflect_into(x, tap, WIDTH) * groups + group;
    }
    var sum = vec4f();
    var weights = WEIGHTS;
    for (var row = 0u; row < TAPS; row++) {
        let line = base + reflect_into(y, row, HEIGHT) * WIDTH * groups;
        var line_sum = vec4f();
        @unroll for (var tap = 0u; tap < TAPS; tap++) {
            line_sum += WEIGHTS[tap] * pixels[line + columns[tap]];
        }
        sum += weights[row] * line_sum;
    }
    return sum;
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) lane: u32) {
    let groups = (CHANNELS + 3u) / 4u;
    let elements = HEIGHT * WIDTH * groups;
    let element = workgroup.x * LANES + lane;
    if (workgroup.y >= images.count || element >= elements) { return; }
    let image = images.first + workgroup.y;
    let base = image * elements;
    let pixel = element / groups;
    let group = element % groups;
    var value = pixels[base + element];
    if (mask[image * HEIGHT * WIDTH + pixel] != 0u) {
        let own = statistics[image];
        switch FILL {
            case ZERO: { value = vec4f(); }
            case MEAN: { value = vec4f(own.z); }
            case CORNER: { value = pixels[base + group]; }
            case BLUR: { value = blurred(base, pixel / WIDTH, pixel % WIDTH, group, groups); }
            default: { // UNIFORM
                let key =
                    random_key(current.seed_low, current.seed_high, current.step, FILL_STREAM);
                let draw =
                    uniform01x4(random_bits(key, current.position + workgroup.y, element, 0u));
                value = min(vec4f(own.x) + draw * (own.y - own.x), vec4f(own.y));
            }
        }
        value = select(vec4f(), value, real_channels(group, CHANNELS));
    }
    pixels[(image + current.count) * elements + element] = value;
}
