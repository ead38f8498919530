// Second stage of the statistics of a batch. It combines the parts of `batch_norm_moments` in order
// (Chan et al. 1979) and updates the running statistics as torch.nn.BatchNorm2d does: mean ←
// (1 − MOMENTUM)·mean + MOMENTUM·μ_B, and likewise the variance with the unbiased σ_B². It writes
// the coefficients of y = γ(x − μ_B)/√(σ_B² + ε) + β for every batch, [batch, group]. Batches of a
// range are processed in their order, the clean images before the masked ones. A batch without
// images is skipped, as is a batch with a single value per channel, which has no variance. After
// step FREEZE_AFTER running statistics do not change and replace those of the batch. One workgroup
// of 64 per group of 4 channels.

import package::common::batch_norm::{
    Coefficients, images_of_batch, reciprocal, rows_of_part,
};
import package::common::images::Images;
import package::common::norm_parameters::{channels, parameters};
import package::common::step::Step;

override CHANNELS: u32;
override PIXELS: u32;
override PARTS: u32;
override BATCHES: u32;
override SCALE_INDEX: u32;
override SHIFT_INDEX: u32;
override MEAN_INDEX: u32;
override VARIANCE_INDEX: u32;
override COUNT_INDEX: u32;
override EPSILON: f32;
override MOMENTUM: f32;
override FREEZE_AFTER: u32;

@group(0) @binding(1) var<uniform> images: Images;
@group(0) @binding(2) var<uniform> current: Step;
@group(0) @binding(3) var<storage, read> moments: array<vec4f>;
@group(0) @binding(4) var<storage, read> factors: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> coefficients: array<Coefficients>;

struct Moments {
    count: f32,
    mean: vec4f,
    squares: vec4f,
}

var<workgroup> shared_moments: array<Moments, 64>;

fn combine(a: Moments, b: Moments) -> Moments {
    if (b.count == 0.0) { return a; }
    let count = a.count + b.count;
    let share = b.count / count;
    let difference = b.mean - a.mean;
    return Moments(count, a.mean + difference * share,
        a.squares + b.squares + difference * difference * (a.count * share));
}

fn move_on(index: u32, group: u32, value: vec4f) {
    let moved = (1.0 - MOMENTUM) * channels(index, group, CHANNELS) + MOMENTUM * value;
    for (var c = 0u; c < min(4u, CHANNELS - group * 4u); c++) {
        parameters[index + group * 4u + c] = moved[c];
    }
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) lane: u32) {
    let group = workgroup.x;
    let groups = (CHANNELS + 3u) / 4u;
    let frozen = current.step > FREEZE_AFTER;
    for (var batch = 0u; batch < BATCHES; batch++) {
        let among = images_of_batch(batch, BATCHES, images.count, current.count);
        let rows = (among.y - among.x) * PIXELS;
        var own = Moments();
        for (var p = lane; p < PARTS; p += 64u) {
            let part = rows_of_part(p, PARTS, rows);
            let at = 2u * ((batch * PARTS + p) * groups + group);
            own = combine(own, Moments(f32(part.y - part.x), moments[at], moments[at + 1u]));
        }
        workgroupBarrier();
        shared_moments[lane] = own;
        workgroupBarrier();
        if (lane == 0u) {
            for (var l = 1u; l < 64u; l++) { own = combine(own, shared_moments[l]); }
            let factor = factors[2u * group];
            let inverse = reciprocal(factor);
            let variance = own.squares / max(own.count, 1.0) * inverse * inverse;
            var center = own.mean;
            var normalize = inverse / sqrt(variance + EPSILON);
            if (frozen) {
                center = factor * channels(MEAN_INDEX, group, CHANNELS);
                normalize = inverse * factors[2u * group + 1u];
            } else if (rows > 1u) {
                move_on(MEAN_INDEX, group, own.mean * inverse);
                move_on(VARIANCE_INDEX, group,
                    own.squares / max(own.count - 1.0, 1.0) * inverse * inverse);
                if (group == 0u) { parameters[COUNT_INDEX] += 1.0; }
            }
            let gamma = channels(SCALE_INDEX, group, CHANNELS);
            coefficients[batch * groups + group] = Coefficients(center, normalize,
                gamma * normalize, channels(SHIFT_INDEX, group, CHANNELS));
        }
    }
}
