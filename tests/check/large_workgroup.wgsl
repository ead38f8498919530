@group(0) @binding(0) var<storage, read_write> x: array<f32>;
override side: u32 = 17;

@compute @workgroup_size(side, 16)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    x[id.x] = 1.0;
}
