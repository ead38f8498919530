// Batch norm with activation, torch.nn.BatchNorm2d followed by ReLU or PACT: output = activate((z −
// center)·scale + shift) with the coefficients of `batch_norm_inference`, [group], or in training
// (feature `batch_statistics`) those of `batch_norm_update`, [batch, group], for BATCHES batches as
// there. One invocation per pixel and group of 4 channels.

import package::common::activation::activate;
import package::common::batch_norm::Coefficients;
import package::common::grid::linear_workgroup;
import package::common::images::Images;
import package::common::step::Step;
import package::common::storage::{Input, Output, load_input, store_output};

override PIXELS: u32;
override GROUPS: u32;
@if(batch_statistics) override BATCHES: u32;
override ACTIVATION: u32;
@if(pact) override LEVELS: f32;
@if(pact) override ALPHA_INDEX: u32;
@if(pact) override OFFSET_INDEX: u32;

@group(0) @binding(0) var<uniform> images: Images;
@group(0) @binding(1) var<storage, read> input: array<Input>;
@group(0) @binding(2) var<storage, read> coefficients: array<Coefficients>;
@group(0) @binding(3) var<storage, read_write> output: array<Output>;
@if(pact) @group(0) @binding(4) var<storage, read_write> pre_activation: array<Output>;
@if(pact) @group(0) @binding(5) var<storage, read> parameters: array<f32>;
@if(batch_statistics && pact) @group(0) @binding(6) var<uniform> current: Step;
@if(batch_statistics && !pact) @group(0) @binding(4) var<uniform> current: Step;

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
    var batch = 0u;
    @if(batch_statistics) {
        batch = select(0u, 1u, BATCHES > 1u && element / size >= current.count);
    }
    let c = coefficients[batch * GROUPS + element % GROUPS];
    let y = (load_input(input[at]) - c.center) * c.scale + c.shift;
    @if(pact) {
        pre_activation[at] = store_output(y);
        let learned = vec2f(parameters[ALPHA_INDEX], parameters[OFFSET_INDEX]);
        output[at] = store_output(activate(ACTIVATION, y, learned, LEVELS));
    }
    @if(!pact) { output[at] = store_output(activate(ACTIVATION, y, vec2f(), 1.0)); }
}
