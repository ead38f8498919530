// A small picture enlarged bilinearly to an image (torch.nn.functional.interpolate, align_corners
// false).

// The two rows and the two columns of the small picture that a pixel of the image lies between, and
// the shares of the higher ones.
struct Between {
    low: vec2u, // row, column
    high: vec2u,
    part: vec2f,
}

// Of `pixel` of an image of `image` rows and columns, in a picture of `size`.
fn between(pixel: u32, image: vec2u, size: vec2u) -> Between {
    let at = vec2f(vec2u(pixel / image.y, pixel % image.y)) + 0.5;
    let place = max(at * vec2f(size) / vec2f(image) - 0.5, vec2f());
    let low = min(vec2u(place), size - 1u);
    return Between(low, min(low + 1u, size - 1u), place - vec2f(low));
}

// Between `low` and `high`, exactly `low` where they are equal, so that a constant channel stays
// constant.
fn blend(low: vec4f, high: vec4f, part: f32) -> vec4f {
    return low + part * (high - low);
}
