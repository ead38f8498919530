// Statistics of a layer's weights per output channel: (min, max, mean and variance of |w|/m) over
// the IN_ELEMENTS weights of each channel, with m = max|w|, because squares of very large or small
// weights do not fit f32. Mean and variance are 0 if m is 0 (or too small to divide by). The
// variance is computed about the mean: SAWB's clip depends on the difference of E[w²] and E|w|²,
// which would lose its digits. Weights are in PyTorch's order [out, in, ky, kx], so a channel is
// contiguous. One invocation per channel.

override OUT_CHANNELS: u32;
override IN_ELEMENTS: u32;
override WEIGHT_INDEX: u32;

const SMALLEST_NORMAL = 1.1754944e-38;
// Summed in blocks, because a long chain of additions to a growing sum loses digits.
const BLOCK = 64u;

@group(0) @binding(0) var<storage, read> parameters: array<f32>;
@group(0) @binding(1) var<storage, read_write> statistics: array<vec4f>;

// Mean over a channel of (|w|/largest − center)^power, power 1 or 2.
fn mean(base: u32, largest: f32, center: f32, squared: bool) -> f32 {
    var sum = 0.0;
    for (var start = 0u; start < IN_ELEMENTS; start += BLOCK) {
        var block = 0.0;
        @unroll(16) for (var e = start; e < min(start + BLOCK, IN_ELEMENTS); e++) {
            let deviation = abs(parameters[base + e]) / largest - center;
            block += select(deviation, deviation * deviation, squared);
        }
        sum += block;
    }
    return sum / f32(IN_ELEMENTS);
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    let channel = id.x;
    if (channel >= OUT_CHANNELS) { return; }
    let base = WEIGHT_INDEX + channel * IN_ELEMENTS;
    var low = parameters[base];
    var high = low;
    @unroll(16) for (var e = 1u; e < IN_ELEMENTS; e++) {
        let w = parameters[base + e];
        low = min(low, w);
        high = max(high, w);
    }
    let largest = max(abs(low), abs(high));
    var center = 0.0;
    var variance = 0.0;
    if (largest >= SMALLEST_NORMAL) {
        center = mean(base, largest, 0.0, false);
        variance = mean(base, largest, center, true);
    }
    statistics[channel] = vec4f(low, high, center, variance);
}
