// Random attribution, the baseline that every method has to beat: U(−1, 1) for every pixel and
// channel, keyed by seed and the image's number in the data set (`indices`, one per image), so that
// a map does not depend on which other images are explained.

import constants::LANES;
import kinds::stream::EXPLAIN;
import package::common::images::Images;
import package::common::step::Step;
import package::common::channels::real_channels;
import package::common::random::{random_bits, random_key, uniform01x4};

override PIXELS: u32;
override CHANNELS: u32;

@group(0) @binding(0) var<uniform> images: Images;
@group(0) @binding(1) var<uniform> current: Step;
@group(0) @binding(2) var<storage, read> indices: array<u32>;
@group(0) @binding(3) var<storage, read_write> attribution: array<vec4f>;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) lane: u32) {
    let groups = (CHANNELS + 3u) / 4u;
    let element = workgroup.x * LANES + lane;
    if (workgroup.y >= images.count || element >= PIXELS * groups) { return; }
    let image = images.first + workgroup.y;
    let key = random_key(current.seed_low, current.seed_high, 0u, EXPLAIN);
    let value = uniform01x4(random_bits(key, indices[image], element, 0u)) * 2.0 - 1.0;
    attribution[image * PIXELS * groups + element] =
        select(vec4f(), value, real_channels(element % groups, CHANNELS));
}
