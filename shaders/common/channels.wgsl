// Channels come in groups of 4, the last one padded with zeros.

// Which of the 4 channels of group `group` exist.
fn real_channels(group: u32, channels: u32) -> vec4<bool> {
    return vec4u(group * 4u) + vec4u(0u, 1u, 2u, 3u) < vec4u(channels);
}
