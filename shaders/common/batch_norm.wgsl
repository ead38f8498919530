// Common functions of the kernels of batch norm (Ioffe & Szegedy 2015, as torch.nn.BatchNorm2d).
//
// If the weights in front are quantized, they are first scaled by the running statistics
// (Krishnamoorthi 2018, section 3.2.2, whose eq. (4) and (5) are the paper's): w_corrected =
// c·γW/σ_B = s·W with s = γ/σ, so that the layer computes z = s·x. Otherwise s is 1. All kernels
// read z and compute x = z/s from it (the factor 1/c = σ/σ_B is γ/(s·σ_B)).

// A factor s below this counts as 0; x is then 0.
const SMALLEST_FACTOR = 1e-12;

// Coefficients of a group of 4 channels: x̂ = (z − center)·normalize, and the layer's output (z −
// center)·scale + shift.
struct Coefficients {
    center: vec4f,
    normalize: vec4f,
    scale: vec4f,
    shift: vec4f,
}

// 1/s.
fn reciprocal(factor: vec4f) -> vec4f {
    return select(vec4f(1.0) / factor, vec4f(), abs(factor) < vec4f(SMALLEST_FACTOR));
}

// [first, last) of the images of a batch among the `count` of a range. If there are two batches,
// the step's `clean` images are the first.
fn images_of_batch(batch: u32, batches: u32, count: u32, clean: u32) -> vec2u {
    if (batches == 1u) { return vec2u(0u, count); }
    let seam = min(clean, count);
    return select(vec2u(seam, count), vec2u(0u, seam), batch == 0u);
}

// [first, last) of the rows of a part: `rows` (the pixels of all images of a batch) are divided
// evenly into `parts`.
fn rows_of_part(part: u32, parts: u32, rows: u32) -> vec2u {
    let share = (rows + parts - 1u) / parts;
    let first = min(part * share, rows);
    return vec2u(first, min(first + share, rows));
}
