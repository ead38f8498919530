// Parses, but a value of type u32 is returned as f32.
fn f(x: u32) -> f32 {
    return x + 1u;
}
