// Fake-quantizes a layer's weights (common/quantizer.wgsl) and lays them out for the kernels, once
// a step:
//   forward [tap, in channel (padded), out channel (padded)],
//   bias [out channel (padded)], where the layer has one,
//   with `backward` a second copy with strides BACKWARD_TAP and BACKWARD_OUT, in channels
//     contiguous.
// Padding was zero when the buffers were made and stays so. The input channels of a grouped
// convolution are those of one group, without padding: IN_PADDED is IN_CHANNELS. Parameters are in
// PyTorch's order: weight [out, in, tap], taps row by row. A fully connected layer is a kernel as
// large as its input. One invocation per weight.

import package::common::grid::linear_workgroup;
import package::common::quantizer::quantize_weight;

override OUT_CHANNELS: u32;
override IN_CHANNELS: u32;
override TAPS: u32;
override OUT_PADDED: u32;
override IN_PADDED: u32;
@if(backward) override BACKWARD_TAP: u32;
@if(backward) override BACKWARD_OUT: u32;
override WEIGHT_INDEX: u32;
@if(bias) override BIAS_INDEX: u32;
override QUANTIZER: u32;
override LEVELS: f32;

@group(0) @binding(0) var<storage, read> parameters: array<f32>;
@group(0) @binding(1) var<storage, read> quantizer: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> forward_weight: array<f32>;
@if(bias) @group(0) @binding(3) var<storage, read_write> bias: array<f32>;
@if(backward) @group(0) @binding(4) var<storage, read_write> backward_weight: array<f32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) count: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let element = linear_workgroup(workgroup, count) * 64u + lane;
    @if(bias) {
        if (element < OUT_CHANNELS) { bias[element] = parameters[BIAS_INDEX + element]; }
    }
    if (element >= OUT_CHANNELS * IN_CHANNELS * TAPS) { return; }
    let out_channel = element / (IN_CHANNELS * TAPS);
    let in_channel = (element / TAPS) % IN_CHANNELS;
    let tap = element % TAPS;
    let w = quantize_weight(QUANTIZER, parameters[WEIGHT_INDEX + element], quantizer[out_channel],
        LEVELS);
    forward_weight[(tap * IN_PADDED + in_channel) * OUT_PADDED + out_channel] = w;
    @if(backward) {
        backward_weight[tap * BACKWARD_TAP + out_channel * BACKWARD_OUT + in_channel] = w;
    }
}
