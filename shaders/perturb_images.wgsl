// Noisy copies of every image, and the noise: noisy[image] = x + SIGN·noise, where noise[image,
// channel, pixel] is independent U(−SCALE, SCALE), or N(0, SCALE²) with NORMAL (Box–Muller). Keyed
// by seed, the sample's number and the image's position in the data. For max-sensitivity and
// infidelity (Yeh et al. 2019).

import constants::LANES;
import kinds::stream::PERTURB;
import package::common::images::Images;
import package::common::step::Step;
import package::common::round::Round;
import package::common::channels::real_channels;
import package::common::normal::normal4;
import package::common::random::{random_bits, random_key, uniform01x4};

override PIXELS: u32;
override CHANNELS: u32;
override SCALE: f32;
override SIGN: f32 = 1.0;
override NORMAL: u32 = 0u;

@group(0) @binding(0) var<uniform> images: Images;
@group(0) @binding(1) var<uniform> current: Step;
@group(0) @binding(2) var<uniform> current_round: Round;
@group(0) @binding(3) var<storage, read> pixels: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> noisy: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> noise: array<f32>;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) lane: u32) {
    let groups = (CHANNELS + 3u) / 4u;
    let element = workgroup.x * LANES + lane;
    if (workgroup.y >= images.count || element >= PIXELS * groups) { return; }
    let image = images.first + workgroup.y;
    let place = current.position + workgroup.y;
    let group = element % groups;
    let key = random_key(current.seed_low, current.seed_high, current_round.sample, PERTURB);
    let bits = random_bits(key, place, element, 0u);
    var draw = uniform01x4(bits) * 2.0 - 1.0;
    if (NORMAL != 0u) { draw = normal4(bits); }
    draw = select(vec4f(), draw * SCALE, real_channels(group, CHANNELS));
    let at = image * PIXELS * groups + element;
    noisy[at] = pixels[at] + SIGN * draw;
    for (var channel = group * 4u; channel < min(group * 4u + 4u, CHANNELS); channel++) {
        noise[(image * CHANNELS + channel) * PIXELS + element / groups] = draw[channel % 4u];
    }
}
