// Lowest and highest value of every channel of a layer, upsampled to the image (common/enlarged):
// ranges[image, group, 0 and 1]. They bring Score-CAM's masks to 0..1 (Wang et al. 2020, eq. (4)).
// One invocation per group of 4 channels of an image.

import constants::LANES;
import package::common::images::Images;
import package::common::enlarged::{between, blend};

override HEIGHT: u32;
override WIDTH: u32;
override LAYER_HEIGHT: u32;
override LAYER_WIDTH: u32;
override LAYER_GROUPS: u32;

@group(0) @binding(0) var<uniform> images: Images;
@group(0) @binding(1) var<storage, read> layer: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> ranges: array<vec4f>;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) lane: u32) {
    let group = workgroup.x * LANES + lane;
    if (workgroup.y >= images.count || group >= LAYER_GROUPS) { return; }
    let image = images.first + workgroup.y;
    let base = image * LAYER_HEIGHT * LAYER_WIDTH;
    var lowest = vec4f();
    var highest = vec4f();
    for (var pixel = 0u; pixel < HEIGHT * WIDTH; pixel++) {
        let place = between(pixel, vec2u(HEIGHT, WIDTH), vec2u(LAYER_HEIGHT, LAYER_WIDTH));
        let top = base + place.low.x * LAYER_WIDTH;
        let bottom = base + place.high.x * LAYER_WIDTH;
        let value = blend(
            blend(layer[(top + place.low.y) * LAYER_GROUPS + group],
                layer[(top + place.high.y) * LAYER_GROUPS + group], place.part.y),
            blend(layer[(bottom + place.low.y) * LAYER_GROUPS + group],
                layer[(bottom + place.high.y) * LAYER_GROUPS + group], place.part.y),
            place.part.x,
        );
        lowest = select(min(lowest, value), value, pixel == 0u);
        highest = select(max(highest, value), value, pixel == 0u);
    }
    ranges[2u * (image * LAYER_GROUPS + group)] = lowest;
    ranges[2u * (image * LAYER_GROUPS + group) + 1u] = highest;
}
