// The samples of every image in an attribution method: slot j of a chunk holds sample number
// `sample + j`, counted through the images from `position` on. The noise, step or mask of a sample
// depends only on the seed, the image's number and the sample's number, so that the cuts between
// chunks do not matter.

import kinds::stream::{NOISE, PATH, MASKS};
import package::common::step::Step;
import package::common::normal::normal4;
import package::common::random::{random_bits, random_key, uniform01};

struct Place {
    image: u32, // in the set
    sample: u32, // of the image
}

// The sample in slot `slot` of the chunk `current`.
fn place_of(current: Step, slot: u32) -> Place {
    let along = current.sample + slot;
    return Place(current.position + along / current.samples, along % current.samples);
}

// The slots [first, end) of the chunk with samples of the `nth` image that it touches; `begins` and
// `ends`: whether the first and the last sample are among them.
struct Slots {
    first: u32,
    end: u32,
    first_sample: u32,
    ends: bool,
}

fn slots_of(current: Step, nth: u32) -> Slots {
    let low = max(nth * current.samples, current.sample);
    let high = min((nth + 1u) * current.samples, current.sample + current.count);
    return Slots(
        low - current.sample,
        max(high, low) - current.sample,
        low - nth * current.samples,
        high == (nth + 1u) * current.samples,
    );
}

// The normal noise of group `element` of an image.
fn noise(current: Step, number: u32, sample: u32, element: u32) -> vec4f {
    return normal4(random_bits(random_key(current.seed_low, current.seed_high, number, NOISE),
        sample, element, 0u));
}

// The position on the path of a sample of GradientSHAP, in [0, 1), and the index of its baseline
// among `baselines`.
struct Start {
    along: f32,
    baseline: u32,
}

fn random_start(current: Step, number: u32, sample: u32, baselines: u32) -> Start {
    let bits =
        random_bits(random_key(current.seed_low, current.seed_high, number, PATH), sample, 0u, 0u);
    return Start(uniform01(bits.x), bits.y % baselines);
}

// Number of windows of `window` pixels that start every `stride` along an axis of `length`, up to
// its end.
fn windows_along(length: u32, window: u32, stride: u32) -> u32 {
    return (max(length, window) - window + stride - 1u) / stride + 1u;
}

// Number of these windows that cover pixel `at`.
fn windows_over(at: u32, length: u32, window: u32, stride: u32) -> u32 {
    let first = (max(at + 1u, window) - window + stride - 1u) / stride;
    return min(at / stride, windows_along(length, window, stride) - 1u) + 1u - first;
}

// RISE's mask number `sample` at pixel (y, x) of `height` × `width` (Petsiuk et al. 2018): a `grid`
// × `grid` lattice of 0 and 1, with 1 of probability `share`, upsampled bilinearly to (grid + 1)
// cells per axis and shifted at random by less than a cell.
fn rise_mask(
    current: Step, sample: u32, y: u32, x: u32, height: u32, width: u32, grid: u32, share: f32
) -> f32 {
    let key = random_key(current.seed_low, current.seed_high, 0u, MASKS);
    let cell = vec2u((height + grid - 1u) / grid, (width + grid - 1u) / grid);
    let shift = random_bits(key, sample, 0xffffffffu, 0u).xy % cell;
    let scale = f32(grid) / vec2f((grid + 1u) * cell);
    let place = max((vec2f(vec2u(y, x) + shift) + 0.5) * scale - 0.5, vec2f());
    let low = min(vec2u(place), vec2u(grid - 1u));
    let high = min(low + 1u, vec2u(grid - 1u));
    let part = place - vec2f(low);
    let top = mix(lattice(key, sample, low.x * grid + low.y, share),
        lattice(key, sample, low.x * grid + high.y, share), part.y);
    let bottom = mix(lattice(key, sample, high.x * grid + low.y, share),
        lattice(key, sample, high.x * grid + high.y, share), part.y);
    return mix(top, bottom, part.x);
}

fn lattice(key: vec4u, sample: u32, node: u32, share: f32) -> f32 {
    return select(0.0, 1.0, uniform01(random_bits(key, sample, node, 0u).x) < share);
}
