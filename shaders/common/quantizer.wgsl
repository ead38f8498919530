// Weight fake-quantizers and their straight-through derivatives (paper eqs. (1), (2);
// Krishnamoorthi 2018; DoReFa; SAWB, Choi et al. 2018; LSQ, Esser et al. 2020; binary, Rastegari et
// al. 2016); `kind` says which. `levels` is 2^b − 1. A channel's constants, from `weight_scale`
// (lsq: from `learned_step`):
//   affine (Δ, z, min, max) · dorefa (max|tanh w|, 0, 0, 0) ·
//   sawb (clip c, step 2c / levels, 0, 0) · symmetric (Δ, −L, L, 0) with L = 2^(b−1) − 1 ·
//   lsq (s, −Q_n, Q_p, 0) with Q_n = 2^(b−1), Q_p = Q_n − 1 · binary (E|w|, 0, 0, 0)
// Between two levels `round` decides, half to even; a weight of 0 (and −0) is positive to `binary`.

import kinds::quantizer::{NONE, AFFINE, DOREFA, SAWB, SYMMETRIC, LSQ, BINARY};

// tanh to a few ulp: the built-in one loses all digits of small arguments on some drivers and is
// NaN for large ones on others. Polynomial of Cephes' tanhf below 0.625.
fn precise_tanh(w: f32) -> f32 {
    let magnitude = min(abs(w), 10.0);
    let z = min(w * w, 1.0); // finite for any w
    let small = ((((-5.70498872745e-3 * z + 2.06390887954e-2) * z - 5.37397155531e-2) * z
        + 1.33314422036e-1) * z - 3.33332819422e-1) * z * w + w;
    let large = 1.0 - 2.0 / (exp(2.0 * magnitude) + 1.0);
    return select(sign(w) * large, small, magnitude < 0.625);
}

// The integer level: in [−L, L] for symmetric, [−Q_n, Q_p] for lsq, else in [0, levels].
fn weight_level(kind: u32, w: f32, constants: vec4f, levels: f32) -> f32 {
    switch kind {
        case AFFINE: { return clamp(round(w / constants.x) + constants.y, 0.0, levels); }
        case DOREFA: {
            let scaled = select(precise_tanh(w) / (2.0 * constants.x), 0.0, constants.x == 0.0);
            return round(clamp(scaled + 0.5, 0.0, 1.0) * levels);
        }
        case SAWB: {
            let clipped = clamp(w, -constants.x, constants.x);
            return select(round((clipped + constants.x) / constants.y), 0.0, constants.y == 0.0);
        }
        case SYMMETRIC, LSQ: { return clamp(round(w / constants.x), constants.y, constants.z); }
        case BINARY: { return select(0.0, 1.0, w >= 0.0); }
        default: { return 0.0; }
    }
}

// The de-quantized weight.
fn quantize_weight(kind: u32, w: f32, constants: vec4f, levels: f32) -> f32 {
    let level = weight_level(kind, w, constants, levels);
    switch kind {
        case AFFINE: { return (level - constants.y) * constants.x; }
        case DOREFA: { return 2.0 * level / levels - 1.0; }
        case SAWB: { return level * constants.y - constants.x; }
        case SYMMETRIC, LSQ: { return level * constants.x; }
        case BINARY: { return (2.0 * level - 1.0) * constants.x; }
        default: { return w; }
    }
}

// The number that all de-quantized weights of a channel are whole multiples of, by at most
// `levels`.
fn weight_unit(kind: u32, constants: vec4f, levels: f32) -> f32 {
    switch kind {
        case DOREFA: { return 1.0 / levels; }
        case SAWB: { return 0.5 * constants.y; }
        case NONE: { return 1.0; }
        default: { return constants.x; }
    }
}

// ∂ŵ/∂w by the straight-through estimator, eq. (2). The range of `symmetric` is the weights' own:
// all lie inside.
fn weight_derivative(kind: u32, w: f32, constants: vec4f) -> f32 {
    switch kind {
        case AFFINE: { return select(0.0, 1.0, w >= constants.z && w <= constants.w); }
        case DOREFA: {
            let t = precise_tanh(w);
            return select((1.0 - t * t) / constants.x, 0.0, constants.x == 0.0);
        }
        case SAWB: { return select(0.0, 1.0, abs(w) <= constants.x); }
        case LSQ: {
            let position = w / constants.x;
            return select(0.0, 1.0, position > constants.y && position < constants.z);
        }
        case BINARY: { return select(0.0, 1.0, abs(w) <= 1.0); }
        default: { return 1.0; }
    }
}

// ∂ŵ/∂s of lsq: round(w/s) − w/s inside the range, −Q_n or Q_p at its ends and beyond.
fn step_derivative(w: f32, constants: vec4f) -> f32 {
    let position = w / constants.x;
    let inside = round(position) - position;
    let below_highest = select(inside, constants.z, position >= constants.z);
    return select(below_highest, constants.y, position <= constants.y);
}
