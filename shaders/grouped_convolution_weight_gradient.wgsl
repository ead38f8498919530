// Gradient of `grouped_convolution` with respect to its weights and bias
// (torch.nn.grad.conv2d_weight), first of two stages:
//   weight_gradient[ky, kx, i, o] =
//     Σ_{n, y, x} input[n, y·S + ky·D − P, x·S + kx·D − P, s·I + i] · output_gradient[n, y, x, o],
//   bias_gradient[o] = Σ_{n, y, x} output_gradient[n, y, x, o].
//
// The images are dealt to PARTS parts, image n to part n mod PARTS; `reduce_weight_gradient` adds
// the parts in order, so the sum does not depend on scheduling. A part is [ky, kx, input of the
// set, out channel / 4] vec4f followed by the bias's [out channel / 4]. One invocation a group of 4
// of a part.

import constants::LANES;
import package::common::grid::linear_workgroup;
import package::common::images::Images;
import package::common::storage::{Input, Output, load_input, load_output};

override IN_HEIGHT: u32;
override IN_WIDTH: u32;
override IN_GROUPS: u32;
override OUT_HEIGHT: u32;
override OUT_WIDTH: u32;
override OUT_GROUPS: u32;
override KERNEL_HEIGHT: u32;
override KERNEL_WIDTH: u32;
override STRIDE_Y: u32;
override STRIDE_X: u32;
override DILATION_Y: u32;
override DILATION_X: u32;
override TOP: u32;
override LEFT: u32;
override SETS: u32;
override SET_INPUTS: u32;
override SET_OUTPUTS: u32;
override PARTS: u32;

@group(0) @binding(0) var<uniform> images: Images;
@group(0) @binding(1) var<storage, read> input: array<Input>;
@group(0) @binding(2) var<storage, read> output_gradient: array<Output>;
@group(0) @binding(3) var<storage, read_write> parts: array<vec4f>;

// Channel `channel` of the pixel whose groups begin at `pixel`.
fn input_at(pixel: u32, channel: u32) -> f32 {
    return load_input(input[pixel + channel / 4u])[channel % 4u];
}

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) count: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let bias_row = KERNEL_HEIGHT * KERNEL_WIDTH * SET_INPUTS;
    let element = linear_workgroup(workgroup, count) * LANES + lane;
    let group = element % OUT_GROUPS;
    let line = element / OUT_GROUPS % (bias_row + 1u);
    let part = element / OUT_GROUPS / (bias_row + 1u);
    if (part >= PARTS) { return; }
    let tap = line / SET_INPUTS;
    let channels = group * 4u + vec4u(0u, 1u, 2u, 3u);
    let own_sets = min(channels / SET_OUTPUTS, vec4u(SETS - 1u));
    let inputs = own_sets * SET_INPUTS + line % SET_INPUTS;

    var sum = vec4f();
    // A part without images goes over one all the same and stores 0, as in
    // `convolution_weight_gradient`: llvmpipe of Mesa 26 fails in loops without a round.
    let is_empty = part >= images.count;
    var n = min(part, max(images.count, 1u) - 1u);
    loop {
        let image = images.first + n;
        for (var y = 0u; y < OUT_HEIGHT; y++) {
            // Wraps to a huge number above the first row.
            let row = y * STRIDE_Y + tap / KERNEL_WIDTH * DILATION_Y - TOP;
            for (var x = 0u; x < OUT_WIDTH; x++) {
                let at = ((image * OUT_HEIGHT + y) * OUT_WIDTH + x) * OUT_GROUPS + group;
                let gradient = load_output(output_gradient[at]);
                let column = x * STRIDE_X + tap % KERNEL_WIDTH * DILATION_X - LEFT;
                if (line == bias_row) {
                    sum += gradient;
                } else if (row < IN_HEIGHT && column < IN_WIDTH) {
                    let source = ((image * IN_HEIGHT + row) * IN_WIDTH + column) * IN_GROUPS;
                    @if(one_set) let values = vec4f(input_at(source, inputs.x));
                    @if(!one_set) let values = vec4f(
                        input_at(source, inputs.x),
                        input_at(source, inputs.y),
                        input_at(source, inputs.z),
                        input_at(source, inputs.w),
                    );
                    sum = fma(values, gradient, sum);
                }
            }
        }
        continuing {
            n += PARTS;
            break if n >= images.count;
        }
    }
    parts[element] = select(sum, vec4f(), is_empty);
}
