// The loss of Saliency Guided Training and its gradient with respect to the logits. Algorithm 1,
// step 4: L = mean CE(f(X), y) + LAMBDA · mean D_KL(p ‖ p̃), p = softmax f(X) of the clean image,
// p̃ that of its masked copy, means over the whole batch of N.
//
// sums[i] = (cross entropy, D_KL, 1 if the first highest logit is the label's, 0) of clean image i;
// ∂L/∂z = (p − onehot)/N + LAMBDA/N · p ⊙ (log p − log p̃ − D_KL), without the second term with
// STOP_GRADIENT; ∂L/∂z̃ = LAMBDA/N · (p̃ − p). With SGT = 0 the loss is the cross entropy and there
// is no masked half; an image without a masked twin (the step's last `unmasked` ones) has D_KL = 0.
// With `weighted`, the mean of the cross entropy is PyTorch's weighted one, Σ w_y CE / Σ w_y over
// the whole batch: its gradient has w_y / Σ w_y in the place of 1/N, and `sums` have
// N · w_y / Σ w_y · CE, whose mean it is. D_KL compares two predictions, not a prediction with a
// label, and keeps 1/N.
// What rounding leaves below 0 of a divergence counts as 0 in `sums`. Rows of logits have
// CLASS_STRIDE floats, the padding's gradient is 0. `images` is the clean range; masked logits lie
// `count` images after the clean ones. One invocation per image.

import constants::LANES;
import package::common::images::Images;
import package::common::step::Step;
import package::common::logits::{Softmax, logits, softmax_at};

override CLASSES: u32;
override CLASS_STRIDE: u32;
override LAMBDA: f32 = 1.0;
override STOP_GRADIENT: u32 = 0u;
override SGT: u32 = 1u;

@group(0) @binding(0) var<uniform> images: Images;
@group(0) @binding(2) var<storage, read> labels: array<u32>;
@group(0) @binding(3) var<storage, read_write> gradient: array<f32>;
@group(0) @binding(4) var<storage, read_write> sums: array<vec4f>;
@group(0) @binding(5) var<uniform> current: Step;
// The weight of each class.
@if(weighted) @group(0) @binding(6) var<storage, read> class_weights: array<f32>;

@compute @workgroup_size(LANES)
fn main(@builtin(global_invocation_id) invocation: vec3u) {
    if (invocation.x >= images.count) { return; }
    let image = images.first + invocation.x;
    let clean_base = image * CLASS_STRIDE;
    let masked_base = (image + images.count) * CLASS_STRIDE;
    let label = labels[image];
    let is_masked = SGT != 0u && invocation.x + current.unmasked < images.count;
    let clean = softmax_at(clean_base, CLASSES);
    let share = 1.0 / f32(images.batch);
    let weight = LAMBDA * share;
    var label_share = share;
    @if(weighted) { label_share = class_weights[label] / current.class_weights; }

    var others = 0.0; // 1 − p of the label, without the cancellation where p is close to 1
    @unroll(16) for (var c = 0u; c < CLASSES; c++) {
        if (c != label) { others += exp(logits[clean_base + c] - clean.highest - clean.log_sum); }
    }
    var masked: Softmax;
    var divergence = 0.0;
    if (is_masked) {
        masked = softmax_at(masked_base, CLASSES);
        @unroll(16) for (var c = 0u; c < CLASSES; c++) {
            let log_p = logits[clean_base + c] - clean.highest - clean.log_sum;
            let log_q = logits[masked_base + c] - masked.highest - masked.log_sum;
            divergence += exp(log_p) * (log_p - log_q);
        }
    }
    @unroll(16) for (var c = 0u; c < CLASS_STRIDE; c++) {
        var to_clean = 0.0;
        var to_masked = 0.0;
        if (c < CLASSES) {
            let log_p = logits[clean_base + c] - clean.highest - clean.log_sum;
            let p = exp(log_p);
            to_clean = label_share * select(p, -others, c == label);
            if (is_masked) {
                let log_q = logits[masked_base + c] - masked.highest - masked.log_sum;
                if (STOP_GRADIENT == 0u) { to_clean += weight * p * (log_p - log_q - divergence); }
                to_masked = weight * (exp(log_q) - p);
            }
        }
        gradient[clean_base + c] = to_clean;
        if (is_masked) { gradient[masked_base + c] = to_masked; }
    }
    var cross_entropy = (clean.highest - logits[clean_base + label]) + clean.log_sum;
    @if(weighted) { cross_entropy *= f32(images.batch) * label_share; }
    // Not `max`, which may take a NaN for 0.
    let never_negative = select(divergence, 0.0, divergence < 0.0);
    sums[image] =
        vec4f(cross_entropy, never_negative, select(0.0, 1.0, clean.predicted == label), 0.0);
}
