// Dropout, in place: values are set to 0 with probability RATE, else divided by 1 − RATE.
// torch.nn.Dropout in training.
//
// The random number is a function of step, LAYER, position in the epoch and element, so that the
// same kernel applied to the gradient repeats it. Clean and masked images have different numbers.
// `values` are those of a chunk. ELEMENTS is the number of vec4 of an image.

import constants::LANES;
import kinds::stream::DROPOUT;
import package::common::images::Chunk;
import package::common::step::Step;
import package::common::random::{random_bits, random_key, uniform01x4};
import package::common::storage::{Output, load_output, store_output};

override ELEMENTS: u32;
override RATE: f32;
override LAYER: u32;

@group(0) @binding(0) var<uniform> chunk: Chunk;
@group(0) @binding(1) var<uniform> current: Step;
@group(0) @binding(2) var<storage, read_write> values: array<Output>;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) lane: u32) {
    let element = workgroup.x * LANES + lane;
    if (workgroup.y >= chunk.images.count || element >= ELEMENTS) { return; }
    let index = chunk.images.first + workgroup.y;
    let image = chunk.place + index;
    let masked = select(0u, 1u, image >= current.count);
    let key = random_key(current.seed_low, current.seed_high, current.step, DROPOUT + LAYER);
    let draw = uniform01x4(random_bits(key, current.position + image - masked * current.count,
        element, masked));
    let scale = 1.0 / max(1.0 - RATE, 1e-7); // nothing is kept at RATE = 1
    let at = index * ELEMENTS + element;
    values[at] =
        store_output(select(vec4f(), load_output(values[at]) * scale, draw >= vec4f(RATE)));
}
