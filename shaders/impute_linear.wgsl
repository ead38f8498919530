// Noisy linear imputation (ROAD: Rong et al. 2022) of masked pixels, in the masked half of a batch.
// Every masked pixel becomes the weighted mean of its eight neighbours (1/6 for edge neighbours,
// 1/12 for diagonal ones; neighbours outside the image do not count), for all pixels at once, plus
// N(0, NOISE²).
//
// This is a symmetric, positive definite system. Conjugate gradients solve it with one workgroup
// per image and group of channels, for the four channels in parallel. Row i of the system is Σ_j
// w_ij (v_i − v_j) = 0 over all neighbours j, so that the residual of an image, and the matrix
// times a search direction that is 0 at known pixels, are the same stencil. The masked pixels hold
// the initial guess (the image's mean, which stays if everything is masked). `workspace` is [image,
// 3, element]: residual, direction, matrix · direction.

import constants::WORKGROUP;
import kinds::stream::FILL;
import package::common::images::Images;
import package::common::step::Step;
import package::common::channels::real_channels;
import package::common::normal::normal4;
import package::common::random::{random_bits, random_key};
import package::common::sums::workgroup_sum;

override HEIGHT: u32;
override WIDTH: u32;
override CHANNELS: u32;
override NOISE: f32;
override ITERATIONS: u32;

@group(0) @binding(0) var<uniform> images: Images;
@group(0) @binding(1) var<uniform> current: Step;
@group(0) @binding(2) var<storage, read> mask: array<u32>;
@group(0) @binding(3) var<storage, read_write> pixels: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> workspace: array<vec4f>;

fn value_at(at: u32, of_pixels: bool) -> vec4f {
    if (of_pixels) { return pixels[at]; }
    return workspace[at];
}

// Σ w·(v_j − v_i) over the neighbours j of pixel i in the image (`of_pixels`) or the vector of the
// workspace that starts at `base`.
fn stencil(base: u32, pixel: u32, group: u32, of_pixels: bool) -> vec4f {
    let groups = (CHANNELS + 3u) / 4u;
    let y = pixel / WIDTH;
    let x = pixel % WIDTH;
    let own = value_at(base + pixel * groups + group, of_pixels);
    var sum = vec4f();
    for (var dy = 0u; dy < 3u; dy++) {
        for (var dx = 0u; dx < 3u; dx++) {
            // Unsigned: coordinates before the first row or column wrap to large numbers.
            let row = y + dy - 1u;
            let column = x + dx - 1u;
            if ((dy == 1u && dx == 1u) || row >= HEIGHT || column >= WIDTH) { continue; }
            let other = value_at(base + (row * WIDTH + column) * groups + group, of_pixels);
            sum += select(1.0 / 12.0, 1.0 / 6.0, dy == 1u || dx == 1u) * (other - own);
        }
    }
    return sum;
}

fn ratio(numerator: vec4f, denominator: vec4f) -> vec4f {
    return select(numerator / denominator, vec4f(), denominator <= vec4f());
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) lane: u32) {
    if (workgroup.x >= images.count) { return; }
    let image = images.first + workgroup.x;
    let group = workgroup.y;
    let groups = (CHANNELS + 3u) / 4u;
    let count = HEIGHT * WIDTH;
    let elements = count * groups;
    let solution = (image + images.count) * elements;
    let residual = image * 3u * elements;
    let direction = residual + elements;
    let product = direction + elements;

    var squares = vec4f();
    for (var pixel = lane; pixel < count; pixel += WORKGROUP) {
        var value = vec4f();
        if (mask[image * count + pixel] != 0u) { value = stencil(solution, pixel, group, true); }
        workspace[residual + pixel * groups + group] = value;
        workspace[direction + pixel * groups + group] = value;
        squares += value * value;
    }
    squares = workgroup_sum(lane, squares);
    let enough = squares * 1e-14;
    for (var iteration = 0u; iteration < ITERATIONS; iteration++) {
        if (all(squares <= enough)) { break; }
        storageBarrier();
        var curvature = vec4f();
        for (var pixel = lane; pixel < count; pixel += WORKGROUP) {
            if (mask[image * count + pixel] == 0u) { continue; }
            let at = pixel * groups + group;
            let value = -stencil(direction, pixel, group, false);
            workspace[product + at] = value;
            curvature += value * workspace[direction + at];
        }
        curvature = workgroup_sum(lane, curvature);
        let step = ratio(squares, curvature);
        var next = vec4f();
        for (var pixel = lane; pixel < count; pixel += WORKGROUP) {
            if (mask[image * count + pixel] == 0u) { continue; }
            let at = pixel * groups + group;
            pixels[solution + at] += step * workspace[direction + at];
            let value = workspace[residual + at] - step * workspace[product + at];
            workspace[residual + at] = value;
            next += value * value;
        }
        next = workgroup_sum(lane, next);
        let turn = ratio(next, squares);
        for (var pixel = lane; pixel < count; pixel += WORKGROUP) {
            if (mask[image * count + pixel] == 0u) { continue; }
            let at = pixel * groups + group;
            workspace[direction + at] = workspace[residual + at] + turn * workspace[direction + at];
        }
        squares = next;
    }
    let key = random_key(current.seed_low, current.seed_high, current.step, FILL);
    let place = current.position + workgroup.x;
    for (var pixel = lane; pixel < count; pixel += WORKGROUP) {
        if (mask[image * count + pixel] == 0u) { continue; }
        let at = pixel * groups + group;
        let noise = normal4(random_bits(key, place, at, 0u));
        pixels[solution + at] += select(vec4f(), NOISE * noise, real_channels(group, CHANNELS));
    }
}
