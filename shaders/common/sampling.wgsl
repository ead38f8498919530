// What a sample of an image is, for attribution methods: KIND of `sample_images` and
// `accumulate_scores` (src/saliency/kinds.rs has the same numbers).

const CLEAN = 0u; // the image itself
const NOISY = 1u; // with normal noise
const ON_PATH = 2u; // a point on the path from a baseline
const ON_RANDOM_PATH = 3u; // a random point on the path from a random baseline to a noisy copy
const COVERED = 4u; // with a window of the baseline; sample 0 is the image itself
const MASKED = 5u; // through a random mask, over the baseline
