// A slice of a convolution's output channels, which one dispatch of `convolution` computes.
struct Slice {
    first_group: u32, // of 4 channels
}
