// What is kept of every image of the data set, CHANNELS floats for each of PIXELS pixels: the rows
// of a part's images are read from `cache`, or with the feature `store` written to it. Image i of
// the part is number `order(position + i)` of the data set, as in `gather_batch`. `rows` has the
// kernels' layout, channels padded to groups of 4, which is not kept. One invocation per float.

import package::common::grid::linear_workgroup;
import package::common::step::Step;
import package::common::random::{permute, random_key};
import kinds::stream::SHUFFLE as SHUFFLE_STREAM;

override PIXELS: u32;
override CHANNELS: u32;
override SHUFFLE: u32 = 0u;

@group(0) @binding(0) var<uniform> current: Step;
@if(!store) @group(0) @binding(1) var<storage, read> cache: array<f32>;
@if(store) @group(0) @binding(1) var<storage, read_write> cache: array<f32>;
@if(!store) @group(0) @binding(2) var<storage, read_write> rows: array<f32>;
@if(store) @group(0) @binding(2) var<storage, read> rows: array<f32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) count: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let element = linear_workgroup(workgroup, count) * 64u + lane;
    let values = PIXELS * CHANNELS;
    let image = element / values;
    if (image >= current.count) { return; }
    let place = current.position + image;
    var source = place;
    if (SHUFFLE != 0u) {
        source = permute(place, current.epoch_images,
            random_key(current.seed_low, current.seed_high, current.epoch, SHUFFLE_STREAM));
    }
    let at = source * values + element % values;
    let row = element / CHANNELS * ((CHANNELS + 3u) / 4u * 4u) + element % CHANNELS;
    @if(store) cache[at] = rows[row];
    @if(!store) rows[row] = cache[at];
}
