// The constants of a weight quantizer, per output channel, from `weight_range`'s statistics: of the channel itself (PER_CHANNEL), or of the
// whole tensor, the same for every channel. What they are: common/quantizer.wgsl. One invocation a channel.

import package::common::quantizer::{AFFINE, DOREFA, SAWB};

override OUT_CHANNELS: u32;
override IN_ELEMENTS: u32;
override PER_CHANNEL: u32;
override QUANTIZER: u32;
override LEVELS: f32;
// SAWB's (c₁, c₂) for this width: clip = c₁·√E[w²] + c₂·E|w|.
override SAWB_1: f32;
override SAWB_2: f32;

@group(0) @binding(0) var<storage, read> statistics: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> quantizer: array<vec4f>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    let channel = id.x;
    if (channel >= OUT_CHANNELS) { return; }
    var range = statistics[channel];
    var count = f32(IN_ELEMENTS);
    if (PER_CHANNEL == 0u) {
        range = statistics[0];
        for (var c = 1u; c < OUT_CHANNELS; c++) {
            let other = statistics[c];
            range = vec4f(min(range.x, other.x), max(range.y, other.y), range.zw + other.zw);
        }
        count *= f32(OUT_CHANNELS);
    }
    let largest = max(abs(range.x), abs(range.y));
    switch QUANTIZER {
        case AFFINE: {
            let low = min(range.x, 0.0);
            let high = max(range.y, 0.0);
            let delta = select((high - low) / LEVELS, 1.0, high == low);
            quantizer[channel] = vec4f(delta, round(-low / delta), low, high);
        }
        case DOREFA: { quantizer[channel] = vec4f(tanh(largest), 0.0, 0.0, 0.0); }
        case SAWB: {
            let estimate = SAWB_1 * sqrt(range.w / count) + SAWB_2 * range.z / count;
            let clip = select(largest, estimate, estimate > 0.0);
            quantizer[channel] = vec4f(clip, 2.0 * clip / LEVELS, 0.0, 0.0);
        }
        default: { quantizer[channel] = vec4f(); }
    }
}
