// How alike two maps of every image are: similarity[image] = (Pearson correlation, cosine, ‖b − a‖₂ / ‖a‖₂, a · b) over VALUES
// values an image.
//
// Where a map is constant the correlation is not defined, and where it is zero neither is the cosine: two such maps are alike
// (1), one beside another is not (0). A zero a is divided by 1, as Captum does. Of ranks, the Pearson correlation is Spearman's.
// Means are subtracted before products are summed. One workgroup an image.

import constants::WORKGROUP;
import package::common::images::Images;
import package::common::sums::workgroup_sum;

override VALUES: u32;

@group(0) @binding(0) var<uniform> images: Images;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read_write> similarity: array<vec4f>;

// product / √(first · second), for sums of squares `first` and `second`.
fn normalized(product: f32, first: f32, second: f32) -> f32 {
    if (first == 0.0 || second == 0.0) { return select(0.0, 1.0, first == second); }
    return clamp(product / (sqrt(first) * sqrt(second)), -1.0, 1.0);
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) lane: u32) {
    if (workgroup.x >= images.count) { return; }
    let image = images.first + workgroup.x;
    let base = image * VALUES;
    // Differences from the first values: the mean of a constant map is exact.
    let origin = vec2f(a[base], b[base]);
    var sums = vec4f();
    for (var at = lane; at < VALUES; at += WORKGROUP) {
        let x = a[base + at];
        let y = b[base + at];
        sums += vec4f(x - origin.x, y - origin.y, (y - x) * (y - x), x * y);
    }
    sums = workgroup_sum(lane, sums);
    let mean = origin + sums.xy / f32(VALUES);
    var squares = vec4f();
    var products = vec4f();
    for (var at = lane; at < VALUES; at += WORKGROUP) {
        let x = a[base + at];
        let y = b[base + at];
        squares += vec4f(x * x, y * y, (x - mean.x) * (x - mean.x), (y - mean.y) * (y - mean.y));
        products.x += (x - mean.x) * (y - mean.y);
    }
    squares = workgroup_sum(lane, squares);
    products = workgroup_sum(lane, products);
    if (lane == 0u) {
        similarity[image] = vec4f(
            normalized(products.x, squares.z, squares.w),
            normalized(sums.w, squares.x, squares.y),
            sqrt(sums.z) / select(sqrt(squares.x), 1.0, squares.x == 0.0),
            sums.w,
        );
    }
}
