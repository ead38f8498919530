// Statistics of a layer's weights per output channel: (min, max, Σ|w|/m, Σ(w/m)²) over the IN_ELEMENTS weights of each channel, with
// m = max|w|: squares of very large or small weights have no f32. Both sums are 0 where m is 0 (or has too few bits to divide by).
// Weights are in PyTorch's order [out, in, ky, kx], so a channel is contiguous. One invocation a channel.

override OUT_CHANNELS: u32;
override IN_ELEMENTS: u32;
override WEIGHT_INDEX: u32;

const SMALLEST_NORMAL = 1.1754944e-38;
// Added up apart: a long chain of additions to a growing sum loses digits.
const BLOCK = 64u;

@group(0) @binding(0) var<storage, read> parameters: array<f32>;
@group(0) @binding(1) var<storage, read_write> statistics: array<vec4f>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    let channel = id.x;
    if (channel >= OUT_CHANNELS) { return; }
    let base = WEIGHT_INDEX + channel * IN_ELEMENTS;
    var low = parameters[base];
    var high = low;
    for (var e = 1u; e < IN_ELEMENTS; e++) {
        let w = parameters[base + e];
        low = min(low, w);
        high = max(high, w);
    }
    let largest = max(abs(low), abs(high));
    var sums = vec2f();
    if (largest >= SMALLEST_NORMAL) {
        for (var start = 0u; start < IN_ELEMENTS; start += BLOCK) {
            var block = vec2f();
            for (var e = start; e < min(start + BLOCK, IN_ELEMENTS); e++) {
                let share = abs(parameters[base + e]) / largest;
                block += vec2f(share, share * share);
            }
            sums += block;
        }
    }
    statistics[channel] = vec4f(low, high, sums);
}
