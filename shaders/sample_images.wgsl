// The images of a chunk of samples of an attribution method. Sample s of image x of a set is
//   CLEAN: x itself;
//   NOISY: x + σ·n, n normal, σ = NOISE · (max x − min x) (SmoothGrad, Smilkov et al. 2017);
//   ON_PATH: b + α_s·(x − b), a point on the path from a baseline b (Integrated Gradients,
//     Sundararajan et al. 2017);
//   ON_RANDOM_PATH: b + u·(x + σ·n − b), u uniform, b drawn from the baselines (GradientSHAP,
//     Lundberg and Lee 2017);
//   COVERED: x with window s − 1 replaced by b, x itself for s = 0 (occlusion, Zeiler and Fergus
//     2014);
//   MASKED: b + M_s·(x − b), M_s a random mask (RISE, Petsiuk et al. 2018).
// Images are [image, row, column, channel / 4] vec4f. `table` holds statistics of the images for
// NOISY and ON_RANDOM_PATH, (α_s, weight, 0, 0) for ON_PATH. `classes` are copied for each sample.
// With TWINS, baselines are written behind the chunk's images, in the same order.

import constants::LANES;
import kinds::sampling::{NOISY, ON_PATH, ON_RANDOM_PATH, COVERED, MASKED};
import package::common::step::Step;
import package::common::channels::real_channels;
import package::common::samples::{place_of, noise, random_start, rise_mask, windows_along};

override HEIGHT: u32;
override WIDTH: u32;
override CHANNELS: u32;
override KIND: u32; // kinds::sampling
override TWINS: u32 = 0u;
override NOISE: f32 = 0.0;
override WINDOW: u32 = 1u;
override STRIDE: u32 = 1u;
override GRID: u32 = 1u;
override SHARE: f32 = 0.5;

@group(0) @binding(0) var<uniform> current: Step;
@group(0) @binding(1) var<storage, read> pixels: array<vec4f>;
@group(0) @binding(2) var<storage, read> classes: array<u32>;
@group(0) @binding(3) var<storage, read> numbers: array<u32>;
@group(0) @binding(4) var<storage, read> baselines: array<vec4f>;
@group(0) @binding(5) var<storage, read> table: array<vec4f>;
@group(0) @binding(6) var<storage, read_write> samples: array<vec4f>;
@group(0) @binding(7) var<storage, read_write> sample_classes: array<u32>;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) lane: u32) {
    let groups = (CHANNELS + 3u) / 4u;
    let elements = HEIGHT * WIDTH * groups;
    let element = workgroup.x * LANES + lane;
    let slot = workgroup.y;
    if (slot >= current.count || element >= elements) { return; }
    let place = place_of(current, slot);
    if (element == 0u) { sample_classes[slot] = classes[place.image]; }
    let count = arrayLength(&baselines) / elements;
    let number = numbers[place.image];
    let pixel = element / groups;
    let group = element % groups;
    let x = pixels[place.image * elements + element];
    let b = baselines[place.image % count * elements + element];
    var value = x;
    switch KIND {
        case NOISY: {
            let own = table[place.image];
            value = x + NOISE * (own.y - own.x) * noise(current, number, place.sample, element);
        }
        case ON_PATH: { value = b + table[place.sample].x * (x - b); }
        case ON_RANDOM_PATH: {
            let own = table[place.image];
            let start = random_start(current, number, place.sample, count);
            let origin = baselines[start.baseline * elements + element];
            let noisy = x + NOISE * (own.y - own.x) * noise(current, number, place.sample, element);
            value = origin + start.along * (noisy - origin);
        }
        case COVERED: {
            let along = windows_along(WIDTH, WINDOW, STRIDE);
            let window = place.sample - 1u; // wraps to a huge number for the image itself
            let row = window / along * STRIDE;
            let column = window % along * STRIDE;
            let y = pixel / WIDTH;
            let column_at = pixel % WIDTH;
            let inside =
                y >= row && y < row + WINDOW && column_at >= column && column_at < column + WINDOW;
            value = select(x, b, place.sample > 0u && inside);
        }
        case MASKED: {
            value = b + rise_mask(current, place.sample, pixel / WIDTH, pixel % WIDTH, HEIGHT,
                WIDTH, GRID, SHARE) * (x - b);
        }
        default: {} // CLEAN
    }
    let real = real_channels(group, CHANNELS);
    samples[slot * elements + element] = select(vec4f(), value, real);
    if (TWINS != 0u) {
        samples[(slot + current.count) * elements + element] = select(vec4f(), b, real);
    }
}
