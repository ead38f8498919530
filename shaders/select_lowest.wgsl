// Marks the K features (pixels) of every image with the lowest rank value: mask[image, pixel] = 1
// there, else 0. Algorithm 1, step 2.
//
// The rank value is the gradient (its magnitude with RANK_ABS), averaged over channels. The order
// of the sums is the order of the averages; with one channel it is the value itself, unchanged by
// arithmetic. If the step has `mask_highest`, it is the negative of that, so that the K highest are
// marked. Exactly K are marked; ties go to the lower pixel; −0 equals +0; NaN ranks above
// everything.
//
// Radix selection, one workgroup per image: a histogram of the highest 8 bits of the ordered keys
// tells which digit the K-th lowest key has, then the next 8 bits among those, …; after the key's 4
// digits the same over the digits of the pixel number among equal keys. `mask` holds the keys
// meanwhile; every invocation reads back only what it wrote. WORKGROUP must be a power of 2 up to
// 256. Counts are added up within `subgroups` of SUBGROUP invocations first, where there are some;
// integers, so the result is the same.

import constants::{SUBGROUP, WORKGROUP};
import package::common::images::Images;
import package::common::step::Step;
import package::common::floats::ordered_key;

override PIXELS: u32;
override CHANNELS: u32;
override K: u32;
override RANK_ABS: u32 = 0u;

@group(0) @binding(0) var<uniform> images: Images;
@group(0) @binding(1) var<storage, read> gradient: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> mask: array<u32>;
@group(0) @binding(3) var<uniform> current: Step;

const BINS = 256u;
const BINS_EACH = BINS / WORKGROUP;

var<workgroup> histogram: array<atomic<u32>, BINS>;
var<workgroup> subtotals: array<u32, WORKGROUP / SUBGROUP>;
var<workgroup> found: vec2u; // the digit, and how many candidates have a lower one

// The key of one pixel; `at` is its first group of channels.
fn rank_key(at: u32) -> u32 {
    let clear_sign = select(0xffffffffu, 0x7fffffffu, RANK_ABS != 0u);
    let flip_sign = select(0u, 0x80000000u, current.mask_highest != 0u);
    if (CHANNELS == 1u) {
        return ordered_key((bitcast<u32>(gradient[at].x) & clear_sign) ^ flip_sign);
    }
    var sum = 0.0;
    for (var channel = 0u; channel < CHANNELS; channel++) {
        sum += bitcast<f32>(bitcast<u32>(gradient[at + channel / 4u][channel % 4u]) & clear_sign);
    }
    return ordered_key(bitcast<u32>(sum) ^ flip_sign);
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) lane: u32) {
    if (workgroup.x >= images.count) { return; }
    let base = (images.first + workgroup.x) * PIXELS;
    if (K == 0u || K >= PIXELS) {
        for (var pixel = lane; pixel < PIXELS; pixel += WORKGROUP) {
            mask[base + pixel] = select(0u, 1u, K > 0u);
        }
        return;
    }
    let groups = (CHANNELS + 3u) / 4u;
    for (var pixel = lane; pixel < PIXELS; pixel += WORKGROUP) {
        mask[base + pixel] = rank_key((base + pixel) * groups);
    }

    var rank = K; // of the one looked for among the candidates, from 1
    var last_key = 0u;
    var last_pixel = 0u;
    for (var digit = 0u; digit < 8u; digit++) {
        let shift = 24u - digit % 4u * 8u;
        let among_equals = digit >= 4u;
        if (among_equals && shift > 0u && ((PIXELS - 1u) >> shift) == 0u) { continue; }
        let known = 0xffffff00u << shift;
        for (var pixel = lane; pixel < PIXELS; pixel += WORKGROUP) {
            let key = mask[base + pixel];
            let value = select(key, pixel, among_equals);
            let prefix = select(last_key, last_pixel, among_equals);
            if (((value ^ prefix) & known) == 0u && (!among_equals || key == last_key)) {
                atomicAdd(&histogram[(value >> shift) & 255u], 1u);
            }
        }
        workgroupBarrier();
        var counts: array<u32, BINS_EACH>;
        var own = 0u;
        for (var bin = 0u; bin < BINS_EACH; bin++) {
            counts[bin] = atomicExchange(&histogram[lane * BINS_EACH + bin], 0u);
            own += counts[bin];
        }
        @if(subgroups) var below = subgroupExclusiveAdd(own);
        @if(!subgroups) var below = 0u;
        if (lane % SUBGROUP == SUBGROUP - 1u) { subtotals[lane / SUBGROUP] = below + own; }
        workgroupBarrier();
        for (var other = 0u; other < WORKGROUP / SUBGROUP; other++) {
            below += select(0u, subtotals[other], other < lane / SUBGROUP);
        }
        if (below < rank && rank <= below + own) {
            for (var bin = 0u; bin < BINS_EACH; bin++) {
                if (below < rank && rank <= below + counts[bin]) {
                    found = vec2u(lane * BINS_EACH + bin, below);
                }
                below += counts[bin];
            }
        }
        workgroupBarrier();
        rank -= found.y;
        if (among_equals) { last_pixel |= found.x << shift; } else { last_key |= found.x << shift; }
    }
    for (var pixel = lane; pixel < PIXELS; pixel += WORKGROUP) {
        let key = mask[base + pixel];
        mask[base + pixel] =
            select(0u, 1u, key < last_key || (key == last_key && pixel <= last_pixel));
    }
}
