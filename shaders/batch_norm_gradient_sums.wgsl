// First stage of batch norm's backward pass: Σg and Σg·x̂ of every channel over each of PARTS parts
// of a batch's rows, with g = ∂L/∂y, [batch, part, group] × 2 vec4f. Batches, parts and rows as in
// `batch_norm_moments`. One invocation per part and group of 4 channels.

import package::common::batch_norm::{Coefficients, images_of_batch, rows_of_part};
import package::common::grid::linear_workgroup;
import package::common::images::Images;
import package::common::step::Step;
import package::common::storage::{Input, Output, load_input, load_output};

override PIXELS: u32;
override GROUPS: u32;
override PARTS: u32;
override BATCHES: u32;

@group(0) @binding(0) var<uniform> images: Images;
@group(0) @binding(1) var<uniform> current: Step;
@group(0) @binding(2) var<storage, read> input: array<Input>;
@group(0) @binding(3) var<storage, read> gradient: array<Output>;
@group(0) @binding(4) var<storage, read> coefficients: array<Coefficients>;
@group(0) @binding(5) var<storage, read_write> sums: array<vec4f>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) count: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let element = linear_workgroup(workgroup, count) * 64u + lane;
    if (element >= BATCHES * PARTS * GROUPS) { return; }
    let batch = element / (GROUPS * PARTS);
    let group = element % GROUPS;
    let own = images_of_batch(batch, BATCHES, images.count, current.count);
    let rows = (own.y - own.x) * PIXELS;
    let part = rows_of_part(element / GROUPS % PARTS, PARTS, rows);
    let base = (images.first + own.x) * PIXELS * GROUPS + group;
    let center = coefficients[batch * GROUPS + group].center;
    let normalize = coefficients[batch * GROUPS + group].normalize;
    var sum = vec4f();
    var product = vec4f();
    for (var row = part.x; row < part.y; row++) {
        let at = base + row * GROUPS;
        let g = load_output(gradient[at]);
        sum += g;
        product += g * ((load_input(input[at]) - center) * normalize);
    }
    sums[2u * element] = sum;
    sums[2u * element + 1u] = product;
}
