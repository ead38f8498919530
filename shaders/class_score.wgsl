// The score of each sample's class; KIND selects the score. With OCCLUSION, the score of the image
// itself, its sample 0, is stored in `clean` for later chunks. One invocation per sample.

import constants::LANES;
import kinds::score::{LOG_PROBABILITY, PROBABILITY};
import package::common::step::Step;
import package::common::samples::place_of;
import package::common::logits::{logits, softmax_at};

override CLASSES: u32;
override CLASS_STRIDE: u32;
override KIND: u32; // kinds::score
override OCCLUSION: u32 = 0u;

@group(0) @binding(0) var<uniform> current: Step;
@group(0) @binding(2) var<storage, read> sample_classes: array<u32>;
@group(0) @binding(3) var<storage, read_write> scores: array<f32>;
@group(0) @binding(4) var<storage, read_write> clean: array<f32>;

@compute @workgroup_size(LANES)
fn main(@builtin(global_invocation_id) invocation: vec3u) {
    let slot = invocation.x;
    if (slot >= current.count) { return; }
    let base = slot * CLASS_STRIDE;
    let softmax = softmax_at(base, CLASSES);
    let logit = logits[base + sample_classes[slot]];
    let log_probability = (logit - softmax.highest) - softmax.log_sum;
    var score: f32;
    switch KIND {
        case LOG_PROBABILITY: { score = log_probability; }
        case PROBABILITY: { score = exp(log_probability); }
        default: { score = logit; } // LOGIT
    }
    scores[slot] = score;
    let place = place_of(current, slot);
    if (OCCLUSION != 0u && place.sample == 0u) { clean[place.image] = score; }
}
