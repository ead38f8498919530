// Product of a batch of vectors with a matrix, with bias and activation: the fully connected layer
// (torch.nn.Linear followed by ReLU or PACT) forward:
//   x[n, o] = bias[o] + Σ_i input[n, i] · weight[i, o],  output = activate(x);
// in integer inference `requantize` replaces bias and activation. With `transposed`, without bias
// and activation, it is the layer's input gradient: Σ_i input[n, i] · weight[o, i], with the
// output's gradient as the input. `rectified` multiplies by the derivative of the ReLU in front:
// the output holds the ReLU's values before, and their gradient afterwards.
//
// Vectors are [image, feature / 4] vec4f, weights [in feature (padded), out feature / 4] vec4f in
// the layout of `prepare_weights`. One invocation keeps IMAGES × GROUPS groups of 4 outputs in
// registers; invocations of a workgroup differ only in their outputs. All need the same vectors;
// with `subgroups` of LANES invocations, each loads its share.

import constants::{IMAGES, GROUPS, LANES};
import kinds::activation::RELU;
import package::common::images::Images;
import package::common::activation::{activate, derivative};
import package::common::requantize::requantize;
import package::common::storage::{Input, Output, load_input, load_state, store_output};

override IN_GROUPS: u32;
override OUT_GROUPS: u32;
override ACTIVATION: u32;
@if(pact) override LEVELS: f32;
@if(pact) override ALPHA_INDEX: u32;
@if(pact) override OFFSET_INDEX: u32;
@if(requantized) override LOWEST: f32;
@if(requantized) override HIGHEST: f32;

@group(0) @binding(0) var<uniform> images: Images;
@group(0) @binding(1) var<storage, read> input: array<Input>;
@group(0) @binding(2) var<storage, read> weight: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> output: array<Output>;
@if(bias) @group(0) @binding(4) var<storage, read> bias: array<vec4f>;
@if(pact) @group(0) @binding(5) var<storage, read_write> pre_activation: array<Output>;
@if(pact) @group(0) @binding(6) var<storage, read> parameters: array<f32>;
@if(requantized) @group(0) @binding(4) var<storage, read> multiplier: array<vec4f>;
@if(requantized) @group(0) @binding(5) var<storage, read> offset: array<vec4f>;

const SHARES = (IMAGES + LANES - 1u) / LANES;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) lane: u32) {
    let first = workgroup.y * IMAGES;
    if (first >= images.count) { return; }
    let first_group = workgroup.x * LANES * GROUPS + lane;

    var sum: array<vec4f, IMAGES * GROUPS>;
    @if(bias) {
        @unroll for (var g = 0u; g < GROUPS; g++) {
            let b = bias[min(first_group + g * LANES, OUT_GROUPS - 1u)];
            @unroll for (var n = 0u; n < IMAGES; n++) { sum[n * GROUPS + g] = b; }
        }
    }
    for (var i = 0u; i < IN_GROUPS; i++) {
        var vector: array<vec4f, IMAGES>;
        @if(subgroups) var shares: array<vec4f, SHARES>;
        @if(subgroups) {
            @unroll for (var l = 0u; l < SHARES; l++) {
                let n = min(first + l * LANES + lane, images.count - 1u);
                shares[l] = load_input(input[(images.first + n) * IN_GROUPS + i]);
            }
        }
        @unroll for (var n = 0u; n < IMAGES; n++) {
            @if(subgroups) { vector[n] = subgroupBroadcast(shares[n / LANES], n % LANES); }
            @if(!subgroups) {
                vector[n] = load_input(input[(images.first + min(first + n, images.count - 1u))
                    * IN_GROUPS + i]);
            }
        }
        @if(!transposed) {
            @unroll for (var j = 0u; j < 4u; j++) {
                @unroll for (var g = 0u; g < GROUPS; g++) {
                    let w = weight[(i * 4u + j) * OUT_GROUPS
                        + min(first_group + g * LANES, OUT_GROUPS - 1u)];
                    @unroll for (var n = 0u; n < IMAGES; n++) {
                        sum[n * GROUPS + g] = fma(vec4f(vector[n][j]), w, sum[n * GROUPS + g]);
                    }
                }
            }
        }
        @if(transposed) {
            @unroll for (var g = 0u; g < GROUPS; g++) {
                var rows: array<vec4f, 4>;
                let row = min(first_group + g * LANES, OUT_GROUPS - 1u) * 4u;
                @unroll for (var r = 0u; r < 4u; r++) {
                    rows[r] = weight[(row + r) * IN_GROUPS + i];
                }
                @unroll for (var j = 0u; j < 4u; j++) {
                    let w = vec4f(rows[0][j], rows[1][j], rows[2][j], rows[3][j]);
                    @unroll for (var n = 0u; n < IMAGES; n++) {
                        sum[n * GROUPS + g] = fma(vec4f(vector[n][j]), w, sum[n * GROUPS + g]);
                    }
                }
            }
        }
    }
    @if(pact) let learned = vec2f(parameters[ALPHA_INDEX], parameters[OFFSET_INDEX]);
    @unroll for (var n = 0u; n < IMAGES; n++) {
        if (first + n < images.count) {
            let at = (images.first + first + n) * OUT_GROUPS + first_group;
            @unroll for (var g = 0u; g < GROUPS; g++) {
                if (first_group + g * LANES < OUT_GROUPS) {
                    let x = sum[n * GROUPS + g];
                    @if(pact) {
                        pre_activation[at + g * LANES] = store_output(x);
                        output[at + g * LANES] =
                            store_output(activate(ACTIVATION, x, learned, LEVELS));
                    }
                    @if(rectified) {
                        let slope =
                            derivative(RELU, load_state(output[at + g * LANES]), vec2f(), 1.0);
                        output[at + g * LANES] = store_output(slope * x);
                    }
                    @if(!pact && !requantized && !rectified) {
                        output[at + g * LANES] =
                            store_output(activate(ACTIVATION, x, vec2f(), 1.0));
                    }
                    @if(requantized) {
                        let group = first_group + g * LANES;
                        output[at + g * LANES] = store_output(requantize(x, multiplier[group],
                            offset[group], LOWEST, HIGHEST));
                    }
                }
            }
        }
    }
}
