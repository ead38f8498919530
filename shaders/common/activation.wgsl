// Activation functions and their derivatives: ReLU, PACT (Choi et al. 2018; paper eq. (6)), learned
// steps (LSQ, Esser et al. 2020) on PACT's grids, and functions whose values have a learned step
// and a learned offset (LSQ+, Bhalgat et al. 2020); `kind` says which. `levels` is 2^b − 1
// (unsigned and LSQ+) or 2^(b−1) − 1 (signed), `alpha` the clipping threshold. `learned` are the
// parameters: PACT's α, or the step s (of LSQ with α = s·levels), then LSQ+'s offset β.
//
// LSQ+ has levels n from 0 to `levels`, of which n stands for s·(n − z): of a function's value v,
// s·(clamp(round(v/s) + z, 0, levels) − z). The paper adds β itself to s·n. Here it is rounded to a
// whole level, z = clamp(round(−β/s), 0, levels), so that 0 is a level: padding with zeros, the
// zero points of ONNX and integer inference are exact with that.

import kinds::activation::{RELU, PACT_UNSIGNED, PACT_SIGNED, PACT_SIGNED_AFTER_RELU};
import kinds::activation::{LSQ_UNSIGNED, LSQ_SIGNED, LSQ_SIGNED_AFTER_RELU, LSQ_PLUS};

// The clipping threshold α of PACT and LSQ.
fn threshold(kind: u32, learned: f32, levels: f32) -> f32 {
    return select(learned, learned * levels, kind >= LSQ_UNSIGNED);
}

// The distance s of two levels; `learned` is the first parameter.
fn step_size(kind: u32, learned: f32, levels: f32) -> f32 {
    return select(learned / levels, learned, kind >= LSQ_UNSIGNED);
}

// LSQ+'s lowest and highest level, counted from the one that stands for 0: −z and levels − z.
fn level_range(learned: vec2f, levels: f32) -> vec2f {
    let zero = clamp(round(-learned.y / learned.x), 0.0, levels);
    return vec2f(-zero, levels - zero);
}

// A function without a quantizer.
fn function_value(kind: u32, x: vec4f) -> vec4f {
    switch kind {
        case RELU: { return max(x, vec4f()); }
        default: { return x; }
    }
}

// Its derivative.
fn function_derivative(kind: u32, x: vec4f) -> vec4f {
    switch kind {
        case RELU: { return select(vec4f(), vec4f(1.0), x > vec4f()); }
        default: { return vec4f(1.0); }
    }
}

// Whether values are below, or at or above, the range of LSQ+. The lower end is inside: a ReLU's
// zeros are there, whose level does not depend on β.
fn are_below(value: vec4f, learned: vec2f, levels: f32) -> vec4<bool> {
    return value < vec4f(level_range(learned, levels).x * learned.x);
}

fn are_above(value: vec4f, learned: vec2f, levels: f32) -> vec4<bool> {
    return value >= vec4f(level_range(learned, levels).y * learned.x);
}

fn clip(kind: u32, x: vec4f, alpha: f32) -> vec4f {
    switch kind {
        case PACT_UNSIGNED, PACT_SIGNED_AFTER_RELU, LSQ_UNSIGNED, LSQ_SIGNED_AFTER_RELU: {
            return clamp(x, vec4f(), vec4f(alpha));
        }
        case PACT_SIGNED, LSQ_SIGNED: { return clamp(x, vec4f(-alpha), vec4f(alpha)); }
        default: { return function_value(kind, x); }
    }
}

// The activated and, but for plain functions, fake-quantized value: round(clip(x)/s)·s with s =
// α/levels, or LSQ+'s.
fn activate(kind: u32, x: vec4f, learned: vec2f, levels: f32) -> vec4f {
    if (kind >= LSQ_PLUS) {
        let range = level_range(learned, levels);
        let level = round(function_value(kind - LSQ_PLUS, x) / learned.x);
        return clamp(level, vec4f(range.x), vec4f(range.y)) * learned.x;
    }
    let clipped = clip(kind, x, threshold(kind, learned.x, levels));
    if (kind < PACT_UNSIGNED) { return clipped; }
    let scale = step_size(kind, learned.x, levels);
    return round(clipped / scale) * scale;
}

// ∂y/∂x by the straight-through estimator: 1 inside the range, else 0. `state` is x, or y for a
// ReLU (they agree in sign).
fn derivative(kind: u32, state: vec4f, learned: vec2f, levels: f32) -> vec4f {
    if (kind >= LSQ_PLUS) {
        let value = function_value(kind - LSQ_PLUS, state);
        let outside = are_below(value, learned, levels) | are_above(value, learned, levels);
        return select(function_derivative(kind - LSQ_PLUS, state), vec4f(), outside);
    }
    let alpha = threshold(kind, learned.x, levels);
    switch kind {
        case PACT_UNSIGNED, PACT_SIGNED_AFTER_RELU, LSQ_UNSIGNED, LSQ_SIGNED_AFTER_RELU: {
            return select(vec4f(), vec4f(1.0), (state > vec4f()) & (state < vec4f(alpha)));
        }
        case PACT_SIGNED, LSQ_SIGNED: {
            return select(vec4f(), vec4f(1.0), abs(state) < vec4f(alpha));
        }
        default: { return function_derivative(kind, state); }
    }
}

// PACT's ∂y/∂α: 1 where x ≥ α, −1 where x ≤ −α (signed), 0 inside: the derivative of the clip.
// LSQ's ∂y/∂s: levels and −levels there, round(x/s) − x/s inside, but for its scale;
// LSQ+'s, with z as a constant: −z below, levels − z above, the same inside.
fn learned_derivative(kind: u32, state: vec4f, learned: vec2f, levels: f32) -> vec4f {
    if (kind >= LSQ_PLUS) {
        let value = function_value(kind - LSQ_PLUS, state);
        let range = level_range(learned, levels);
        let position = value / learned.x;
        let above = are_above(value, learned, levels);
        let inside = select(round(position) - position, vec4f(range.y), above);
        return select(inside, vec4f(range.x), are_below(value, learned, levels));
    }
    let alpha = threshold(kind, learned.x, levels);
    let is_signed = kind == PACT_SIGNED || kind == LSQ_SIGNED;
    let below = select(vec4f(), vec4f(1.0), vec4<bool>(is_signed) & (state <= vec4f(-alpha)));
    let outside = select(vec4f(), vec4f(1.0), state >= vec4f(alpha)) - below;
    if (kind < LSQ_UNSIGNED) { return outside; }
    let position = state / (alpha / levels);
    let inside = derivative(kind, state, learned, levels) > vec4f();
    return select(levels * outside, round(position) - position, inside);
}

// LSQ+'s ∂y/∂β, but for its scale: 1 outside the range, 0 inside.
fn offset_derivative(kind: u32, state: vec4f, learned: vec2f, levels: f32) -> vec4f {
    let value = function_value(kind - LSQ_PLUS, state);
    let outside = are_below(value, learned, levels) | are_above(value, learned, levels);
    return select(vec4f(), vec4f(1.0), outside);
}
