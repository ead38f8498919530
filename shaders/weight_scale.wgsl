// The constants of a weight quantizer, per output channel, from `weight_range`'s statistics: of the
// channel itself (PER_CHANNEL), or of the whole tensor, the same for every channel. What they are:
// common/quantizer.wgsl. One invocation per channel.

import kinds::quantizer::{AFFINE, BINARY, DOREFA, SAWB, SYMMETRIC};
import package::common::quantizer::precise_tanh;

const SMALLEST_NORMAL = 1.1754944e-38;

override OUT_CHANNELS: u32;
override PER_CHANNEL: u32;
override QUANTIZER: u32;
override LEVELS: f32;
// SAWB's c₁ and c₁ + c₂ for this width: clip = c₁·√E[w²] + c₂·E|w| = c₁·(√E[w²] − E|w|) + (c₁ +
// c₂)·E|w|.
override SAWB_1: f32;
override SAWB_SUM: f32;
// The share of √E[w²] below which SAWB's formula, a fit to common distributions, does not hold.
override SAWB_LEAST: f32;

@group(0) @binding(0) var<storage, read> statistics: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> quantizer: array<vec4f>;

// What a channel's statistics are multiplied by to be relative to the tensor's largest weight.
fn share(channel: u32, largest: f32) -> f32 {
    return max(abs(statistics[channel].x), abs(statistics[channel].y)) / largest;
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    let channel = id.x;
    if (channel >= OUT_CHANNELS) { return; }
    var range = statistics[channel];
    var largest = max(abs(range.x), abs(range.y));
    if (PER_CHANNEL == 0u) {
        @unroll(16) for (var c = 0u; c < OUT_CHANNELS; c++) {
            range = vec4f(min(range.x, statistics[c].x), max(range.y, statistics[c].y), 0.0, 0.0);
        }
        largest = max(abs(range.x), abs(range.y));
        // Mean of the channels' means; mean of their variances and of the means' own.
        @unroll(16) for (var c = 0u; c < OUT_CHANNELS && largest > 0.0; c++) {
            range.z += statistics[c].z * share(c, largest);
        }
        range.z /= f32(OUT_CHANNELS);
        @unroll(16) for (var c = 0u; c < OUT_CHANNELS && largest > 0.0; c++) {
            let scale = share(c, largest);
            let deviation = statistics[c].z * scale - range.z;
            range.w += statistics[c].w * scale * scale + deviation * deviation;
        }
        range.w /= f32(OUT_CHANNELS);
    }
    switch QUANTIZER {
        case AFFINE: {
            let low = min(range.x, 0.0);
            let high = max(range.y, 0.0);
            let step = (high - low) / LEVELS;
            // All weights are 0, or too small to divide by their step.
            let delta = select(1.0, step, step >= SMALLEST_NORMAL);
            quantizer[channel] = vec4f(delta, round(-low / delta), low, high);
        }
        case DOREFA: { quantizer[channel] = vec4f(precise_tanh(largest), 0.0, 0.0, 0.0); }
        case SAWB: {
            // c₁ and c₂ nearly cancel: the difference of root mean square and mean is variance /
            // (their sum).
            let root = sqrt(range.w + range.z * range.z);
            let estimate =
                SAWB_1 * range.w / max(root + range.z, SMALLEST_NORMAL) + SAWB_SUM * range.z;
            // Weights beyond the clip get no gradient, which flattens the others; of flat weights
            // the estimate is small and would cut off still more. From `least` down the clip rises
            // to the largest weight, which it is from an estimate of 0 down.
            let least = max(SAWB_LEAST * root, SMALLEST_NORMAL);
            let above = 1.0 - (1.0 - least) * (max(estimate, 0.0) / least);
            let clip = largest * select(above, estimate, estimate >= least);
            quantizer[channel] = vec4f(clip, 2.0 * clip / LEVELS, 0.0, 0.0);
        }
        case SYMMETRIC: {
            let highest = 0.5 * (LEVELS - 1.0);
            let step = largest / highest;
            quantizer[channel] =
                vec4f(select(1.0, step, step >= SMALLEST_NORMAL), -highest, highest, 0.0);
        }
        case BINARY: { quantizer[channel] = vec4f(largest * range.z, 0.0, 0.0, 0.0); }
        default: { quantizer[channel] = vec4f(); }
    }
}
