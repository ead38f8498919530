// Gradient of a 2-D convolution with respect to its weights and bias (torch.nn.grad.conv2d_weight),
// first of two stages:
//   weight_gradient[ky, kx, i, o] =
//     Σ_{n, y, x} input[n, y·S + ky·D − P, x·S + kx·D − P, i] · output_gradient[n, y, x, o],
//   bias_gradient[o] = Σ_{n, y, x} output_gradient[n, y, x, o].
//
// The images are divided between PARTS workgroups, image n to part n mod PARTS.
// `reduce_weight_gradient` adds the parts in order, so that the sum does not depend on scheduling.
// A part is [ky, kx, in channel (padded), out channel / 4] vec4f followed by the bias's [out
// channel / 4].
//
// With `pooled`, a max-pool of 2 × 2 windows is part of the layer. `output_gradient` is that of the
// windows, which OUT_HEIGHT and OUT_WIDTH count, and each value belongs to the pixel in `chosen`;
// the others are 0 (`max_pool_gradient`). COLUMNS is then even.
//
// One invocation keeps TAP_ROWS × KERNEL_WIDTH taps of INPUTS groups of input channels and GROUPS
// groups of output channels in registers. It goes down the image in strips of COLUMNS pixels, so
// that rows of inputs that two rows of outputs share are loaded once. All lanes need the same
// inputs; with `subgroups` of LANES invocations, each loads its share.

import constants::{COLUMNS, GROUPS, INPUTS, KERNEL_HEIGHT, KERNEL_WIDTH, STRIDE_Y, STRIDE_X};
import constants::{DILATION_Y, DILATION_X, TAP_ROWS, FRESH, DEPTH, LANES};
import package::common::images::Images;
import package::common::pooling::unpack_positions;
import package::common::storage::{Input, Output, load_input, load_output};

override IN_HEIGHT: u32;
override IN_WIDTH: u32;
override IN_GROUPS: u32;
override OUT_HEIGHT: u32;
override OUT_WIDTH: u32;
override OUT_GROUPS: u32;
override TOP: u32;
override LEFT: u32;
override PARTS: u32;

@group(0) @binding(0) var<uniform> images: Images;
@group(0) @binding(1) var<storage, read> input: array<Input>;
@group(0) @binding(2) var<storage, read> output_gradient: array<Output>;
@group(0) @binding(3) var<storage, read_write> parts: array<vec4f>;
@if(pooled) @group(0) @binding(4) var<storage, read> chosen: array<u32>;

const SPAN = (COLUMNS - 1u) * STRIDE_X + (KERNEL_WIDTH - 1u) * DILATION_X + 1u;
// Number of rows of outputs that reuse rows of inputs of the row before; a row loads FRESH =
// min(STRIDE_Y, TAP_ROWS) rows itself. Rows of dilated taps are not neighbours: TAP_ROWS is 1 then.
const KEPT = (TAP_ROWS - FRESH + STRIDE_Y - 1u) / STRIDE_Y;
// Number of loads of fresh inputs, and of those per lane.
const LOADS = INPUTS * FRESH * SPAN;
const SHARES = (LOADS + LANES - 1u) / LANES;
// Number of pixels per element of `output_gradient` along each axis, and the number of windows in a
// strip.
@if(pooled) const SIDE = 2u;
@if(!pooled) const SIDE = 1u;
const WINDOWS = (COLUMNS + SIDE - 1u) / SIDE;

