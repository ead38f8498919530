// DeepLIFT's rule at a max-pool: what a window's outputs y of the image and r of its baseline
// differ by goes to the maximum of the larger,
//   input_multiplier[e] =
//       Σ_{windows whose larger output e gave} multiplier[window] · (y − r) / Δx[e],
// where |Δx[e]| < 1e-10 the plain gradient of max-pooling (Captum's rule; windows that overlap add
// up). Layouts as in `max_pool`; baselines are behind the images, in the same order. One invocation
// a group of 4 inputs; WINDOWS_Y = ceil(KERNEL_HEIGHT / STRIDE_Y), WINDOWS_X likewise.

import constants::{WINDOWS_X, WINDOWS_Y};
import package::common::grid::linear_workgroup;
import package::common::images::Images;
import package::common::pooling::unpack_positions;

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

@group(0) @binding(0) var<uniform> images: Images;
@group(0) @binding(1) var<storage, read> input: array<vec4f>;
@group(0) @binding(2) var<storage, read> output: array<vec4f>;
@group(0) @binding(3) var<storage, read> choice: array<u32>;
@group(0) @binding(4) var<storage, read> multiplier: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> input_multiplier: array<vec4f>;

const SMALLEST_DIFFERENCE = 1e-10;

// Whether position `position` is the one chosen by each of the 4 channels.
fn chose(at: u32, position: u32) -> vec4<bool> {
    return unpack_positions(choice[at]) == vec4u(position);
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) count: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let element = linear_workgroup(workgroup, count) * 64u + lane;
    let per_image = IN_HEIGHT * IN_WIDTH * GROUPS;
    if (element >= images.count * per_image) { return; }
    let image = images.first + element / per_image;
    let group = element % GROUPS;
    // In the padded image.
    let column = (element / GROUPS) % IN_WIDTH + LEFT;
    let row = (element / (GROUPS * IN_WIDTH)) % IN_HEIGHT + TOP;
    let at = images.first * per_image + element;
    let output_twin = images.count * OUT_HEIGHT * OUT_WIDTH * GROUPS;

    var contribution = vec4f();
    var gradient = vec4f();
    for (var wy = 0u; wy < WINDOWS_Y; wy++) {
        for (var wx = 0u; wx < WINDOWS_X; wx++) {
            // The number wraps to a huge value in front of the first window.
            let y = row / STRIDE_Y - wy;
            let x = column / STRIDE_X - wx;
            let dy = row - y * STRIDE_Y;
            let dx = column - x * STRIDE_X;
            if (y < OUT_HEIGHT && x < OUT_WIDTH && dy < KERNEL_HEIGHT && dx < KERNEL_WIDTH) {
                let window = ((image * OUT_HEIGHT + y) * OUT_WIDTH + x) * GROUPS + group;
                let difference = output[window] - output[window + output_twin];
                let own = chose(window, dy * KERNEL_WIDTH + dx);
                let of_twin = chose(window + output_twin, dy * KERNEL_WIDTH + dx);
                let winner = select(of_twin, own, difference >= vec4f());
                contribution += select(vec4f(), multiplier[window] * difference, winner);
                gradient += select(vec4f(), multiplier[window], own);
            }
        }
    }
    let difference = input[at] - input[at + images.count * per_image];
    let flat = abs(difference) < vec4f(SMALLEST_DIFFERENCE);
    input_multiplier[at] =
        select(contribution / select(difference, vec4f(1.0), flat), gradient, flat);
}
