// Activation functions and their derivatives: ReLU and PACT (algorithms of PACT: Choi et al. 2018; paper eq. (6)).
// KIND: 0 none, 1 ReLU, 2 PACT unsigned, 3 PACT signed, 4 PACT signed after a ReLU. `levels` is 2^b − 1 (unsigned) or 2^(b−1) − 1
// (signed), `alpha` the clipping threshold.

const NONE = 0u;
const RELU = 1u;
const PACT_UNSIGNED = 2u;
const PACT_SIGNED = 3u;
const PACT_SIGNED_AFTER_RELU = 4u;

fn clip(kind: u32, x: vec4f, alpha: f32) -> vec4f {
    switch kind {
        case RELU: { return max(x, vec4f()); }
        case PACT_UNSIGNED, PACT_SIGNED_AFTER_RELU: { return clamp(x, vec4f(), vec4f(alpha)); }
        case PACT_SIGNED: { return clamp(x, vec4f(-alpha), vec4f(alpha)); }
        default: { return x; }
    }
}

// The activated and, for PACT, fake-quantized value: round(clip(x)·levels/α)·α/levels.
fn activate(kind: u32, x: vec4f, alpha: f32, levels: f32) -> vec4f {
    let clipped = clip(kind, x, alpha);
    if (kind < PACT_UNSIGNED) { return clipped; }
    let scale = alpha / levels;
    return round(clipped / scale) * scale;
}

// ∂y/∂x by the straight-through estimator: 1 inside the range, else 0. `state` is x, or y for a ReLU (they agree in sign).
fn derivative(kind: u32, state: vec4f, alpha: f32) -> vec4f {
    switch kind {
        case RELU: { return select(vec4f(), vec4f(1.0), state > vec4f()); }
        case PACT_UNSIGNED, PACT_SIGNED_AFTER_RELU: {
            return select(vec4f(), vec4f(1.0), (state > vec4f()) & (state < vec4f(alpha)));
        }
        case PACT_SIGNED: { return select(vec4f(), vec4f(1.0), abs(state) < vec4f(alpha)); }
        default: { return vec4f(1.0); }
    }
}

// ∂y/∂α: 1 where x ≥ α, −1 where x ≤ −α (signed), 0 inside: the derivative of the clip.
fn alpha_derivative(kind: u32, state: vec4f, alpha: f32) -> vec4f {
    let above = select(vec4f(), vec4f(1.0), state >= vec4f(alpha));
    if (kind == PACT_SIGNED) { return above - select(vec4f(), vec4f(1.0), state <= vec4f(-alpha)); }
    return above;
}
