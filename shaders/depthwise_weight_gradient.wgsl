// Gradient of a depthwise convolution with respect to its weights and bias
// (torch.nn.grad.conv2d_weight), first of two stages:
//   weight_gradient[ky, kx, c] =
//     Σ_{n, y, x} input[n, y·S + ky·D − P, x·S + kx·D − P, c] · output_gradient[n, y, x, c],
//   bias_gradient[c] = Σ_{n, y, x} output_gradient[n, y, x, c].
//
// Bands of ROWS rows of outputs of all images are dealt to PARTS parts, band b to part b mod PARTS;
// `reduce_weight_gradient` adds the parts in order, so the sum does not depend on scheduling. A
// part is [ky, kx, channel / 4] vec4f followed by the bias's [channel / 4].
//
// An invocation makes a group of channels of one part. It goes down strips of COLUMNS pixels with
// all sums and KERNEL_HEIGHT rows of inputs in registers, as in `depthwise_convolution`.

import constants::{COLUMNS, LANES, FRESH, KERNEL_HEIGHT, KERNEL_WIDTH, STRIDE_Y, STRIDE_X};
import constants::{DILATION_Y, DILATION_X, TOP, LEFT};
import package::common::grid::linear_workgroup;
import package::common::images::Images;
import package::common::storage::{Input, Output, load_input, load_output};

override IN_HEIGHT: u32;
override IN_WIDTH: u32;
override OUT_HEIGHT: u32;
override OUT_WIDTH: u32;
override GROUPS: u32;
override ROWS: u32;
override PARTS: u32;

@group(0) @binding(0) var<uniform> images: Images;
@group(0) @binding(1) var<storage, read> input: array<Input>;
@group(0) @binding(2) var<storage, read> output_gradient: array<Output>;
@group(0) @binding(3) var<storage, read_write> parts: array<vec4f>;

const TAPS = KERNEL_HEIGHT * KERNEL_WIDTH;
const SPAN = (COLUMNS - 1u) * STRIDE_X + (KERNEL_WIDTH - 1u) * DILATION_X + 1u;
const KEPT = (KERNEL_HEIGHT - FRESH + STRIDE_Y - 1u) / STRIDE_Y;

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) count: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let element = linear_workgroup(workgroup, count) * LANES + lane;
    if (element >= PARTS * GROUPS) { return; }
    let group = element % GROUPS;
    let part = element / GROUPS;
    let bands = (OUT_HEIGHT + ROWS - 1u) / ROWS;

    var sum: array<vec4f, TAPS>;
    var bias_sum: vec4f;
    var line: array<vec4f, KERNEL_HEIGHT * SPAN>;
    for (var band = part; band < images.count * bands; band += PARTS) {
        let image = images.first + band / bands;
        let first_row = band % bands * ROWS;
        let end = min(first_row + ROWS, OUT_HEIGHT);
        for (var column = 0u; column < OUT_WIDTH; column += COLUMNS) {
            for (var row = first_row; row < end; row++) {
                for (var loads = select(1u, 1u + KEPT, row == first_row); loads > 0u; loads--) {
                    @unroll for (var s = 0u; s < (KERNEL_HEIGHT - FRESH) * SPAN; s++) {
                        line[s] = line[s + FRESH * SPAN];
                    }
                    @unroll for (var t = 0u; t < FRESH; t++) {
                        // Wraps to a huge number above the first row.
                        let y = (row + 1u - loads) * STRIDE_Y
                            + (KERNEL_HEIGHT - FRESH + t) * DILATION_Y - TOP;
                        let row_base = (image * IN_HEIGHT + min(y, IN_HEIGHT - 1u)) * IN_WIDTH
                            * GROUPS + group;
                        @unroll for (var s = 0u; s < SPAN; s++) {
                            let x = column * STRIDE_X + s - LEFT;
                            let value =
                                load_input(input[row_base + min(x, IN_WIDTH - 1u) * GROUPS]);
                            line[(KERNEL_HEIGHT - FRESH + t) * SPAN + s] =
                                select(vec4f(), value, y < IN_HEIGHT && x < IN_WIDTH);
                        }
                    }
                }
                let at = ((image * OUT_HEIGHT + row) * OUT_WIDTH + column) * GROUPS + group;
                var d: array<vec4f, COLUMNS>;
                @unroll for (var c = 0u; c < COLUMNS; c++) {
                    let inside = column + c < OUT_WIDTH;
                    let own = select(0u, c * GROUPS, inside);
                    d[c] = select(vec4f(), load_output(output_gradient[at + own]), inside);
                    bias_sum += d[c];
                }
                // A sum stays in registers while it takes its COLUMNS products.
                @unroll for (var ky = 0u; ky < KERNEL_HEIGHT; ky++) {
                    @unroll for (var kx = 0u; kx < KERNEL_WIDTH; kx++) {
                        @unroll for (var c = 0u; c < COLUMNS; c++) {
                            sum[ky * KERNEL_WIDTH + kx] = fma(
                                line[ky * SPAN + c * STRIDE_X + kx * DILATION_X],
                                d[c],
                                sum[ky * KERNEL_WIDTH + kx],
                            );
                        }
                    }
                }
            }
        }
    }
    let base = part * (TAPS + 1u) * GROUPS + group;
    @unroll for (var t = 0u; t < TAPS; t++) { parts[base + t * GROUPS] = sum[t]; }
    parts[base + TAPS * GROUPS] = bias_sum;
}
