// Activation functions and their derivatives: plain ones, PACT (Choi et al. 2018; paper eq. (6)),
// learned steps (LSQ, Esser et al. 2020) on PACT's grids, and functions whose values have a learned
// step and a learned offset (LSQ+, Bhalgat et al. 2020); `kind` says which. `levels` is 2^b − 1
// (unsigned and LSQ+) or 2^(b−1) − 1 (signed), `alpha` the clipping threshold. `learned` are the
// parameters: PACT's α, or the step s (of LSQ with α = s·levels), then LSQ+'s offset β.
//
// LSQ+ has levels n from 0 to `levels`, of which n stands for s·(n − z): of a function's value v,
// s·(clamp(round(v/s) + z, 0, levels) − z). The paper adds β itself to s·n. Here it is rounded to a
// whole level, z = clamp(round(−β/s), 0, levels), so that 0 is a level: padding with zeros, the
// zero points of ONNX and integer inference are exact with that.

//
// Functions and derivatives are torch.nn's: ReLU6 has the derivative 0 at both ends, LeakyReLU
// SLOPE at 0, Hardswish 0 at −3 and 1 at 3.

import kinds::activation::{RELU, RELU6, LEAKY_RELU, TANH, SIGMOID, SILU, HARD_SWISH};
import kinds::activation::{PACT_UNSIGNED, PACT_SIGNED, PACT_SIGNED_AFTER_RELU};
import kinds::activation::{LSQ_UNSIGNED, LSQ_SIGNED, LSQ_SIGNED_AFTER_RELU, LSQ_PLUS};

// LEAKY_RELU's slope below 0.
override SLOPE: f32 = 0.01;

// 1 / (1 + e^−x). Beyond ±80 it is 0 or 1 but for what f32 does not have.
fn logistic(x: vec4f) -> vec4f {
    return 1.0 / (1.0 + exp(-clamp(x, vec4f(-80.0), vec4f(80.0))));
}

// Near 0 a polynomial, where 1 − e^−2|x| has few bits left, and the built-in function no more.
fn hyperbolic_tangent(x: vec4f) -> vec4f {
    let square = x * x;
    let near = x * (1.0 + square * (-1.0 / 3.0
        + square * (2.0 / 15.0 + square * (-17.0 / 315.0 + square * (62.0 / 2835.0)))));
    let decay = exp(-2.0 * min(abs(x), vec4f(40.0)));
    let far = sign(x) * (1.0 - decay) / (1.0 + decay);
    return select(far, near, abs(x) < vec4f(0.25));
}

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
        case RELU6: { return clamp(x, vec4f(), vec4f(6.0)); }
        case LEAKY_RELU: { return select(SLOPE * x, x, x > vec4f()); }
        case TANH: { return hyperbolic_tangent(x); }
        case SIGMOID: { return logistic(x); }
        case SILU: { return x * logistic(x); }
        case HARD_SWISH: { return x * clamp(x + 3.0, vec4f(), vec4f(6.0)) / 6.0; }
        default: { return x; }
    }
}

// Its derivative.
fn function_derivative(kind: u32, x: vec4f) -> vec4f {
    switch kind {
        case RELU: { return select(vec4f(), vec4f(1.0), x > vec4f()); }
        case RELU6: { return select(vec4f(), vec4f(1.0), (x > vec4f()) & (x < vec4f(6.0))); }
        case LEAKY_RELU: { return select(vec4f(SLOPE), vec4f(1.0), x > vec4f()); }
        case TANH: {
            let y = hyperbolic_tangent(x);
            return 1.0 - y * y;
        }
        case SIGMOID: {
            let y = logistic(x);
            return y * (1.0 - y);
        }
        case SILU: {
            let y = logistic(x);
            return y * (1.0 + x * (1.0 - y));
        }
        case HARD_SWISH: {
            let inside = x / 3.0 + 0.5;
            return select(select(inside, vec4f(1.0), x >= vec4f(3.0)), vec4f(), x <= vec4f(-3.0));
        }
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
// ReLU or ReLU6 (of which the derivative is the same).
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
