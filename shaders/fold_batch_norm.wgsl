// Scales a layer's weights and bias by the running statistics of the batch norm behind it, before
// they are quantized: s·W and s·b with s = γ/σ, per output channel (paper eqs. (4), (5):
// w_corrected = c·γW/σ_B with c = σ_B/σ; Krishnamoorthi 2018, section 3.2.2). Both arrays are flat,
// in PyTorch's order, with the same indices. One invocation per weight.

import package::common::grid::linear_workgroup;

override OUT_CHANNELS: u32;
override IN_ELEMENTS: u32;
override WEIGHT_INDEX: u32;
@if(bias) override BIAS_INDEX: u32;

@group(0) @binding(0) var<storage, read> parameters: array<f32>;
@group(0) @binding(1) var<storage, read> factors: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> folded: array<f32>;

fn factor(channel: u32) -> f32 {
    return factors[2u * (channel / 4u)][channel % 4u];
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) count: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let element = linear_workgroup(workgroup, count) * 64u + lane;
    @if(bias) {
        if (element < OUT_CHANNELS) {
            folded[BIAS_INDEX + element] = factor(element) * parameters[BIAS_INDEX + element];
        }
    }
    if (element >= OUT_CHANNELS * IN_ELEMENTS) { return; }
    folded[WEIGHT_INDEX + element] =
        factor(element / IN_ELEMENTS) * parameters[WEIGHT_INDEX + element];
}
