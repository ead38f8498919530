// What the optimisers share: which of 4 consecutive parameters are what, and the rules for PACT's α.

import package::common::floats::are_finite;

struct Kind {
    alpha: vec4<bool>, // a PACT α, else a weight or bias
    real: vec4<bool>, // before the end of the array, else padding
}

// Of parameters 4·at … 4·at + 3.
fn kinds(at: u32, alpha_first: u32, length: u32) -> Kind {
    let index = vec4u(at * 4u) + vec4u(0u, 1u, 2u, 3u);
    return Kind(index >= vec4u(alpha_first), index < vec4u(length));
}

// Bit 0: a weight or bias is not finite; bit 1: an α is not.
fn report(updated: vec4f, kind: Kind) -> u32 {
    let bad = kind.real & !are_finite(updated);
    return select(0u, 1u, any(bad & !kind.alpha)) | select(0u, 2u, any(bad & kind.alpha));
}

// What is stored: α no lower than `floor`, padding as it was.
fn apply_floor(old: vec4f, updated: vec4f, kind: Kind, floor: f32) -> vec4f {
    let low = kind.alpha & (updated < vec4f(floor));
    return select(old, select(updated, vec4f(floor), low), kind.real);
}
