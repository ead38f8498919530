// Gradient of `grouped_convolution` with respect to its input (torch.nn.grad.conv2d_input):
//   input_gradient[n, y, x, s·I + i] =
//     Σ_{ky, kx, o} output_gradient[n, (y + P − ky·D)/S, (x + P − kx·D)/S, s·O + o]
//     · weight[ky, kx, i, s·O + o], where the divisions have no remainder.
// Sizes are those of the forward pass, and so are layouts and weights.
//
// With `whole_groups` the outputs of a set are whole groups of 4. `rectified` multiplies by the
// derivative of the ReLU in front: `input_gradient` holds the ReLU's values before, and their
// gradient after. One invocation a group of inputs of a pixel.

import constants::LANES;
import kinds::activation::RELU;
import package::common::channels::real_channels;
import package::common::grid::linear_workgroup;
import package::common::images::Images;
import package::common::storage::{Input, Output, load_input, load_state, store_output};
import package::common::activation::derivative;

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

@group(0) @binding(0) var<uniform> images: Images;
// What is read is the kernel's input, what is written its output.
@group(0) @binding(1) var<storage, read> output_gradient: array<Input>;
@group(0) @binding(2) var<storage, read> weight: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> input_gradient: array<Output>;

// The sum over outputs of input `input` of set `own`, of the gradients that begin at `pixel`.
fn sum_of_outputs(pixel: u32, tap: u32, own: u32, input: u32) -> f32 {
    let taps = (tap * SET_INPUTS + input) * OUT_GROUPS;
    var sum = 0.0;
    @if(whole_groups) {
        let first = own * (SET_OUTPUTS / 4u);
        for (var g = 0u; g < SET_OUTPUTS / 4u; g++) {
            sum += dot(load_input(output_gradient[pixel + first + g]), weight[taps + first + g]);
        }
    }
    @if(!whole_groups) {
        for (var o = 0u; o < SET_OUTPUTS; o++) {
            let channel = own * SET_OUTPUTS + o;
            let value = load_input(output_gradient[pixel + channel / 4u])[channel % 4u];
            sum = fma(value, weight[taps + channel / 4u][channel % 4u], sum);
        }
    }
    return sum;
}

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) count: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let element = linear_workgroup(workgroup, count) * LANES + lane;
    let group = element % IN_GROUPS;
    let pixel = element / IN_GROUPS;
    let index = pixel / (IN_HEIGHT * IN_WIDTH);
    if (index >= images.count) { return; }
    let image = images.first + index;
    let row = pixel / IN_WIDTH % IN_HEIGHT;
    let column = pixel % IN_WIDTH;
    let channels = group * 4u + vec4u(0u, 1u, 2u, 3u);
    let own_sets = min(channels / SET_INPUTS, vec4u(SETS - 1u));
    let inputs = channels % SET_INPUTS;

    var sum = vec4f();
    for (var ky = 0u; ky < KERNEL_HEIGHT; ky++) {
        let shifted_y = row + TOP - ky * DILATION_Y; // wraps to a huge number below the first row
        let y = shifted_y / STRIDE_Y;
        if (shifted_y % STRIDE_Y != 0u || y >= OUT_HEIGHT) { continue; }
        for (var kx = 0u; kx < KERNEL_WIDTH; kx++) {
            let shifted_x = column + LEFT - kx * DILATION_X;
            let x = shifted_x / STRIDE_X;
            if (shifted_x % STRIDE_X != 0u || x >= OUT_WIDTH) { continue; }
            let pixel_base = ((image * OUT_HEIGHT + y) * OUT_WIDTH + x) * OUT_GROUPS;
            let tap = ky * KERNEL_WIDTH + kx;
            sum += vec4f(
                sum_of_outputs(pixel_base, tap, own_sets.x, inputs.x),
                sum_of_outputs(pixel_base, tap, own_sets.y, inputs.y),
                sum_of_outputs(pixel_base, tap, own_sets.z, inputs.z),
                sum_of_outputs(pixel_base, tap, own_sets.w, inputs.w),
            );
        }
    }
    sum = select(vec4f(), sum, real_channels(group, SETS * SET_INPUTS));
    let at = (image * IN_HEIGHT * IN_WIDTH + row * IN_WIDTH + column) * IN_GROUPS + group;
    @if(rectified) {
        let slope = derivative(RELU, load_state(input_gradient[at]), vec2f(), 1.0);
        input_gradient[at] = store_output(slope * sum);
    }
    @if(!rectified) { input_gradient[at] = store_output(sum); }
}
