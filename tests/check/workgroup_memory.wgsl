@group(0) @binding(0) var<storage, read_write> x: array<f32>;
var<workgroup> a: array<f32, 4096>;
var<workgroup> b: f32;

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) lane: u32) {
    a[lane] = 1.0;
    b = 2.0;
    workgroupBarrier();
    x[lane] = a[63 - lane] + b;
}
