// Adds the scores f_s of a chunk's samples to the attributions of their images' pixels, sample
// after sample in order:
//   COVERED (occlusion): mean of f_0 − f_s over the windows s that cover the pixel (Captum's rule;
//     0 if no window does);
//   MASKED (RISE): Σ f_s·M_s / (n·SHARE) over the n masks M_s.
// Samples are those of `sample_images`, and scores those of `class_score`. Every channel of a pixel
// gets the same value. One invocation per pixel; `workgroup.y` counts the images that the chunk
// touches.

import constants::LANES;
import kinds::sampling::MASKED;
import package::common::step::Step;
import package::common::channels::real_channels;
import package::common::samples::{slots_of, rise_mask, windows_along, windows_over};

override HEIGHT: u32;
override WIDTH: u32;
override CHANNELS: u32;
override KIND: u32; // kinds::sampling
override WINDOW: u32 = 1u;
override STRIDE: u32 = 1u;
override GRID: u32 = 1u;
override SHARE: f32 = 0.5;

@group(0) @binding(0) var<uniform> current: Step;
@group(0) @binding(1) var<storage, read> scores: array<f32>;
@group(0) @binding(2) var<storage, read> clean: array<f32>;
@group(0) @binding(3) var<storage, read_write> attributions: array<vec4f>;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) lane: u32) {
    let pixel = workgroup.x * LANES + lane;
    let slots = slots_of(current, workgroup.y);
    if (pixel >= HEIGHT * WIDTH || slots.first >= slots.end) { return; }
    let image = current.position + workgroup.y;
    let groups = (CHANNELS + 3u) / 4u;
    let at = (image * HEIGHT * WIDTH + pixel) * groups;
    let y = pixel / WIDTH;
    let x = pixel % WIDTH;
    var sum = attributions[at].x;
    if (slots.first_sample == 0u) { sum = 0.0; }
    for (var slot = slots.first; slot < slots.end; slot++) {
        let sample = slots.first_sample + slot - slots.first;
        if (KIND == MASKED) {
            sum += scores[slot] * rise_mask(current, sample, y, x, HEIGHT, WIDTH, GRID, SHARE);
        } else if (sample > 0u) {
            let along = windows_along(WIDTH, WINDOW, STRIDE);
            let row = (sample - 1u) / along * STRIDE;
            let column = (sample - 1u) % along * STRIDE;
            if (y >= row && y < row + WINDOW && x >= column && x < column + WINDOW) {
                sum += clean[image] - scores[slot];
            }
        }
    }
    if (slots.ends) {
        if (KIND == MASKED) {
            sum /= f32(current.samples) * SHARE;
        } else {
            sum /= f32(max(1u, windows_over(y, HEIGHT, WINDOW, STRIDE)
                * windows_over(x, WIDTH, WINDOW, STRIDE)));
        }
    }
    for (var group = 0u; group < groups; group++) {
        attributions[at + group] = select(vec4f(), vec4f(sum), real_channels(group, CHANNELS));
    }
}
