// Sums the results of `sgt_loss` over all images: metrics[log_slot] = (Σ cross entropy, Σ D_KL, Σ
// correct, images), set by the first part of a batch and added to by later ones; flags[log_slot] =
// 1 if any of it was NaN or infinite.
//
// One workgroup; every invocation reads each WORKGROUP-th image, then `workgroup_sum` combines
// them.

import constants::WORKGROUP;
import package::common::images::Images;
import package::common::step::Step;
import package::common::floats::are_finite;
import package::common::sums::workgroup_sum;

@group(0) @binding(0) var<uniform> images: Images;
@group(0) @binding(1) var<uniform> current: Step;
@group(0) @binding(2) var<storage, read> sums: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> metrics: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> flags: array<u32>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(local_invocation_index) lane: u32) {
    var sum = vec4f(); // w: how many images were not finite
    for (var image = lane; image < images.count; image += WORKGROUP) {
        let own = sums[images.first + image];
        sum += vec4f(own.xyz, select(1.0, 0.0, all(are_finite(own))));
    }
    let all_images = workgroup_sum(lane, sum);
    if (lane == 0u) {
        let slot = current.log_slot;
        let own = vec4f(all_images.xyz, f32(images.count));
        let flag = select(0u, 1u, all_images.w > 0.0);
        if (current.part == 0u) {
            metrics[slot] = own;
            flags[slot] = flag;
        } else {
            metrics[slot] += own;
            flags[slot] |= flag;
        }
    }
}
