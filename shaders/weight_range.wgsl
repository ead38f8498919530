// Statistics of a layer's weights per output channel: (min, max, Σ|w|, Σw²) over the IN_ELEMENTS weights of each channel.
// Weights are in PyTorch's order [out, in, ky, kx], so a channel is contiguous. One invocation a channel.

override OUT_CHANNELS: u32;
override IN_ELEMENTS: u32;
override WEIGHT_INDEX: u32;

@group(0) @binding(0) var<storage, read> parameters: array<f32>;
@group(0) @binding(1) var<storage, read_write> statistics: array<vec4f>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    let channel = id.x;
    if (channel >= OUT_CHANNELS) { return; }
    let base = WEIGHT_INDEX + channel * IN_ELEMENTS;
    let first = parameters[base];
    var range = vec4f(first, first, 0.0, 0.0);
    for (var e = 0u; e < IN_ELEMENTS; e++) {
        let w = parameters[base + e];
        range = vec4f(min(range.x, w), max(range.y, w), range.z + abs(w), range.w + w * w);
    }
    statistics[channel] = range;
}
