// Grad-CAM: the sum of a layer's channels weighted by the means of their gradients, Σ_k w_k A_k,
// upsampled bilinearly to the image (torch.nn.functional.interpolate, align_corners false;
// Selvaraju et al. 2017, eq. (2)). With `rectified` a ReLU is applied to the sum, before it is
// upsampled; with `guided` the map is multiplied by `guide`, the chunk's gradients of guided
// back-propagation (Guided Grad-CAM). `layer` and `weights` belong to the chunk, `attributions` to
// the set; without `guided` every channel of a pixel gets the same value. One invocation per pixel.

import constants::LANES;
import package::common::step::Step;
import package::common::channels::real_channels;
import package::common::enlarged::between;

override HEIGHT: u32;
override WIDTH: u32;
override CHANNELS: u32;
override LAYER_HEIGHT: u32;
override LAYER_WIDTH: u32;
override LAYER_GROUPS: u32;

@group(0) @binding(0) var<uniform> current: Step;
@group(0) @binding(1) var<storage, read> layer: array<vec4f>;
@group(0) @binding(2) var<storage, read> weights: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> attributions: array<vec4f>;
@if(guided) @group(0) @binding(4) var<storage, read> guide: array<vec4f>;

// Σ_k w_k A_k at a pixel of the layer.
@if(rectified) fn weighted(slot: u32, pixel: u32) -> f32 {
    var sum = vec4f();
    for (var group = 0u; group < LAYER_GROUPS; group++) {
        let at = (slot * LAYER_HEIGHT * LAYER_WIDTH + pixel) * LAYER_GROUPS + group;
        sum += weights[slot * LAYER_GROUPS + group] * layer[at];
    }
    return (sum.x + sum.y) + (sum.z + sum.w);
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) lane: u32) {
    let pixel = workgroup.x * LANES + lane;
    let slot = workgroup.y;
    if (slot >= current.count || pixel >= HEIGHT * WIDTH) { return; }
    let place = between(pixel, vec2u(HEIGHT, WIDTH), vec2u(LAYER_HEIGHT, LAYER_WIDTH));
    let low = place.low;
    let high = place.high;
    var value: f32;
    @if(rectified) {
        let corners = max(vec4f(
            weighted(slot, low.x * LAYER_WIDTH + low.y),
            weighted(slot, low.x * LAYER_WIDTH + high.y),
            weighted(slot, high.x * LAYER_WIDTH + low.y),
            weighted(slot, high.x * LAYER_WIDTH + high.y),
        ), vec4f());
        let rows = mix(corners.xz, corners.yw, place.part.y);
        value = mix(rows.x, rows.y, place.part.x);
    }
    @if(!rectified) {
        let base = slot * LAYER_HEIGHT * LAYER_WIDTH;
        var sum = vec4f();
        for (var group = 0u; group < LAYER_GROUPS; group++) {
            let top = mix(
                layer[(base + low.x * LAYER_WIDTH + low.y) * LAYER_GROUPS + group],
                layer[(base + low.x * LAYER_WIDTH + high.y) * LAYER_GROUPS + group],
                place.part.y,
            );
            let bottom = mix(
                layer[(base + high.x * LAYER_WIDTH + low.y) * LAYER_GROUPS + group],
                layer[(base + high.x * LAYER_WIDTH + high.y) * LAYER_GROUPS + group],
                place.part.y,
            );
            sum += weights[slot * LAYER_GROUPS + group] * mix(top, bottom, place.part.x);
        }
        value = (sum.x + sum.y) + (sum.z + sum.w);
    }
    let groups = (CHANNELS + 3u) / 4u;
    for (var group = 0u; group < groups; group++) {
        var values = vec4f(value);
        @if(guided) values *= guide[(slot * HEIGHT * WIDTH + pixel) * groups + group];
        attributions[((current.position + slot) * HEIGHT * WIDTH + pixel) * groups + group] =
            select(vec4f(), values, real_channels(group, CHANNELS));
    }
}
