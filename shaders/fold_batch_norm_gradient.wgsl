// Backward pass of `fold_batch_norm`, in place: `gradients` holds ∂L/∂(s·W) and ∂L/∂(s·b) of the
// whole batch. It gets ∂L/∂W = s·∂L/∂(s·W), likewise for b, and ∂L/∂γ += (Σ ∂L/∂(s·W)·W +
// ∂L/∂(s·b)·b)/σ; the running statistics count as constants. One workgroup per output channel.

import constants::WORKGROUP;
import package::common::sums::ordered_sum;

override IN_ELEMENTS: u32;
override WEIGHT_INDEX: u32;
@if(bias) override BIAS_INDEX: u32;
override SCALE_INDEX: u32;

@group(0) @binding(0) var<storage, read> parameters: array<f32>;
@group(0) @binding(1) var<storage, read> factors: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> gradients: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) lane: u32) {
    let channel = workgroup.x;
    let factor = factors[2u * (channel / 4u)][channel % 4u];
    let base = WEIGHT_INDEX + channel * IN_ELEMENTS;
    var sum = 0.0;
    for (var e = lane; e < IN_ELEMENTS; e += WORKGROUP) {
        sum += gradients[base + e] * parameters[base + e];
        gradients[base + e] *= factor;
    }
    @if(bias) let bias = BIAS_INDEX + channel;
    var first = 0.0;
    @if(bias) {
        if (lane == 0u) { first = gradients[bias] * parameters[bias]; }
    }
    let total = ordered_sum(lane, sum, first);
    if (lane == 0u) {
        @if(bias) { gradients[bias] *= factor; }
        gradients[SCALE_INDEX + channel] += total * factors[2u * (channel / 4u) + 1u][channel % 4u];
    }
}
