// Counter-based random numbers: every number is a function of its key and counter, so that no state
// is stored, and any launch shape gives the same numbers.
//
// Hash: pcg4d of Jarzynski and Olano, "Hash Functions for GPU Rendering", JCGT 9(3), 2020. Key:
// pcg4d(seed_low, seed_high, step, stream); numbers: pcg4d(key + (a, b, c, 0)). Streams, one per
// purpose, are in `kinds::stream`. `src/random.rs` gives the same bits.

const FEISTEL_ROUNDS = 8u;

fn pcg4d(input: vec4u) -> vec4u {
    var v = input * 1664525u + 1013904223u;
    v.x += v.y * v.w;
    v.y += v.z * v.x;
    v.z += v.x * v.y;
    v.w += v.y * v.z;
    v ^= v >> vec4u(16u);
    v.x += v.y * v.w;
    v.y += v.z * v.x;
    v.z += v.x * v.y;
    v.w += v.y * v.z;
    return v;
}

fn random_key(seed_low: u32, seed_high: u32, step: u32, stream: u32) -> vec4u {
    return pcg4d(vec4u(seed_low, seed_high, step, stream));
}

// Four numbers of 32 random bits for the counter (a, b, c).
fn random_bits(key: vec4u, a: u32, b: u32, c: u32) -> vec4u {
    return pcg4d(key + vec4u(a, b, c, 0u));
}

// A number in [0, 1), a multiple of 2^-24, which is exact in f32.
fn uniform01(bits: u32) -> f32 {
    return f32(bits >> 8u) * 5.9604644775390625e-8;
}

fn uniform01x4(bits: vec4u) -> vec4f {
    return vec4f(bits >> vec4u(8u)) * 5.9604644775390625e-8;
}

// A bijection of [0, length) that `key` selects: a Feistel network on as many bits as `length`
// needs, repeated until the result is inside (at most twice on average). An index outside is
// returned unchanged.
fn permute(index: u32, length: u32, key: vec4u) -> u32 {
    if (index >= length) { return index; }
    let bits = 32u - countLeadingZeros(length - 1u);
    let right_bits = bits - bits / 2u;
    let left_mask = (1u << (bits / 2u)) - 1u;
    let right_mask = (1u << right_bits) - 1u;
    var value = index;
    loop {
        var left = value >> right_bits;
        var right = value & right_mask;
        for (var round = 0u; round < FEISTEL_ROUNDS; round += 2u) {
            left ^= random_bits(key, right, round, 0u).x & left_mask;
            right ^= random_bits(key, left, round + 1u, 0u).x & right_mask;
        }
        value = (left << right_bits) | right;
        if (value < length) { break; }
    }
    return value;
}
