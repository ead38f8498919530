// Ranks the features of every image by value, for rank correlation and for removal by saliency:
// positions[image, feature] is a feature's position in the order (from 0, ties in the order of the
// features), ranks[image, feature] its rank (from 1, ties have the average of their positions).
//
// `values` is [image, plane, feature]. A feature's value is the sum over PLANES planes (the mean
// has the same order), with MAGNITUDE of their magnitudes. The order is ascending, or descending
// with DESCENDING; −0 equals +0; NaN is the largest.
//
// A stable radix sort of feature numbers by their ordered keys with one workgroup per image and 4
// bits per pass. Every invocation counts the digits of its own section of the order, and a prefix
// sum over (digit, invocation) gives the destination of each digit of each section. `workspace` is
// [image, 3, feature]: keys, and the order, twice. WORKGROUP must be a power of 2.

import constants::WORKGROUP;
import package::common::images::Images;
import package::common::floats::ordered_key;

override FEATURES: u32;
override PLANES: u32 = 1u;
override MAGNITUDE: u32 = 0u;
override DESCENDING: u32 = 0u;

@group(0) @binding(0) var<uniform> images: Images;
@group(0) @binding(1) var<storage, read> values: array<f32>;
@group(0) @binding(2) var<storage, read_write> workspace: array<u32>;
@group(0) @binding(3) var<storage, read_write> positions: array<u32>;
@group(0) @binding(4) var<storage, read_write> ranks: array<f32>;

const DIGITS = 16u;

var<workgroup> counts: array<u32, DIGITS * WORKGROUP>; // [digit, invocation]
var<workgroup> subtotals: array<u32, WORKGROUP>;

fn feature_key(base: u32, feature: u32) -> u32 {
    let clear_sign = select(0xffffffffu, 0x7fffffffu, MAGNITUDE != 0u);
    var bits = bitcast<u32>(values[base + feature]) & clear_sign;
    if (PLANES > 1u) {
        var sum = bitcast<f32>(bits);
        for (var plane = 1u; plane < PLANES; plane++) {
            sum +=
                bitcast<f32>(bitcast<u32>(values[base + plane * FEATURES + feature]) & clear_sign);
        }
        bits = bitcast<u32>(sum);
    }
    let key = ordered_key(bits);
    return select(key, ~key, DESCENDING != 0u);
}

// Number of positions before the first key that is not below `key` (or, with `beyond`, that is
// above it) in the order at `order`.
fn bound(keys: u32, order: u32, key: u32, beyond: bool) -> u32 {
    var low = 0u;
    var high = FEATURES;
    while (low < high) {
        let middle = (low + high) / 2u;
        let other = workspace[keys + workspace[order + middle]];
        if (other < key || (beyond && other == key)) { low = middle + 1u; } else { high = middle; }
    }
    return low;
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) lane: u32) {
    if (workgroup.x >= images.count) { return; }
    let image = images.first + workgroup.x;
    let keys = image * 3u * FEATURES;
    let stretch = (FEATURES + WORKGROUP - 1u) / WORKGROUP;
    let first = min(lane * stretch, FEATURES);
    let last = min(first + stretch, FEATURES);
    for (var feature = first; feature < last; feature++) {
        workspace[keys + feature] = feature_key(image * PLANES * FEATURES, feature);
        workspace[keys + FEATURES + feature] = feature;
    }
    for (var digit_place = 0u; digit_place < 8u; digit_place++) {
        let source = keys + (1u + digit_place % 2u) * FEATURES;
        let sink = keys + (2u - digit_place % 2u) * FEATURES;
        for (var digit = 0u; digit < DIGITS; digit++) { counts[digit * WORKGROUP + lane] = 0u; }
        storageBarrier();
        for (var place = first; place < last; place++) {
            let digit =
                (workspace[keys + workspace[source + place]] >> (4u * digit_place)) % DIGITS;
            counts[digit * WORKGROUP + lane]++;
        }
        workgroupBarrier();
        var own = 0u;
        for (var entry = 0u; entry < DIGITS; entry++) { own += counts[lane * DIGITS + entry]; }
        subtotals[lane] = own;
        workgroupBarrier();
        var below = 0u;
        for (var other = 0u; other < WORKGROUP; other++) {
            below += select(0u, subtotals[other], other < lane);
        }
        for (var entry = 0u; entry < DIGITS; entry++) {
            let count = counts[lane * DIGITS + entry];
            counts[lane * DIGITS + entry] = below;
            below += count;
        }
        workgroupBarrier();
        for (var place = first; place < last; place++) {
            let feature = workspace[source + place];
            let digit = (workspace[keys + feature] >> (4u * digit_place)) % DIGITS;
            let at = counts[digit * WORKGROUP + lane];
            counts[digit * WORKGROUP + lane] = at + 1u;
            workspace[sink + at] = feature;
        }
        workgroupBarrier();
    }
    storageBarrier();
    let order = keys + FEATURES;
    for (var place = first; place < last; place++) {
        let feature = workspace[order + place];
        let key = workspace[keys + feature];
        positions[image * FEATURES + feature] = place;
        let start = bound(keys, order, key, false);
        let end = bound(keys, order, key, true);
        ranks[image * FEATURES + feature] = 0.5 * f32(start + end + 1u);
    }
}
