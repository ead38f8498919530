// Activation functions and their derivatives: ReLU, PACT (Choi et al. 2018; paper eq. (6)) and
// learned steps (LSQ, Esser et al. 2020) on PACT's grids; `kind` says which. `levels` is 2^b − 1
// (unsigned) or 2^(b−1) − 1 (signed), `alpha` the clipping threshold, `learned` the parameter:
// PACT's α, or LSQ's step s, with α = s·levels.

import kinds::activation::{RELU, PACT_UNSIGNED, PACT_SIGNED, PACT_SIGNED_AFTER_RELU};
import kinds::activation::{LSQ_UNSIGNED, LSQ_SIGNED, LSQ_SIGNED_AFTER_RELU};

// The clipping threshold α.
fn threshold(kind: u32, learned: f32, levels: f32) -> f32 {
    return select(learned, learned * levels, kind >= LSQ_UNSIGNED);
}

// The distance s of two levels.
fn step_size(kind: u32, learned: f32, levels: f32) -> f32 {
    return select(learned / levels, learned, kind >= LSQ_UNSIGNED);
}

fn clip(kind: u32, x: vec4f, alpha: f32) -> vec4f {
    switch kind {
        case RELU: { return max(x, vec4f()); }
        case PACT_UNSIGNED, PACT_SIGNED_AFTER_RELU, LSQ_UNSIGNED, LSQ_SIGNED_AFTER_RELU: {
            return clamp(x, vec4f(), vec4f(alpha));
        }
        case PACT_SIGNED, LSQ_SIGNED: { return clamp(x, vec4f(-alpha), vec4f(alpha)); }
        default: { return x; }
    }
}

// The activated and, for PACT and LSQ, fake-quantized value: round(clip(x)/s)·s with s = α/levels.
fn activate(kind: u32, x: vec4f, learned: f32, levels: f32) -> vec4f {
    let clipped = clip(kind, x, threshold(kind, learned, levels));
    if (kind < PACT_UNSIGNED) { return clipped; }
    let scale = step_size(kind, learned, levels);
    return round(clipped / scale) * scale;
}

// ∂y/∂x by the straight-through estimator: 1 inside the range, else 0. `state` is x, or y for a
// ReLU (they agree in sign).
fn derivative(kind: u32, state: vec4f, learned: f32, levels: f32) -> vec4f {
    let alpha = threshold(kind, learned, levels);
    switch kind {
        case RELU: { return select(vec4f(), vec4f(1.0), state > vec4f()); }
        case PACT_UNSIGNED, PACT_SIGNED_AFTER_RELU, LSQ_UNSIGNED, LSQ_SIGNED_AFTER_RELU: {
            return select(vec4f(), vec4f(1.0), (state > vec4f()) & (state < vec4f(alpha)));
        }
        case PACT_SIGNED, LSQ_SIGNED: {
            return select(vec4f(), vec4f(1.0), abs(state) < vec4f(alpha));
        }
        default: { return vec4f(1.0); }
    }
}

// PACT's ∂y/∂α: 1 where x ≥ α, −1 where x ≤ −α (signed), 0 inside: the derivative of the clip.
// LSQ's ∂y/∂s: levels and −levels there, round(x/s) − x/s inside, but for its scale.
fn learned_derivative(kind: u32, state: vec4f, learned: f32, levels: f32) -> vec4f {
    let alpha = threshold(kind, learned, levels);
    let is_signed = kind == PACT_SIGNED || kind == LSQ_SIGNED;
    let below = select(vec4f(), vec4f(1.0), vec4<bool>(is_signed) & (state <= vec4f(-alpha)));
    let outside = select(vec4f(), vec4f(1.0), state >= vec4f(alpha)) - below;
    if (kind < LSQ_UNSIGNED) { return outside; }
    let position = state / (alpha / levels);
    let inside = derivative(kind, state, learned, levels) > vec4f();
    return select(levels * outside, round(position) - position, inside);
}
