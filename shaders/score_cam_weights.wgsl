// Score-CAM's channel weights (Wang et al. 2020, algorithm 1): the softmax over an image's channels
// of the scores of its samples. The score of the baseline, which the paper subtracts, is the same
// for all channels and cancels. `scores` belong to the chunk; `kept` collects them for the set,
// [image, channel (padded)], because an image can go on in the next chunk. `weights` belong to the
// images that the chunk touches; they are final where it has the image's last sample. One
// invocation per image.

import constants::LANES;
import package::common::step::Step;
import package::common::channels::real_channels;
import package::common::samples::slots_of;

override LAYER_GROUPS: u32;
override IMAGES: u32;

@group(0) @binding(0) var<uniform> current: Step;
@group(0) @binding(1) var<storage, read> scores: array<f32>;
@group(0) @binding(2) var<storage, read_write> kept: array<f32>;
@group(0) @binding(3) var<storage, read_write> weights: array<vec4f>;

@compute @workgroup_size(LANES)
fn main(@builtin(global_invocation_id) invocation: vec3u) {
    let image = invocation.x;
    if (image >= IMAGES) { return; }
    let slots = slots_of(current, image);
    if (slots.first >= slots.end) { return; }
    let base = (current.position + image) * LAYER_GROUPS * 4u;
    for (var slot = slots.first; slot < slots.end; slot++) {
        kept[base + slots.first_sample + slot - slots.first] = scores[slot];
    }
    if (!slots.ends) { return; }
    var highest = kept[base];
    for (var channel = 1u; channel < current.samples; channel++) {
        highest = max(highest, kept[base + channel]);
    }
    var sum = 0.0;
    for (var channel = 0u; channel < current.samples; channel++) {
        sum += exp(kept[base + channel] - highest);
    }
    for (var group = 0u; group < LAYER_GROUPS; group++) {
        let at = base + 4u * group;
        let own = vec4f(kept[at], kept[at + 1u], kept[at + 2u], kept[at + 3u]);
        weights[image * LAYER_GROUPS + group] =
            select(vec4f(), exp(own - highest) / sum, real_channels(group, current.samples));
    }
}
