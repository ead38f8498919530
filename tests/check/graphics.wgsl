@group(0) @binding(0) var picture: texture_2d<f32>;
@group(0) @binding(1) var filtering: sampler;

struct Varying {
    @builtin(position) position: vec4<f32>,
    @location(0) uv: vec2<f32>,
}

@vertex
fn vertex(@builtin(vertex_index) index: u32, @builtin(instance_index) instance: u32) -> Varying {
    let corner = vec2(f32(index & 1u), f32(index >> 1u));
    return Varying(vec4(corner * 2.0 - 1.0, f32(instance), 1.0), corner);
}

@fragment
fn fragment(input: Varying) -> @location(0) vec4<f32> {
    return textureSample(picture, filtering, input.uv);
}
