// One round of a judgement: how much of every image it removes, or which sample of the noise it
// adds.
struct Round {
    removed: u32, // features that lead the ranking
    inverted: u32, // 1: all the others are removed instead
    sample: u32, // number of the noise sample
    padding: u32,
}
