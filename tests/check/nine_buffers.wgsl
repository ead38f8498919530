@group(0) @binding(0) var<storage, read_write> b0: f32;
@group(0) @binding(1) var<storage, read_write> b1: f32;
@group(0) @binding(2) var<storage, read_write> b2: f32;
@group(0) @binding(3) var<storage, read_write> b3: f32;
@group(0) @binding(4) var<storage, read_write> b4: f32;
@group(0) @binding(5) var<storage, read_write> b5: f32;
@group(0) @binding(6) var<storage, read_write> b6: f32;
@group(0) @binding(7) var<storage, read_write> b7: f32;
@group(0) @binding(8) var<storage, read_write> b8: f32;

@compute @workgroup_size(1)
fn main() {
    b0 = 1.0;
    b1 = 1.0;
    b2 = 1.0;
    b3 = 1.0;
    b4 = 1.0;
    b5 = 1.0;
    b6 = 1.0;
    b7 = 1.0;
    b8 = 1.0;
}

// Uses one of them only.
@compute @workgroup_size(1)
fn one() {
    b8 = 1.0;
}
