// The pixels of a pooling window along one axis of `size` pixels with `padding` zeros in front.
// `start` is the beginning of the window, counted from the first zero.

// The window's pixels inside the image: the first, and the one behind the last.
fn inside(start: u32, size: u32, kernel: u32, padding: u32) -> vec2u {
    return min(max(vec2u(start, start + kernel), vec2u(padding)) - padding, vec2u(size));
}

// Number of pixels of the mean of a window among `padding` zeros in front and behind: with
// `counts_padding` including padded ones, but none beyond the padding, which a last window may
// reach.
fn averaged(start: u32, size: u32, kernel: u32, padding: vec2u, counts_padding: u32) -> u32 {
    if (counts_padding != 0u) { return min(start + kernel, size + padding.x + padding.y) - start; }
    let own = inside(start, size, kernel, padding.x);
    return own.y - own.x;
}
