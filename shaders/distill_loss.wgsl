// Distillation: D = mean over the images of a batch of D_KL(t ‖ p), t = softmax of the teacher's
// logits and p of the student's. The term of an image with a masked copy is the mean of the image's
// own and its copy's.
//
// sums[i].x = the term of clean image i. WEIGHT · ∂D/∂z = WEIGHT/N · share · (p − t) is added to
// `gradient`, which has the gradient of the loss. What rounding leaves below 0 of a divergence
// counts as 0 in `sums`. Rows, ranges and masked copies as in `sgt_loss`. One invocation per image.

import constants::LANES;
import package::common::images::Images;
import package::common::step::Step;
import package::common::logits::{logits, softmax_at};

override CLASSES: u32;
override CLASS_STRIDE: u32;
override WEIGHT: f32;
override SGT: u32 = 1u;

@group(0) @binding(0) var<uniform> images: Images;
@group(0) @binding(2) var<storage, read> teacher: array<f32>;
@group(0) @binding(3) var<storage, read_write> gradient: array<f32>;
@group(0) @binding(4) var<storage, read_write> sums: array<vec4f>;
@group(0) @binding(5) var<uniform> current: Step;

// log Σ exp of the teacher's row at `base`.
fn teacher_log_sum(base: u32) -> f32 {
    var highest = teacher[base];
    @unroll(16) for (var c = 1u; c < CLASSES; c++) { highest = max(highest, teacher[base + c]); }
    var sum = 0.0;
    @unroll(16) for (var c = 0u; c < CLASSES; c++) { sum += exp(teacher[base + c] - highest); }
    return highest + log(sum);
}

// D_KL of the row at `base`, whose gradient is added, times `weight`.
fn divergence_at(base: u32, weight: f32) -> f32 {
    let own = softmax_at(base, CLASSES);
    let of_teacher = teacher_log_sum(base);
    var divergence = 0.0;
    @unroll(16) for (var c = 0u; c < CLASSES; c++) {
        let log_p = logits[base + c] - own.highest - own.log_sum;
        let log_t = teacher[base + c] - of_teacher;
        let t = exp(log_t);
        divergence += t * (log_t - log_p);
        gradient[base + c] += weight * (exp(log_p) - t);
    }
    // Not `max`, which may take a NaN for 0.
    return select(divergence, 0.0, divergence < 0.0);
}

@compute @workgroup_size(LANES)
fn main(@builtin(global_invocation_id) invocation: vec3u) {
    if (invocation.x >= images.count) { return; }
    let image = images.first + invocation.x;
    let is_masked = SGT != 0u && invocation.x + current.unmasked < images.count;
    let share = select(1.0, 0.5, is_masked);
    let weight = WEIGHT * share / f32(images.batch);
    var divergence = divergence_at(image * CLASS_STRIDE, weight);
    if (is_masked) {
        divergence += divergence_at((image + images.count) * CLASS_STRIDE, weight);
    }
    sums[image].x = share * divergence;
}
