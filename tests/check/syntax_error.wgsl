fn f() -> f32 {
    let x = 1.0;
    return x +;
}
