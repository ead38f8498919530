// The samples of Score-CAM (Wang et al. 2020, eqs. (3) and (4)): sample k of an image x is
// b + H_k·(x − b), with H_k channel k of a layer, upsampled to the image and brought to 0..1 by
// `ranges`, 0 where all of its values are equal; b is the image's baseline. `layer` and `ranges`
// hold the images that the chunk touches, from the one at `current.position` on; other buffers are
// as in `sample_images`. One invocation per group of 4 channels of an image's pixel.

import constants::LANES;
import package::common::step::Step;
import package::common::channels::real_channels;
import package::common::enlarged::{between, blend};
import package::common::samples::place_of;

override HEIGHT: u32;
override WIDTH: u32;
override CHANNELS: u32;
override LAYER_HEIGHT: u32;
override LAYER_WIDTH: u32;
override LAYER_GROUPS: u32;

@group(0) @binding(0) var<uniform> current: Step;
@group(0) @binding(1) var<storage, read> pixels: array<vec4f>;
@group(0) @binding(2) var<storage, read> classes: array<u32>;
@group(0) @binding(3) var<storage, read> baselines: array<vec4f>;
@group(0) @binding(4) var<storage, read> layer: array<vec4f>;
@group(0) @binding(5) var<storage, read> ranges: array<vec4f>;
@group(0) @binding(6) var<storage, read_write> samples: array<vec4f>;
@group(0) @binding(7) var<storage, read_write> sample_classes: array<u32>;

// Group `group` at a pixel of the layer.
fn layer_at(image: u32, row: u32, column: u32, group: u32) -> vec4f {
    return layer[((image * LAYER_HEIGHT + row) * LAYER_WIDTH + column) * LAYER_GROUPS + group];
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) lane: u32) {
    let groups = (CHANNELS + 3u) / 4u;
    let elements = HEIGHT * WIDTH * groups;
    let element = workgroup.x * LANES + lane;
    let slot = workgroup.y;
    if (slot >= current.count || element >= elements) { return; }
    let own = place_of(current, slot);
    if (element == 0u) { sample_classes[slot] = classes[own.image]; }
    let image = own.image - current.position;
    let group = own.sample / 4u;
    let place = between(element / groups, vec2u(HEIGHT, WIDTH), vec2u(LAYER_HEIGHT, LAYER_WIDTH));
    let low = place.low;
    let high = place.high;
    let values = blend(
        blend(layer_at(image, low.x, low.y, group), layer_at(image, low.x, high.y, group),
            place.part.y),
        blend(layer_at(image, high.x, low.y, group), layer_at(image, high.x, high.y, group),
            place.part.y),
        place.part.x,
    );
    let range = 2u * (image * LAYER_GROUPS + group);
    let widths = ranges[range + 1u] - ranges[range];
    let shares = select((values - ranges[range]) / widths, vec4f(), widths == vec4f());
    let share = shares[own.sample % 4u];
    let count = arrayLength(&baselines) / elements;
    let b = baselines[own.image % count * elements + element];
    let masked = b + share * (pixels[own.image * elements + element] - b);
    samples[slot * elements + element] =
        select(vec4f(), masked, real_channels(element % groups, CHANNELS));
}
