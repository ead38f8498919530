enable f16;
@group(0) @binding(0) var<storage, read_write> x: array<f16>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    x[id.x] = x[id.x] * 2.0h;
}