// Element (y, x) of group `i`; 0 outside the image. Coordinates above and to the left of it wrap to
// huge numbers.
fn padded_input(image: u32, y: u32, x: u32, i: u32) -> vec4f {
    let at = ((image * IN_HEIGHT + min(y, IN_HEIGHT - 1u)) * IN_WIDTH + min(x, IN_WIDTH - 1u))
        * IN_GROUPS + min(i, IN_GROUPS - 1u);
    return select(vec4f(), load_input(input[at]), y < IN_HEIGHT && x < IN_WIDTH);
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) lane: u32) {
    let in_blocks = (IN_GROUPS + INPUTS - 1u) / INPUTS;
    let first_input = (workgroup.x % in_blocks) * INPUTS;
    let first_tap_row = (workgroup.x / in_blocks) * TAP_ROWS;
    let part = workgroup.y;
    let first_group = workgroup.z * LANES * GROUPS + lane;

    var sum: array<vec4f, INPUTS * TAP_ROWS * KERNEL_WIDTH * DEPTH * GROUPS>;
    var bias_sum: array<vec4f, GROUPS>;
    var line: array<vec4f, INPUTS * TAP_ROWS * SPAN>;
    @if(pooled) var window: array<vec4f, GROUPS * WINDOWS>;
    @if(pooled) var position: array<vec4u, GROUPS * WINDOWS>;
    // A part without images goes over one all the same and stores 0: in loops without a round, in
    // which no lane is active, llvmpipe of Mesa 26 reads descriptors of buffers at address 0.
    let is_empty = part >= images.count;
    var n = min(part, max(images.count, 1u) - 1u);
    loop {
        let image = images.first + n;
        for (var column = 0u; column < OUT_WIDTH * SIDE; column += COLUMNS) {
            for (var row = 0u; row < OUT_HEIGHT * SIDE; row++) {
                // Rows of inputs that the previous row of outputs loaded move up; the first row has
                // none.
                let behind = select(1u, 1u + KEPT, row == 0u);
                for (var loads = behind; loads > 0u; loads--) {
                    let y = (row + 1u - loads) * STRIDE_Y + first_tap_row * DILATION_Y + TAP_ROWS
                        - FRESH - TOP;
                    let x = column * STRIDE_X - LEFT;
                    @if(subgroups) var shares: array<vec4f, SHARES>;
                    @if(subgroups) {
                        @unroll for (var l = 0u; l < SHARES; l++) {
                            let e = l * LANES + lane;
                            shares[l] = padded_input(image, y + e / SPAN % FRESH, x + e % SPAN,
                                first_input + e / (FRESH * SPAN));
                        }
                    }
                    @unroll for (var q = 0u; q < INPUTS; q++) {
                        @unroll for (var s = 0u; s < (TAP_ROWS - FRESH) * SPAN; s++) {
                            line[q * TAP_ROWS * SPAN + s] = line[(q * TAP_ROWS + FRESH) * SPAN + s];
                        }
                        @unroll for (var t = 0u; t < FRESH; t++) {
                            @unroll for (var s = 0u; s < SPAN; s++) {
                                const to = (q * TAP_ROWS + TAP_ROWS - FRESH + t) * SPAN + s;
                                const e = (q * FRESH + t) * SPAN + s;
                                @if(subgroups) {
                                    line[to] = subgroupBroadcast(shares[e / LANES], e % LANES);
                                }
                                @if(!subgroups) {
                                    line[to] = padded_input(image, y + t, x + s, first_input + q);
                                }
                            }
                        }
                    }
                }
                @if(pooled) {
                    // Two rows of pixels belong to the same row of windows.
                    for (var fetch = 1u - row % 2u; fetch > 0u; fetch--) {
                        @unroll for (var g = 0u; g < GROUPS; g++) {
                            let group = min(first_group + g * LANES, OUT_GROUPS - 1u);
                            @unroll for (var w = 0u; w < WINDOWS; w++) {
                                let x = column / 2u + w;
                                let at = ((image * OUT_HEIGHT + row / 2u) * OUT_WIDTH
                                    + min(x, OUT_WIDTH - 1u)) * OUT_GROUPS + group;
                                window[g * WINDOWS + w] = select(vec4f(),
                                    load_output(output_gradient[at]), x < OUT_WIDTH);
                                position[g * WINDOWS + w] = unpack_positions(chosen[at]);
                                bias_sum[g] += window[g * WINDOWS + w];
                            }
                        }
                    }
                }
                let gradient_base = ((image * OUT_HEIGHT + row) * OUT_WIDTH + column) * OUT_GROUPS;
                @unroll for (var g = 0u; g < GROUPS; g++) {
                    var d: array<vec4f, COLUMNS>;
                    @unroll for (var c = 0u; c < COLUMNS; c++) {
                        @if(pooled) {
                            let here =
                                position[g * WINDOWS + c / 2u] == vec4u(row % 2u * 2u + c % 2u);
                            d[c] = select(vec4f(), window[g * WINDOWS + c / 2u], here);
                        }
                        @if(!pooled) {
                            let at = gradient_base + c * OUT_GROUPS
                                + min(first_group + g * LANES, OUT_GROUPS - 1u);
                            d[c] = select(vec4f(), load_output(output_gradient[at]),
                                column + c < OUT_WIDTH);
                            bias_sum[g] += d[c];
                        }
                    }
                    // A sum stays in registers while its COLUMNS products are added.
                    @unroll for (var qt = 0u; qt < INPUTS * TAP_ROWS; qt++) {
                        @unroll for (var kx = 0u; kx < KERNEL_WIDTH; kx++) {
                            @unroll for (var j = 0u; j < DEPTH; j++) {
                                @unroll for (var c = 0u; c < COLUMNS; c++) {
                                    sum[((qt * KERNEL_WIDTH + kx) * DEPTH + j) * GROUPS + g] = fma(
                                        vec4f(line[qt * SPAN + c * STRIDE_X + kx * DILATION_X][j]),
                                        d[c],
                                        sum[((qt * KERNEL_WIDTH + kx) * DEPTH + j) * GROUPS + g]);
                                }
                            }
                        }
                    }
                }
            }
        }
        continuing {
            n += PARTS;
            break if n >= images.count;
        }
    }
    let taps = KERNEL_HEIGHT * KERNEL_WIDTH * IN_GROUPS * 4u;
    let base = part * (taps + 1u) * OUT_GROUPS;
    @unroll for (var g = 0u; g < GROUPS; g++) {
        let group = first_group + g * LANES;
        if (group < OUT_GROUPS) {
            @unroll for (var q = 0u; q < INPUTS; q++) {
                @unroll for (var t = 0u; t < TAP_ROWS; t++) {
                    if (first_input + q < IN_GROUPS && first_tap_row + t < KERNEL_HEIGHT) {
                        @unroll for (var kx = 0u; kx < KERNEL_WIDTH; kx++) {
                            @unroll for (var j = 0u; j < DEPTH; j++) {
                                let tap = (((first_tap_row + t) * KERNEL_WIDTH + kx) * IN_GROUPS
                                    + first_input + q) * 4u + j;
                                parts[base + tap * OUT_GROUPS + group] =
                                    select(sum[(((q * TAP_ROWS + t) * KERNEL_WIDTH + kx)
                                        * DEPTH + j) * GROUPS + g], vec4f(), is_empty);
                            }
                        }
                    }
                }
            }
            if (workgroup.x == 0u) {
                parts[base + taps * OUT_GROUPS + group] = select(bias_sum[g], vec4f(), is_empty);
            }
        }
    }
}
