// The range of images a dispatch works on, within buffers that hold clean images first and masked
// ones after them.
struct Images {
    first: u32,
    count: u32,
    batch: u32, // images of the whole batch: the divisor of means
    // 0: the first part or chunk of a batch, gradients are set; 1: a later one, they are added to.
    accumulate: u32,
}

// A chunk of a batch, for kernels that must know which images theirs are: image 0 of their buffers
// is image `place` of the batch.
struct Chunk {
    images: Images,
    place: u32,
}
