// Adds the gradients g_s of a chunk's samples to the attributions of their images, sample after
// sample in order, so that the cuts between chunks do not matter. For n samples per image:
//   MEAN: Σ g_s / n (gradient, SmoothGrad);
//   MEAN_SQUARE: Σ g_s² / n (SmoothGrad²);
//   VARIANCE: Σ (g_s − mean)² / n (VarGrad), by Welford's sums;
//   TIMES_INPUT: x·g (input × gradient, LRP, of one sample);
//   FROM_BASELINE: (x − b)·Σ w_s g_s (Integrated Gradients; DeepLIFT with one weight of 1);
//   FROM_RANDOM_BASELINES: Σ (x + σ·n_s − b_s)·g_s / n (GradientSHAP).
// Samples, `table` and random numbers are those of `sample_images`. Sums stay in `attributions`
// (the mean of VARIANCE in `means`) from chunk to chunk. One invocation per group of 4 values of an
// image; `workgroup.y` counts the images that the chunk touches.

import constants::LANES;
import kinds::gradient_sum::{MEAN_SQUARE, VARIANCE, TIMES_INPUT};
import kinds::gradient_sum::{FROM_BASELINE, FROM_RANDOM_BASELINES};
import package::common::step::Step;
import package::common::samples::{slots_of, noise, random_start};

override ELEMENTS: u32;
override KIND: u32; // kinds::gradient_sum
override NOISE: f32 = 0.0;

@group(0) @binding(0) var<uniform> current: Step;
@group(0) @binding(1) var<storage, read> gradients: array<vec4f>;
@group(0) @binding(2) var<storage, read> pixels: array<vec4f>;
@group(0) @binding(3) var<storage, read> numbers: array<u32>;
@group(0) @binding(4) var<storage, read> baselines: array<vec4f>;
@group(0) @binding(5) var<storage, read> table: array<vec4f>;
@group(0) @binding(6) var<storage, read_write> attributions: array<vec4f>;
@if(variance) @group(0) @binding(7) var<storage, read_write> means: array<vec4f>;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) lane: u32) {
    let element = workgroup.x * LANES + lane;
    let slots = slots_of(current, workgroup.y);
    if (element >= ELEMENTS || slots.first >= slots.end) { return; }
    let image = current.position + workgroup.y;
    let at = image * ELEMENTS + element;
    let count = arrayLength(&baselines) / ELEMENTS;
    let x = pixels[at];
    let n = f32(current.samples);
    var sum = attributions[at];
    if (slots.first_sample == 0u) { sum = vec4f(); }
    @if(variance) var mean = means[at];
    @if(variance) if (slots.first_sample == 0u) { mean = vec4f(); }
    for (var slot = slots.first; slot < slots.end; slot++) {
        let g = gradients[slot * ELEMENTS + element];
        let sample = slots.first_sample + slot - slots.first;
        switch KIND {
            case MEAN_SQUARE: { sum += g * g; }
            case VARIANCE: {
                @if(variance) {
                    let before = g - mean;
                    mean += before / f32(sample + 1u);
                    sum += before * (g - mean);
                }
            }
            case TIMES_INPUT: { sum = x * g; }
            case FROM_BASELINE: { sum += table[sample].y * g; }
            case FROM_RANDOM_BASELINES: {
                let own = table[image];
                let start = random_start(current, numbers[image], sample, count);
                let noisy =
                    x + NOISE * (own.y - own.x) * noise(current, numbers[image], sample, element);
                sum += (noisy - baselines[start.baseline * ELEMENTS + element]) * g;
            }
            default: { sum += g; } // MEAN
        }
    }
    if (slots.ends) {
        if (KIND == FROM_BASELINE) { sum *= x - baselines[image % count * ELEMENTS + element]; }
        if (KIND != TIMES_INPUT && KIND != FROM_BASELINE) { sum /= n; }
    }
    attributions[at] = sum;
    @if(variance) { means[at] = mean; }
}
