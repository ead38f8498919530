// The end of a step of integer inference: x = sum·multiplier + offset in units of the output's
// scale (deploy::IntegerPlan), then its level round(x), half to even, or x itself for a float
// output; both are clamped to the range.

fn requantize(sum: vec4f, multiplier: vec4f, offset: vec4f, lowest: f32, highest: f32) -> vec4f {
    let x = sum * multiplier + offset;
    @if(output_u8 || output_i8) return clamp(round(x), vec4f(lowest), vec4f(highest));
    @if(!output_u8 && !output_i8) return clamp(x, vec4f(lowest), vec4f(highest));
}
