// The gradient of a selected scalar of every image with respect to its logits, from which
// back-propagation to the input starts.
//
// TARGET selects the scalar: log softmax at the label, onehot − p; the logit at the label, onehot
// (for a given class, `labels` holds it); the logit, or log softmax, at the predicted class.
// Algorithm 1, step 1. Logits and gradient are [image, class] with rows of CLASS_STRIDE; the
// padding gets 0. One invocation per image.

import constants::LANES;
import kinds::saliency_target::{LOG_SOFTMAX_LABEL, LOGIT_PREDICTED, LOG_SOFTMAX_PREDICTED};
import package::common::images::Images;
import package::common::logits::{logits, softmax_at};

override CLASSES: u32;
override CLASS_STRIDE: u32;
override TARGET: u32; // kinds::saliency_target

@group(0) @binding(0) var<uniform> images: Images;
@group(0) @binding(2) var<storage, read> labels: array<u32>;
@group(0) @binding(3) var<storage, read_write> gradient: array<f32>;

@compute @workgroup_size(LANES)
fn main(@builtin(global_invocation_id) invocation: vec3u) {
    if (invocation.x >= images.count) { return; }
    let image = images.first + invocation.x;
    let base = image * CLASS_STRIDE;
    let softmax = softmax_at(base, CLASSES);
    let class_of_interest = select(labels[image], softmax.predicted,
        TARGET == LOGIT_PREDICTED || TARGET == LOG_SOFTMAX_PREDICTED);
    let of_probability = TARGET == LOG_SOFTMAX_LABEL || TARGET == LOG_SOFTMAX_PREDICTED;
    var others = 0.0; // 1 − p, without the cancellation where p is close to 1
    @unroll(16) for (var c = 0u; c < CLASS_STRIDE; c++) {
        var p = 0.0;
        if (of_probability && c < CLASSES && c != class_of_interest) {
            p = exp(logits[base + c] - softmax.highest - softmax.log_sum);
        }
        gradient[base + c] = -p;
        others += p;
    }
    gradient[base + class_of_interest] = select(1.0, others, of_probability);
}
