// PReLU's slopes.

// Places of the slopes of the channels of group `group`, from `first` on: of each, or of all one.
// What is beyond the channels has that of the last.
fn slopes_of(group: u32, channels: u32, first: u32, per_channel: u32) -> vec4u {
    let channel = min(vec4u(group * 4u) + vec4u(0u, 1u, 2u, 3u), vec4u(channels - 1u));
    return vec4u(first) + channel * per_channel;
}

// x, or below 0 slope · x.
fn bent(x: vec4f, slope: vec4f) -> vec4f {
    return select(slope * x, x, x > vec4f());
}
