// Gradient of a 2-D convolution with respect to its weights and bias (torch.nn.grad.conv2d_weight), first of two stages:
//   weight_gradient[ky, kx, i, o] = Σ_{n, y, x} input[n, y·S + ky − P, x·S + kx − P, i] · output_gradient[n, y, x, o],
//   bias_gradient[o] = Σ_{n, y, x} output_gradient[n, y, x, o].
//
// The images are dealt to PARTS workgroups, image n to part n mod PARTS; `reduce_weight_gradient` adds the parts in order, so the sum
// does not depend on scheduling. A part is [ky, kx, in channel (padded), out channel / 4] vec4f followed by the bias's [out channel / 4].
//
// One invocation keeps TAP_ROWS × KERNEL taps of INPUTS groups of input channels and GROUPS groups of output channels in registers, and goes down
// the image in strips of COLUMNS pixels: the rows of inputs that two rows of outputs share are loaded once.

import constants::{COLUMNS, GROUPS, INPUTS, KERNEL, STRIDE, TAP_ROWS, FRESH, DEPTH, LANES};
import package::common::images::Images;
import package::common::storage::{Input, Output, load_input, load_output};

override IN_HEIGHT: u32;
override IN_WIDTH: u32;
override IN_GROUPS: u32;
override OUT_HEIGHT: u32;
override OUT_WIDTH: u32;
override OUT_GROUPS: u32;
override PADDING: u32;
override PARTS: u32;

@group(0) @binding(0) var<uniform> images: Images;
@group(0) @binding(1) var<storage, read> input: array<Input>;
@group(0) @binding(2) var<storage, read> output_gradient: array<Output>;
@group(0) @binding(3) var<storage, read_write> parts: array<vec4f>;

const SPAN = (COLUMNS - 1u) * STRIDE + KERNEL;
// Rows of outputs that leave rows of inputs to the next one, which loads FRESH = min(STRIDE, TAP_ROWS) itself.
const KEPT = (TAP_ROWS - FRESH + STRIDE - 1u) / STRIDE;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) lane: u32) {
    let in_blocks = (IN_GROUPS + INPUTS - 1u) / INPUTS;
    let first_input = (workgroup.x % in_blocks) * INPUTS;
    let first_tap_row = (workgroup.x / in_blocks) * TAP_ROWS;
    let part = workgroup.y;
    let first_group = workgroup.z * LANES * GROUPS + lane;

    var sum: array<vec4f, INPUTS * TAP_ROWS * KERNEL * DEPTH * GROUPS>;
    var bias_sum: array<vec4f, GROUPS>;
    for (var n = part; n < images.count; n += PARTS) {
        let image = images.first + n;
        for (var column = 0u; column < OUT_WIDTH; column += COLUMNS) {
            var line: array<vec4f, INPUTS * TAP_ROWS * SPAN>;
            for (var row = 0u; row < OUT_HEIGHT; row++) {
                // Rows of inputs that the row of outputs before has loaded move up; the first one finds none.
                let behind = select(1u, 1u + KEPT, row == 0u);
                for (var loads = behind; loads > 0u; loads--) {
                    @unroll for (var q = 0u; q < INPUTS; q++) {
                        let i = min(first_input + q, IN_GROUPS - 1u);
                        @unroll for (var t = 0u; t < TAP_ROWS - FRESH; t++) {
                            @unroll for (var s = 0u; s < SPAN; s++) {
                                line[(q * TAP_ROWS + t) * SPAN + s] = line[(q * TAP_ROWS + t + FRESH) * SPAN + s];
                            }
                        }
                        @unroll for (var t = TAP_ROWS - FRESH; t < TAP_ROWS; t++) {
                            let y = (row + 1u - loads) * STRIDE + first_tap_row + t - PADDING; // wraps to a huge number above the first row
                            let y_base = (image * IN_HEIGHT + min(y, IN_HEIGHT - 1u)) * IN_WIDTH * IN_GROUPS + i;
                            @unroll for (var s = 0u; s < SPAN; s++) {
                                let x = column * STRIDE + s - PADDING;
                                let value = load_input(input[y_base + min(x, IN_WIDTH - 1u) * IN_GROUPS]);
                                line[(q * TAP_ROWS + t) * SPAN + s] = select(vec4f(), value, y < IN_HEIGHT && x < IN_WIDTH);
                            }
                        }
                    }
                }
                let gradient_base = ((image * OUT_HEIGHT + row) * OUT_WIDTH + column) * OUT_GROUPS;
                @unroll for (var g = 0u; g < GROUPS; g++) {
                    var d: array<vec4f, COLUMNS>;
                    @unroll for (var c = 0u; c < COLUMNS; c++) {
                        let at = gradient_base + c * OUT_GROUPS + min(first_group + g * LANES, OUT_GROUPS - 1u);
                        d[c] = select(vec4f(), load_output(output_gradient[at]), column + c < OUT_WIDTH);
                        bias_sum[g] += d[c];
                    }
                    // A sum stays in registers while it takes its COLUMNS products.
                    @unroll for (var qt = 0u; qt < INPUTS * TAP_ROWS; qt++) {
                        @unroll for (var kx = 0u; kx < KERNEL; kx++) {
                            @unroll for (var j = 0u; j < DEPTH; j++) {
                                @unroll for (var c = 0u; c < COLUMNS; c++) {
                                    sum[((qt * KERNEL + kx) * DEPTH + j) * GROUPS + g] = fma(
                                        vec4f(line[qt * SPAN + c * STRIDE + kx][j]), d[c], sum[((qt * KERNEL + kx) * DEPTH + j) * GROUPS + g]);
                                }
                            }
                        }
                    }
                }
            }
        }
    }
    let taps = KERNEL * KERNEL * IN_GROUPS * 4u;
    let base = part * (taps + 1u) * OUT_GROUPS;
    @unroll for (var g = 0u; g < GROUPS; g++) {
        let group = first_group + g * LANES;
        if (group < OUT_GROUPS) {
            @unroll for (var q = 0u; q < INPUTS; q++) {
                @unroll for (var t = 0u; t < TAP_ROWS; t++) {
                    if (first_input + q < IN_GROUPS && first_tap_row + t < KERNEL) {
                        @unroll for (var kx = 0u; kx < KERNEL; kx++) {
                            @unroll for (var j = 0u; j < DEPTH; j++) {
                                let tap = (((first_tap_row + t) * KERNEL + kx) * IN_GROUPS + first_input + q) * 4u + j;
                                parts[base + tap * OUT_GROUPS + group] = sum[(((q * TAP_ROWS + t) * KERNEL + kx) * DEPTH + j) * GROUPS + g];
                            }
                        }
                    }
                }
            }
            if (workgroup.x == 0u) { parts[base + taps * OUT_GROUPS + group] = bias_sum[g]; }
        }
    }
}
