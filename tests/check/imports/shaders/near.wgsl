import super::helper::twice;

@group(0) @binding(0) var<storage, read_write> x: f32;

@compute @workgroup_size(1)
fn near() {
    x = twice(x);
}
