// Sums over the invocations of a workgroup, in an order that depends only on their number.

import constants::WORKGROUP;

var<workgroup> partial: array<vec4f, WORKGROUP>;

// Σ value over the workgroup, for every invocation. WORKGROUP is a power of 2; control flow must be
// uniform.
fn workgroup_sum(lane: u32, value: vec4f) -> vec4f {
    partial[lane] = value;
    for (var half = WORKGROUP / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if (lane < half) { partial[lane] += partial[lane + half]; }
    }
    return workgroupUniformLoad(&partial[0]);
}

// The largest value of each component over the workgroup, for every invocation.
fn workgroup_max(lane: u32, value: vec4f) -> vec4f {
    partial[lane] = value;
    for (var half = WORKGROUP / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if (lane < half) { partial[lane] = max(partial[lane], partial[lane + half]); }
    }
    return workgroupUniformLoad(&partial[0]);
}

var<workgroup> summands: array<f32, WORKGROUP>;

// `first` + the values of all lanes, one after the other, for lane 0; the others get `first`. At
// most once per kernel; control flow must be uniform.
fn ordered_sum(lane: u32, value: f32, first: f32) -> f32 {
    summands[lane] = value;
    workgroupBarrier();
    var sum = first;
    if (lane == 0u) {
        for (var l = 0u; l < WORKGROUP; l++) { sum += summands[l]; }
    }
    return sum;
}
