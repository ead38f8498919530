// The logits of a batch, [image, class] with padded rows, and their softmax. Kernels that import
// this module have the logits at binding 1.
@group(0) @binding(1) var<storage, read> logits: array<f32>;

// The softmax of one image in three numbers: log softmax(z)[c] = z[c] − highest − log_sum.
struct Softmax {
    highest: f32,
    log_sum: f32, // log Σ exp(z − highest)
    predicted: u32, // class of the highest logit, the first of equals
}

// Of the row that starts at `base`. There may be 65,536 classes.
fn softmax_at(base: u32, classes: u32) -> Softmax {
    var highest = logits[base];
    var predicted = 0u;
    @unroll(16) for (var c = 1u; c < classes; c++) {
        let z = logits[base + c];
        if (z > highest) {
            highest = z;
            predicted = c;
        }
    }
    var sum = 0.0;
    @unroll(16) for (var c = 0u; c < classes; c++) { sum += exp(logits[base + c] - highest); }
    // The sum is 1 or more, but a driver's logarithm of it may be slightly below 0. (`max` may
    // replace a NaN by 0.)
    let log_sum = log(sum);
    return Softmax(highest, select(log_sum, 0.0, log_sum < 0.0), predicted);
}
