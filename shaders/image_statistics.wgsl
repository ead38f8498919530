// Smallest, largest and mean value of every image, over all its pixels and channels:
// statistics[image] = (min, max, mean, 0).
//
// One workgroup per image; every invocation reads each WORKGROUP-th element, then `workgroup_max`
// and `workgroup_sum` combine them.

import constants::WORKGROUP;
import package::common::images::Images;
import package::common::channels::real_channels;
import package::common::sums::{workgroup_max, workgroup_sum};

override PIXELS: u32;
override CHANNELS: u32;

@group(0) @binding(0) var<uniform> images: Images;
@group(0) @binding(1) var<storage, read> pixels: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> statistics: array<vec4f>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) lane: u32) {
    if (workgroup.x >= images.count) { return; }
    let image = images.first + workgroup.x;
    let groups = (CHANNELS + 3u) / 4u;
    let base = image * PIXELS * groups;
    let start = pixels[base].x;
    var lowest = vec4f(start);
    var highest = vec4f(start);
    var sum = vec4f();
    for (var element = lane; element < PIXELS * groups; element += WORKGROUP) {
        let value = pixels[base + element];
        let real = real_channels(element % groups, CHANNELS);
        lowest = select(lowest, min(lowest, value), real);
        highest = select(highest, max(highest, value), real);
        sum += value; // the padding is 0
    }
    let low = min(min(lowest.x, lowest.y), min(lowest.z, lowest.w));
    let high = max(max(highest.x, highest.y), max(highest.z, highest.w));
    let ends = workgroup_max(lane, vec4f(-low, high, 0.0, 0.0));
    let total = workgroup_sum(lane, vec4f((sum.x + sum.y) + (sum.z + sum.w), 0.0, 0.0, 0.0)).x;
    if (lane == 0u) {
        statistics[image] = vec4f(-ends.x, ends.y, total / f32(PIXELS * CHANNELS), 0.0);
    }
}
