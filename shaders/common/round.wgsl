// One round of a judgement: the number of features removed from every image, or the index of the
// noise sample.
struct Round {
    removed: u32, // features that lead the ranking
    inverted: u32, // 1: all the others are removed instead
    sample: u32, // number of the noise sample
    padding: u32,
}
