// Copies a slice of a convolution's weights from [tap, in channel, out channel / 4] vec4f to the
// order in which `convolution` reads them:
//   slice[block, ky, i / 4, kx, i mod 4, g] = weight[ky, kx, i, first_group + block · GROUPS + g],
//     or zeros behind the last group,
// with the taps in reverse where they are MIRRORED (the input gradient). A slice has BLOCKS blocks
// of GROUPS groups of 4 output channels. One invocation per group.

import package::common::grid::linear_workgroup;
import package::common::slices::Slice;

override BLOCKS: u32;
override GROUPS: u32;
override KERNEL_HEIGHT: u32;
override KERNEL_WIDTH: u32;
override IN_CHANNELS: u32; // padded
override OUT_GROUPS: u32;
override MIRRORED: u32;

@group(0) @binding(0) var<uniform> slice: Slice;
@group(0) @binding(1) var<storage, read> weight: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> sliced: array<vec4f>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) count: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let element = linear_workgroup(workgroup, count) * 64u + lane;
    if (element >= BLOCKS * KERNEL_HEIGHT * KERNEL_WIDTH * IN_CHANNELS * GROUPS) { return; }
    let kx = element / (4u * GROUPS) % KERNEL_WIDTH;
    let row = element / (4u * GROUPS * KERNEL_WIDTH); // [block, ky, i / 4]
    let i = row % (IN_CHANNELS / 4u) * 4u + element / GROUPS % 4u;
    let ky = row / (IN_CHANNELS / 4u) % KERNEL_HEIGHT;
    let group = slice.first_group + row / (IN_CHANNELS / 4u * KERNEL_HEIGHT) * GROUPS
        + element % GROUPS;
    let tap = ky * KERNEL_WIDTH + kx;
    let source = select(tap, KERNEL_HEIGHT * KERNEL_WIDTH - 1u - tap, MIRRORED != 0u);
    let value = weight[(source * IN_CHANNELS + i) * OUT_GROUPS + min(group, OUT_GROUPS - 1u)];
    sliced[element] = select(vec4f(), value, group < OUT_GROUPS);
}
