@compute @workgroup_size(1)
fn main() {
    let a = 1.0f;
    let b = 2u;
    let c = a * b;
}
