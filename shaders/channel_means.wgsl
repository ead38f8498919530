// Mean over the pixels of every channel: means[image, group] = Σ_pixel values[image, pixel, group]
// / PIXELS. Grad-CAM's weights, of the gradients of a layer's channels (Selvaraju et al. 2017, eq.
// (1)). One invocation per group of 4 channels of an image.

import constants::LANES;
import package::common::images::Images;

override PIXELS: u32;
override GROUPS: u32;

@group(0) @binding(0) var<uniform> images: Images;
@group(0) @binding(1) var<storage, read> values: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> means: array<vec4f>;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) lane: u32) {
    let group = workgroup.x * LANES + lane;
    if (workgroup.y >= images.count || group >= GROUPS) { return; }
    let image = images.first + workgroup.y;
    var sum = vec4f();
    for (var pixel = 0u; pixel < PIXELS; pixel++) {
        sum += values[(image * PIXELS + pixel) * GROUPS + group];
    }
    means[image * GROUPS + group] = sum / f32(PIXELS);
}
