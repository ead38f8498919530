@group(0) @binding(0) var<storage, read_write> x: f64;

@compute @workgroup_size(1)
fn main() {
    x = x * 2.0lf;
}
