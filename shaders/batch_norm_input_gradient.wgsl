// Last stage of batch norm's backward pass, in place: ∂L/∂z = γ·normalize·(g − Σg/N − x̂·Σg·x̂/N)
// with the sums of `batch_norm_parameter_gradient`; with running statistics (feature
// `batch_statistics` off) the sums are left out, ∂L/∂z = scale·g. Layouts and batches as in
// `batch_norm`. One invocation per pixel and group of 4 channels.

import package::common::batch_norm::Coefficients;
import package::common::grid::linear_workgroup;
import package::common::images::Images;
import package::common::step::Step;
import package::common::storage::{Input, Output, load_input, load_output, store_output};

override PIXELS: u32;
override GROUPS: u32;
@if(batch_statistics) override BATCHES: u32;

@group(0) @binding(0) var<uniform> images: Images;
@group(0) @binding(1) var<storage, read> coefficients: array<Coefficients>;
@group(0) @binding(2) var<storage, read_write> gradient: array<Output>;
@if(batch_statistics) @group(0) @binding(3) var<storage, read> input: array<Input>;
@if(batch_statistics) @group(0) @binding(4) var<storage, read> means: array<vec4f>;
@if(batch_statistics) @group(0) @binding(5) var<uniform> current: Step;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) count: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let element = linear_workgroup(workgroup, count) * 64u + lane;
    let size = PIXELS * GROUPS;
    if (element >= images.count * size) { return; }
    let at = images.first * size + element;
    var index = element % GROUPS;
    @if(batch_statistics) {
        index += select(0u, GROUPS, BATCHES > 1u && element / size >= current.count);
    }
    var g = load_output(gradient[at]);
    @if(batch_statistics) {
        let normalized =
            (load_input(input[at]) - coefficients[index].center) * coefficients[index].normalize;
        g -= means[2u * index] + normalized * means[2u * index + 1u];
    }
    gradient[at] = store_output(coefficients[index].scale * g);
}
