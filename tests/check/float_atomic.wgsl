@group(0) @binding(0) var<storage, read_write> total: atomic<f32>;

@compute @workgroup_size(1)
fn main() {
    atomicAdd(&total, 1.0);
}
