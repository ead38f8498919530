// Input × gradient: attribution = pixels ⊙ gradient. ELEMENTS is the number of vec4 of an image.

import constants::LANES;
import package::common::images::Images;

override ELEMENTS: u32;

@group(0) @binding(0) var<uniform> images: Images;
@group(0) @binding(1) var<storage, read> pixels: array<vec4f>;
@group(0) @binding(2) var<storage, read> gradient: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> attribution: array<vec4f>;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) lane: u32) {
    let element = workgroup.x * LANES + lane;
    if (workgroup.y >= images.count || element >= ELEMENTS) { return; }
    let at = (images.first + workgroup.y) * ELEMENTS + element;
    attribution[at] = pixels[at] * gradient[at];
}
