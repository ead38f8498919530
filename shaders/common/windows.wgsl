// The position of the window of an output pixel in its image, for convolutions as matrix products,
// whose rows are the pixels of all images.
struct Window {
    image: u32, // the image's first group of channels
    y: u32, // of the first tap; above the first row it wraps to a huge number
    x: u32, // likewise
}

// The window of row `row` of the images from `first` on, with `image_groups` groups each, and with
// outputs of `pixels` pixels in rows of `width`; `stride` and zeros in `front` of rows and columns.
fn window_of(
    row: u32, first: u32, image_groups: u32, pixels: u32, width: u32, stride: vec2u, front: vec2u
) -> Window {
    return Window((first + row / pixels) * image_groups, row % pixels / width * stride.x - front.x,
        row % width * stride.y - front.y);
}
