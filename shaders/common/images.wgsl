// The range of images a dispatch works on, within buffers that hold clean images first and masked ones after them.
struct Images {
    first: u32,
    count: u32,
    batch: u32, // images of the whole batch: the divisor of means
    accumulate: u32, // 0: the first part of a batch, gradients are set; 1: a later part, they are added to
}
