// The constants of `lsq`, per output channel (common/quantizer.wgsl): the learned step of the
// channel (PER_CHANNEL) or of the whole tensor, which stand in the parameters from STEP_INDEX on,
// and the ends −Q_n = −(LEVELS + 1)/2 and Q_p = (LEVELS − 1)/2 of the levels. Esser et al. 2020.
// One invocation a channel.

override OUT_CHANNELS: u32;
override PER_CHANNEL: u32;
override LEVELS: f32;
override STEP_INDEX: u32;

@group(0) @binding(0) var<storage, read> parameters: array<f32>;
@group(0) @binding(1) var<storage, read_write> quantizer: array<vec4f>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    let channel = id.x;
    if (channel >= OUT_CHANNELS) { return; }
    let step = parameters[STEP_INDEX + select(0u, channel, PER_CHANNEL != 0u)];
    quantizer[channel] = vec4f(step, -0.5 * (LEVELS + 1.0), 0.5 * (LEVELS - 1.0), 0.0);
}
