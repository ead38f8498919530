// The logits of a batch, [image, class] with padded rows, and their softmax. Kernels that import
// this module have the logits at binding 1.
@group(0) @binding(1) var<storage, read> logits: array<f32>;

// The softmax of one image in three numbers: log softmax(z)[c] = z[c] − highest − log_sum.
struct Softmax {
    highest: f32,
    log_sum: f32, // log Σ exp(z − highest)
    predicted: u32, // class of the highest logit, the first of equals
}

// Classes an iteration of a loop: llvmpipe ends an invocation's loops after 65,535 iterations in
// all, and there may be 65,536 classes.
const CLASSES_AT_ONCE = 16u;

// Of the row that starts at `base`.
fn softmax_at(base: u32, classes: u32) -> Softmax {
    var highest = logits[base];
    var predicted = 0u;
    for (var first = 0u; first < classes; first += CLASSES_AT_ONCE) {
        @unroll for (var j = 0u; j < CLASSES_AT_ONCE; j++) {
            if (first + j < classes) {
                let z = logits[base + first + j];
                if (z > highest) {
                    highest = z;
                    predicted = first + j;
                }
            }
        }
    }
    var sum = 0.0;
    for (var first = 0u; first < classes; first += CLASSES_AT_ONCE) {
        @unroll for (var j = 0u; j < CLASSES_AT_ONCE; j++) {
            if (first + j < classes) { sum += exp(logits[base + first + j] - highest); }
        }
    }
    // The sum is 1 or more, but a driver's logarithm of it may be slightly below 0. (`max` may
    // replace a NaN by 0.)
    let log_sum = log(sum);
    return Softmax(highest, select(log_sum, 0.0, log_sum < 0.0), predicted);
}
