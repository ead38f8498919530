// Tests on the bit patterns of floats: WGSL promises nothing about arithmetic and comparisons of
// NaN and infinity.

fn is_finite(value: f32) -> bool {
    return (bitcast<u32>(value) & 0x7f800000u) != 0x7f800000u;
}

fn are_finite(value: vec4f) -> vec4<bool> {
    return (bitcast<vec4u>(value) & vec4u(0x7f800000u)) != vec4u(0x7f800000u);
}

// An unsigned integer in the order of the float whose bits are given: −0 equals +0, NaN is above
// everything.
fn ordered_key(float_bits: u32) -> u32 {
    let magnitude = float_bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u) { return 0xffffffffu; }
    if (magnitude == 0u) { return 0x80000000u; }
    return select(float_bits | 0x80000000u, ~float_bits, float_bits != magnitude);
}
