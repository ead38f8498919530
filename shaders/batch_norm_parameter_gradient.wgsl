// Second stage of batch norm's backward pass: adds the parts of `batch_norm_gradient_sums` in order
// to get ∂L/∂β = Σg and ∂L/∂γ = Σg·x̂ over all batches of the range. It stores for every batch the
// means for its input's gradient, [batch, group] × 2 vec4f: Σg/N and Σg·x̂/N, or zeros if the
// statistics are constants (after step FREEZE_AFTER).
//
// With FOLD the weights also depend on γ (W → s·W, s = γ/σ). `fold_batch_norm_gradient` adds that
// part. Computing x = z/s from z has the derivative −Σ(∂L/∂x·x)/γ, so that Σg·x̂·(1 − ε/σ_B²)
// remains, or −Σg·μ/σ after FREEZE_AFTER. One workgroup of 64 per group of 4 channels.

import package::common::batch_norm::{Coefficients, images_of_batch};
import package::common::images::Images;
import package::common::norm_parameters::channels;
import package::common::step::Step;

override CHANNELS: u32;
override PIXELS: u32;
override PARTS: u32;
override BATCHES: u32;
override SCALE_INDEX: u32;
override SHIFT_INDEX: u32;
override MEAN_INDEX: u32;
override EPSILON: f32;
override FREEZE_AFTER: u32;
override FOLD: u32;

@group(0) @binding(1) var<uniform> images: Images;
@group(0) @binding(2) var<uniform> current: Step;
@group(0) @binding(3) var<storage, read> parts: array<vec4f>;
@group(0) @binding(4) var<storage, read> factors: array<vec4f>;
@group(0) @binding(5) var<storage, read> coefficients: array<Coefficients>;
@group(0) @binding(6) var<storage, read_write> means: array<vec4f>;
@group(0) @binding(7) var<storage, read_write> gradients: array<f32>;

var<workgroup> sums: array<vec4f, 64>;
var<workgroup> products: array<vec4f, 64>;

fn store(index: u32, group: u32, value: vec4f) {
    for (var c = 0u; c < min(4u, CHANNELS - group * 4u); c++) {
        let at = index + group * 4u + c;
        gradients[at] = select(value[c], gradients[at] + value[c], images.accumulate != 0u);
    }
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) lane: u32) {
    let group = workgroup.x;
    let groups = (CHANNELS + 3u) / 4u;
    let frozen = current.step > FREEZE_AFTER;
    var gamma_gradient = vec4f();
    var beta_gradient = vec4f();
    for (var batch = 0u; batch < BATCHES; batch++) {
        var sum = vec4f();
        var product = vec4f();
        for (var p = lane; p < PARTS; p += 64u) {
            let at = 2u * ((batch * PARTS + p) * groups + group);
            sum += parts[at];
            product += parts[at + 1u];
        }
        workgroupBarrier();
        sums[lane] = sum;
        products[lane] = product;
        workgroupBarrier();
        if (lane == 0u) {
            for (var l = 1u; l < 64u; l++) {
                sum += sums[l];
                product += products[l];
            }
            let own = images_of_batch(batch, BATCHES, images.count, current.count);
            let divisor = f32(max((own.y - own.x) * PIXELS, 1u));
            let at = batch * groups + group;
            means[2u * at] = select(sum / divisor, vec4f(), frozen);
            means[2u * at + 1u] = select(product / divisor, vec4f(), frozen);
            beta_gradient += sum;
            let inverse_deviation = coefficients[at].normalize * factors[2u * group]; // 1/σ_B
            let live = product * (1.0 - EPSILON * inverse_deviation * inverse_deviation);
            let constant = -sum * channels(MEAN_INDEX, group, CHANNELS) * factors[2u * group + 1u];
            gamma_gradient += select(product, select(live, constant, frozen), FOLD != 0u);
        }
    }
    if (lane == 0u) {
        store(SCALE_INDEX, group, gamma_gradient);
        store(SHIFT_INDEX, group, beta_gradient);
    }
}
