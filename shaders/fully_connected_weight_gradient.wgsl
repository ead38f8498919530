// Gradient of a fully connected layer with respect to its weights and bias, first of two stages:
//   weight_gradient[i, o] = Σ_n input[n, i] · output_gradient[n, o],
//   bias_gradient[o] = Σ_n output_gradient[n, o].
//
// Vectors are [image, feature / 4] vec4f. Image n goes to part n mod PARTS; a part is [in feature
// (padded), out feature / 4] vec4f followed by the bias's [out feature / 4], and
// `reduce_weight_gradient` adds the parts in order. One invocation keeps FEATURES groups of 4
// inputs × GROUPS groups of 4 outputs in registers.

import constants::{FEATURES, GROUPS, LANES};
import package::common::images::Images;
import package::common::storage::{Input, Output, load_input, load_output};

override IN_GROUPS: u32;
override OUT_GROUPS: u32;
override PARTS: u32;

@group(0) @binding(0) var<uniform> images: Images;
@group(0) @binding(1) var<storage, read> input: array<Input>;
@group(0) @binding(2) var<storage, read> output_gradient: array<Output>;
@group(0) @binding(3) var<storage, read_write> parts: array<vec4f>;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) lane: u32) {
    let first_feature = workgroup.x * FEATURES;
    let part = workgroup.y;
    let first_group = workgroup.z * LANES * GROUPS + lane;

    var sum: array<vec4f, FEATURES * 4u * GROUPS>;
    var bias_sum: array<vec4f, GROUPS>;
    // A part without images goes over one all the same and stores 0, as in
    // `convolution_weight_gradient`: llvmpipe of Mesa 26 fails in loops without a round.
    let is_empty = part >= images.count;
    var n = min(part, max(images.count, 1u) - 1u);
    loop {
        let image = images.first + n;
        var vector: array<vec4f, FEATURES>;
        @unroll for (var f = 0u; f < FEATURES; f++) {
            vector[f] =
                load_input(input[image * IN_GROUPS + min(first_feature + f, IN_GROUPS - 1u)]);
        }
        @unroll for (var g = 0u; g < GROUPS; g++) {
            let d = load_output(output_gradient[image * OUT_GROUPS
                + min(first_group + g * LANES, OUT_GROUPS - 1u)]);
            bias_sum[g] += d;
            @unroll for (var f = 0u; f < FEATURES; f++) {
                @unroll for (var j = 0u; j < 4u; j++) {
                    sum[(f * 4u + j) * GROUPS + g] =
                        fma(vec4f(vector[f][j]), d, sum[(f * 4u + j) * GROUPS + g]);
                }
            }
        }
        continuing {
            n += PARTS;
            break if n >= images.count;
        }
    }
    let base = part * (IN_GROUPS * 4u + 1u) * OUT_GROUPS;
    @unroll for (var g = 0u; g < GROUPS; g++) {
        let group = first_group + g * LANES;
        if (group < OUT_GROUPS) {
            @unroll for (var f = 0u; f < FEATURES; f++) {
                if (first_feature + f < IN_GROUPS) {
                    @unroll for (var j = 0u; j < 4u; j++) {
                        parts[base + ((first_feature + f) * 4u + j) * OUT_GROUPS + group] =
                            select(sum[(f * 4u + j) * GROUPS + g], vec4f(), is_empty);
                    }
                }
            }
            if (workgroup.x == 0u) {
                parts[base + IN_GROUPS * 4u * OUT_GROUPS + group] =
                    select(bias_sum[g], vec4f(), is_empty);
            }
        }
    }
}
