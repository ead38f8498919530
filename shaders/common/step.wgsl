// The values of a step. `begin_step` copies one entry of the epoch's table here; a table has one
// entry for every part of a batch.
struct Step {
    step: u32, // of the run, from 1
    epoch: u32, // from 0
    position: u32, // of the part's first image in the epoch's order
    count: u32, // images of this part
    batch: u32, // images of the whole batch
    part: u32, // 0 for the first part of a batch
    log_slot: u32, // where in the metrics ring this batch's sums go
    epoch_images: u32, // images of the epoch: the length of the permutation
    seed_low: u32,
    seed_high: u32,
    learning_rate: f32,
    momentum: f32,
    beta1_correction: f32, // 1 − β₁^step
    beta2_correction: f32, // 1 − β₂^step
    unmasked: u32, // the last so many images of this part have no masked twin; 0 in Algorithm 1
    // 1 masks the features of highest gradient instead of the lowest; 0 in Algorithm 1.
    mask_highest: u32,
    sample: u32, // attribution: the first sample, of the image at `position`
    samples: u32, // attribution: samples an image
    class_weights: f32, // sum of the weights of the whole batch's classes; 0 without
    padding: u32,
}
