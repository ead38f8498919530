// The range of images of a dispatch, within buffers that hold clean images first and masked ones
// after them.
struct Images {
    first: u32,
    count: u32,
    batch: u32, // images of the whole batch: the divisor of means
    // 0: the first part or chunk of a batch, whose gradients are set; 1: a later one, whose
    // gradients are added.
    accumulate: u32,
}

// A chunk of a batch, for kernels that need the position of their images: image 0 of their buffers
// is image `place` of the batch.
struct Chunk {
    images: Images,
    place: u32,
}
