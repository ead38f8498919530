// Standard normal numbers (Box and Muller 1958). Logarithm, sine and cosine are polynomials
// (Cephes' logf, sinf, cosf), because the built-in ones may be off by 2⁻¹¹: all adapters and the
// CPU reference agree to a few units in the last place.

import package::common::random::uniform01;

// ln x of a normal x > 0.
fn precise_log(x: f32) -> f32 {
    let bits = bitcast<u32>(x);
    var exponent = f32(bits >> 23u) - 126.0;
    var m = bitcast<f32>((bits & 0x007fffffu) | 0x3f000000u) - 1.0; // in [−½, 0)
    if (m < -0.29289321881) { // x's mantissa is below √½
        exponent -= 1.0;
        m = 2.0 * m + 1.0;
    }
    let z = m * m;
    var y = ((((((((7.0376836292e-2 * m - 1.1514610310e-1) * m + 1.1676998740e-1) * m
        - 1.2420140846e-1) * m + 1.4249322787e-1) * m
        - 1.6668057665e-1) * m + 2.0000714765e-1) * m - 2.4999993993e-1) * m
        + 3.3333331174e-1) * m * z;
    y += -2.12194440e-4 * exponent - 0.5 * z;
    return (m + y) + 0.693359375 * exponent;
}

// (cos, sin) of `turns` · 2π for a multiple of 2⁻²⁴ in [0, 1).
fn circle(turns: f32) -> vec2f {
    let quarter = round(4.0 * turns);
    let t = 6.283185307179586 * (turns - 0.25 * quarter); // in ±π/4, the difference exact
    let z = t * t;
    let sine = ((-1.9515295891e-4 * z + 8.3321608736e-3) * z - 1.6666654611e-1) * z * t + t;
    let cosine = ((2.443315711809948e-5 * z - 1.388731625493765e-3) * z + 4.166664568298827e-2)
        * z * z - 0.5 * z + 1.0;
    switch u32(quarter) & 3u {
        case 1u: { return vec2f(-sine, cosine); }
        case 2u: { return vec2f(-cosine, -sine); }
        case 3u: { return vec2f(sine, -cosine); }
        default: { return vec2f(cosine, sine); }
    }
}

// Four numbers from four words of random bits, a pair from each two.
fn normal4(bits: vec4u) -> vec4f {
    // In (0, 1], so that the logarithm is finite.
    let radius = sqrt(vec2f(-2.0 * precise_log(uniform01(bits.x) + 5.9604644775390625e-8),
        -2.0 * precise_log(uniform01(bits.z) + 5.9604644775390625e-8)));
    return vec4f(radius.x * circle(uniform01(bits.y)), radius.y * circle(uniform01(bits.w)));
}
