// Gradient of max-pooling with respect to its input, times the derivative of the activation in
// front of it:
//   input_gradient[e] = activation'(state[e])
//                       · Σ_{windows whose maximum e is} output_gradient[window],
// and ∂L/∂α = Σ ∂y/∂α · (that sum) of PACT (∂L/∂s of LSQ), one partial sum a workgroup; with
// `offset` as many of LSQ+'s ∂L/∂β. ACTIVATION 0 is max-pooling alone. `choice` is what `max_pool`
// kept; `state` is the activation's input x for PACT, its output for ReLU. Layouts as there. An
// invocation takes ITEMS groups of 4 elements. WINDOWS_Y = ceil(KERNEL_HEIGHT / STRIDE_Y) windows
// overlap along rows, WINDOWS_X along columns.

import constants::{ITEMS, WINDOWS_X, WINDOWS_Y, WORKGROUP};
import package::common::grid::linear_workgroup;
import package::common::images::Images;
import package::common::pooling::unpack_positions;
import package::common::activation::{derivative, learned_derivative, offset_derivative};
import package::common::storage::{Input, Output, State, load_output, load_state, store_input};
import package::common::sums::ordered_sum;

override IN_HEIGHT: u32;
override IN_WIDTH: u32;
override GROUPS: u32;
override OUT_HEIGHT: u32;
override OUT_WIDTH: u32;
override KERNEL_HEIGHT: u32;
override KERNEL_WIDTH: u32;
override STRIDE_Y: u32;
override STRIDE_X: u32;
override TOP: u32;
override LEFT: u32;
override ACTIVATION: u32;
@if(pact) override LEVELS: f32;
@if(pact) override ALPHA_INDEX: u32;
@if(pact) override OFFSET_INDEX: u32;

@group(0) @binding(0) var<uniform> images: Images;
@group(0) @binding(1) var<storage, read> output_gradient: array<Output>;
@group(0) @binding(2) var<storage, read> choice: array<u32>;
@group(0) @binding(3) var<storage, read> state: array<State>;
@group(0) @binding(4) var<storage, read_write> input_gradient: array<Input>;
@if(pact) @group(0) @binding(5) var<storage, read> parameters: array<f32>;
@if(pact) @group(0) @binding(6) var<storage, read_write> partial_sums: array<f32>;
@if(offset) @group(0) @binding(7) var<storage, read_write> offset_sums: array<f32>;

// Σ of the gradients of the windows that chose element (row, column) of the padded image: the last
// window that starts at or above it, and WINDOWS_Y − 1 before; so of columns.
fn chosen(image: u32, row: u32, column: u32, group: u32) -> vec4f {
    var sum = vec4f();
    @unroll for (var wy = 0u; wy < WINDOWS_Y; wy++) {
        @unroll for (var wx = 0u; wx < WINDOWS_X; wx++) {
            // The number wraps to a huge value in front of the first window.
            let y = row / STRIDE_Y - wy;
            let x = column / STRIDE_X - wx;
            let dy = row - y * STRIDE_Y;
            let dx = column - x * STRIDE_X;
            let inside = y < OUT_HEIGHT && x < OUT_WIDTH && dy < KERNEL_HEIGHT && dx < KERNEL_WIDTH;
            let at = ((image * OUT_HEIGHT + min(y, OUT_HEIGHT - 1u)) * OUT_WIDTH
                + min(x, OUT_WIDTH - 1u)) * GROUPS + group;
            let positions = unpack_positions(choice[at]);
            let is_chosen = (positions == vec4u(dy * KERNEL_WIDTH + dx)) & vec4<bool>(inside);
            sum += select(vec4f(), load_output(output_gradient[at]), is_chosen);
        }
    }
    return sum;
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) count: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let block = linear_workgroup(workgroup, count);
    let per_image = IN_HEIGHT * IN_WIDTH * GROUPS;
    @if(pact) let learned = vec2f(parameters[ALPHA_INDEX], parameters[OFFSET_INDEX]);
    @if(pact) var alpha_sum = vec4f();
    @if(offset) var offset_sum = vec4f();
    for (var item = 0u; item < ITEMS; item++) {
        let element = (block * ITEMS + item) * WORKGROUP + lane;
        if (element < images.count * per_image) {
            let image = images.first + element / per_image;
            let group = element % GROUPS;
            let column = (element / GROUPS) % IN_WIDTH + LEFT;
            let row = (element / (GROUPS * IN_WIDTH)) % IN_HEIGHT + TOP;
            let at = images.first * per_image + element;
            let gradient = chosen(image, row, column, group);
            @if(pact) {
                let x = load_state(state[at]);
                input_gradient[at] =
                    store_input(gradient * derivative(ACTIVATION, x, learned, LEVELS));
                alpha_sum += gradient * learned_derivative(ACTIVATION, x, learned, LEVELS);
                @if(offset) {
                    offset_sum += gradient * offset_derivative(ACTIVATION, x, learned, LEVELS);
                }
            }
            @if(!pact) {
                let slope = derivative(ACTIVATION, load_state(state[at]), vec2f(), 1.0);
                input_gradient[at] = store_input(gradient * slope);
            }
        }
    }
    @if(pact) {
        let sum = ordered_sum(lane, alpha_sum.x + alpha_sum.y + alpha_sum.z + alpha_sum.w, 0.0);
        // A dispatch spread over two dimensions can be larger than the sums it was sized for.
        if (lane == 0u && block < arrayLength(&partial_sums)) { partial_sums[block] = sum; }
    }
    @if(offset) {
        let sum = ordered_sum(lane, offset_sum.x + offset_sum.y + offset_sum.z + offset_sum.w, 0.0);
        if (lane == 0u && block < arrayLength(&offset_sums)) { offset_sums[block] = sum; }
    }
}
