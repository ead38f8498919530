// Grad-CAM++'s channel weights (Chattopadhyay et al. 2018): w_k = Σ_ij α_ij max(g_ij, 0) with α_ij
// = g_ij² / (2 g_ij² + S_k g_ij³) and S_k = Σ_ij A_ij, over the pixels of a channel A_k whose
// gradient is g; α is 0 where its denominator is. This is eq. (19) of the paper: the score is
// exp(s), whose second and third derivatives in A have g² and g³ of s in them, times exp(s). That
// factor cancels in α. In the weights it would stay; as in pytorch-grad-cam g is the gradient of s
// itself, which leaves a map's ranks as they are. pytorch-grad-cam's 1e-6 in the denominator is
// left out: it is not small beside the g² of a trained network. A g² is taken out of the fraction,
// so that no power of a small gradient is lost: α = 1 / (2 + S_k g_ij). Where A has negative values
// that has a pole. One invocation per group of 4 channels of an image.

import constants::LANES;
import package::common::images::Images;

override PIXELS: u32;
override GROUPS: u32;

@group(0) @binding(0) var<uniform> images: Images;
@group(0) @binding(1) var<storage, read> layer: array<vec4f>;
@group(0) @binding(2) var<storage, read> gradients: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> weights: array<vec4f>;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) lane: u32) {
    let group = workgroup.x * LANES + lane;
    if (workgroup.y >= images.count || group >= GROUPS) { return; }
    let image = images.first + workgroup.y;
    let base = image * PIXELS * GROUPS + group;
    var total = vec4f();
    for (var pixel = 0u; pixel < PIXELS; pixel++) { total += layer[base + pixel * GROUPS]; }
    var sum = vec4f();
    for (var pixel = 0u; pixel < PIXELS; pixel++) {
        let gradient = gradients[base + pixel * GROUPS];
        let denominator = 2.0 + total * gradient;
        sum += select(max(gradient, vec4f()) / denominator, vec4f(), denominator == vec4f());
    }
    weights[image * GROUPS + group] = sum;
}
