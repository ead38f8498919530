// Grad-CAM: the sum of a layer's channels weighted by the means of their gradients, Σ_k w_k A_k,
// without a ReLU on the sum, upsampled bilinearly to the image (torch.nn.functional.interpolate,
// align_corners false; Selvaraju et al. 2017, eq. (2)). `layer` and `weights` belong to the chunk,
// `attributions` to the set; every channel of a pixel gets the same value. One invocation per
// pixel.

import constants::LANES;
import package::common::step::Step;
import package::common::channels::real_channels;

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

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) lane: u32) {
    let pixel = workgroup.x * LANES + lane;
    let slot = workgroup.y;
    if (slot >= current.count || pixel >= HEIGHT * WIDTH) { return; }
    let size = vec2u(LAYER_HEIGHT, LAYER_WIDTH);
    let at = vec2f(vec2u(pixel / WIDTH, pixel % WIDTH)) + 0.5;
    let place = max(at * vec2f(size) / vec2f(f32(HEIGHT), f32(WIDTH)) - 0.5, vec2f());
    let low = min(vec2u(place), size - 1u);
    let high = min(low + 1u, size - 1u);
    let part = place - vec2f(low);
    let base = slot * LAYER_HEIGHT * LAYER_WIDTH;
    var sum = vec4f();
    for (var group = 0u; group < LAYER_GROUPS; group++) {
        let top = mix(
            layer[(base + low.x * LAYER_WIDTH + low.y) * LAYER_GROUPS + group],
            layer[(base + low.x * LAYER_WIDTH + high.y) * LAYER_GROUPS + group],
            part.y,
        );
        let bottom = mix(
            layer[(base + high.x * LAYER_WIDTH + low.y) * LAYER_GROUPS + group],
            layer[(base + high.x * LAYER_WIDTH + high.y) * LAYER_GROUPS + group],
            part.y,
        );
        sum += weights[slot * LAYER_GROUPS + group] * mix(top, bottom, part.x);
    }
    let value = (sum.x + sum.y) + (sum.z + sum.w);
    let groups = (CHANNELS + 3u) / 4u;
    for (var group = 0u; group < groups; group++) {
        attributions[((current.position + slot) * HEIGHT * WIDTH + pixel) * groups + group] =
            select(vec4f(), vec4f(value), real_channels(group, CHANNELS));
    }
}
