// Common parts of the optimisers: the kinds of 4 consecutive parameters, and the rules for learned
// steps, PACT's α and LSQ+'s offsets.

struct Kind {
    step: vec4<bool>, // a learned step, or an offset
    alpha: vec4<bool>, // a PACT α; else a weight or bias
    offset: vec4<bool>, // an LSQ+ offset: as a step, but of any sign
    real: vec4<bool>, // before the end of the array, else padding
}

// The kinds of parameters 4·at … 4·at + 3.
fn kinds(at: u32, step_first: u32, alpha_first: u32, offset_first: u32, length: u32) -> Kind {
    let index = vec4u(at * 4u) + vec4u(0u, 1u, 2u, 3u);
    let offset = index >= vec4u(offset_first);
    let alpha = (index >= vec4u(alpha_first)) & !offset;
    return Kind((index >= vec4u(step_first)) & !alpha, alpha, offset, index < vec4u(length));
}

// Selects `weight`, `step` or `alpha` by the kind of each of the 4.
fn by_kind(kind: Kind, weight: f32, step: f32, alpha: f32) -> vec4f {
    return select(select(vec4f(weight), vec4f(step), kind.step), vec4f(alpha), kind.alpha);
}

// The stored values: steps and α at least at `floors`, padding unchanged.
fn apply_floor(old: vec4f, updated: vec4f, kind: Kind, floors: vec4f) -> vec4f {
    let low = (kind.step | kind.alpha) & !kind.offset & (updated < floors);
    return select(old, select(updated, floors, low), kind.real);
}
