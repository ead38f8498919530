// Gradient of a 2-D convolution with respect to its weights and bias as one matrix product, for
// GPUs, first of two stages. The sums, the layout of parts and the assignment of images to parts
// are those of `convolution_weight_gradient`:
//   weight_gradient[ky, kx, i, o] =
//     Σ_{n, y, x} input[n, y·S + ky·D − P, x·S + kx·D − P, i] · output_gradient[n, y, x, o],
//   bias_gradient[o] = Σ_{n, y, x} output_gradient[n, y, x, o].
// Rows of the product are (ky, kx, i), followed by a row of ones for the bias's gradient. Columns
// are output channels, and the inner dimension is the pixels of the part's images. A fully
// connected layer is the convolution of 1 × 1 pixels by one tap.
//
// A workgroup makes ROW_LANES·ROWS groups of 4 rows × COLUMN_LANES groups of 4 columns. It passes
// slabs of DEEP pixels through workgroup memory; an invocation keeps ROWS groups of rows × 4
// outputs in registers. DEPTH is the number of real channels of a group.

import constants::{ROW_LANES, COLUMN_LANES, ROWS, DEEP, DEPTH};
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
override PARTS: u32;

@group(0) @binding(0) var<uniform> images: Images;
@group(0) @binding(1) var<storage, read> input: array<Input>;
@group(0) @binding(2) var<storage, read> output_gradient: array<Output>;
@group(0) @binding(3) var<storage, read_write> parts: array<vec4f>;

const LANES = ROW_LANES * COLUMN_LANES;
const TILE_ROWS = ROW_LANES * ROWS;
const INPUTS = TILE_ROWS * DEEP;
const INPUT_LOADS = (INPUTS + LANES - 1u) / LANES;
const GRADIENTS = COLUMN_LANES * DEEP;
const GRADIENT_LOADS = (GRADIENTS + LANES - 1u) / LANES;

var<workgroup> input_tile: array<vec4f, INPUTS>;
var<workgroup> gradient_tile: array<vec4f, GRADIENTS>;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) lane: u32) {
    let first_row = workgroup.x * TILE_ROWS;
    let part = workgroup.y;
    let first_group = workgroup.z * COLUMN_LANES;
    let row_lane = lane / COLUMN_LANES;
    let group = first_group + lane % COLUMN_LANES;
    let bias_row = KERNEL_HEIGHT * KERNEL_WIDTH * IN_GROUPS;
    let pixels = OUT_HEIGHT * OUT_WIDTH;
    // Image n belongs to part n mod PARTS.
    let pixel_count = (images.count + PARTS - 1u - part) / PARTS * pixels;

    var sum: array<vec4f, ROWS * DEPTH>;
    for (var first = 0u; first < pixel_count; first += DEEP) {
        workgroupBarrier();
        @unroll for (var l = 0u; l < INPUT_LOADS; l++) {
            let element = l * LANES + lane;
            if (element < INPUTS) {
                let row = first_row + element % TILE_ROWS;
                let tap = row / IN_GROUPS;
                let at = min(first + element / TILE_ROWS, pixel_count - 1u);
                let image = images.first + part + at / pixels * PARTS;
                // Wraps to a huge number above the first row.
                let y = at % pixels / OUT_WIDTH * STRIDE_Y + tap / KERNEL_WIDTH * DILATION_Y - TOP;
                let x = at % OUT_WIDTH * STRIDE_X + tap % KERNEL_WIDTH * DILATION_X - LEFT;
                let pixel =
                    (image * IN_HEIGHT + min(y, IN_HEIGHT - 1u)) * IN_WIDTH + min(x, IN_WIDTH - 1u);
                let inside = row < bias_row && y < IN_HEIGHT && x < IN_WIDTH;
                let value =
                    select(vec4f(), load_input(input[pixel * IN_GROUPS + row % IN_GROUPS]), inside);
                input_tile[element] = select(value, vec4f(1.0, 0.0, 0.0, 0.0), row == bias_row);
            }
        }
        @unroll for (var l = 0u; l < GRADIENT_LOADS; l++) {
            let element = l * LANES + lane;
            if (element < GRADIENTS) {
                let at = first + element / COLUMN_LANES;
                let image = images.first + part + min(at, pixel_count - 1u) / pixels * PARTS;
                let column = min(first_group + element % COLUMN_LANES, OUT_GROUPS - 1u);
                let value = load_output(output_gradient[(image * pixels + at % pixels) * OUT_GROUPS
                    + column]);
                gradient_tile[element] = select(vec4f(), value, at < pixel_count);
            }
        }
        workgroupBarrier();
        for (var d = 0u; d < DEEP; d++) {
            let gradient = gradient_tile[d * COLUMN_LANES + lane % COLUMN_LANES];
            @unroll for (var r = 0u; r < ROWS; r++) {
                let values = input_tile[d * TILE_ROWS + r * ROW_LANES + row_lane];
                @unroll for (var j = 0u; j < DEPTH; j++) {
                    sum[r * DEPTH + j] = fma(vec4f(values[j]), gradient, sum[r * DEPTH + j]);
                }
            }
        }
    }
    if (group >= OUT_GROUPS) { return; }
    let base = part * (bias_row * 4u + 1u);
    @unroll for (var r = 0u; r < ROWS; r++) {
        let row = first_row + r * ROW_LANES + row_lane;
        @unroll for (var j = 0u; j < DEPTH; j++) {
            if (row * 4u + j <= bias_row * 4u) {
                parts[(base + row * 4u + j) * OUT_GROUPS + group] = sum[r * DEPTH + j];
            }
        }
    }
}
