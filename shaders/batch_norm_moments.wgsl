// First stage of the statistics of a batch: mean and Σ(z − mean)² of every channel over each of
// PARTS parts of the batch's rows (its pixels of all images), [batch, part, group] × 2 vec4f.
// Welford's recurrence sums only squares of deviations from the mean. A range of images holds
// BATCHES batches: the clean images, and behind them the masked ones. Parts without rows get zeros.
// One invocation per part and group of 4 channels.

import package::common::batch_norm::{images_of_batch, rows_of_part};
import package::common::grid::linear_workgroup;
import package::common::images::Images;
import package::common::step::Step;
import package::common::storage::{Input, load_input};

override PIXELS: u32;
override GROUPS: u32;
override PARTS: u32;
override BATCHES: u32;

@group(0) @binding(0) var<uniform> images: Images;
@group(0) @binding(1) var<uniform> current: Step;
@group(0) @binding(2) var<storage, read> input: array<Input>;
@group(0) @binding(3) var<storage, read_write> moments: array<vec4f>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) count: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let element = linear_workgroup(workgroup, count) * 64u + lane;
    if (element >= BATCHES * PARTS * GROUPS) { return; }
    let batch = element / (GROUPS * PARTS);
    let own = images_of_batch(batch, BATCHES, images.count, current.count);
    let rows = (own.y - own.x) * PIXELS;
    let part = rows_of_part(element / GROUPS % PARTS, PARTS, rows);
    let base = (images.first + own.x) * PIXELS * GROUPS + element % GROUPS;
    var mean = vec4f();
    var squares = vec4f();
    for (var row = part.x; row < part.y; row++) {
        let z = load_input(input[base + row * GROUPS]);
        let difference = z - mean;
        mean += difference / f32(row - part.x + 1u);
        squares += difference * (z - mean);
    }
    moments[2u * element] = mean;
    moments[2u * element + 1u] = squares;
}
