// Storage of activations and their gradients. An element is a group of 4 channels: four floats, or
// with `--precision f16` four 16-bit numbers in two words. Arithmetic is f32 everywhere; only
// storage changes. A kernel's tensors are its input, its output, and the state of an activation.
// Features select the format of each (src/storage.rs); without a feature it is f32:
//   f16: IEEE binary16, for values: 11 bits of precision; values beyond ±65,504 are stored as
//     ±65,504.
//   bf16: the upper half of an f32, for gradients: 8 bits of precision and the range of f32, so
//     that losses need no scaling.
//   u8, i8: integers of one byte, for levels of integer inference and for pixels; a group is one
//     word. Stored values are integers within the range.
// Rounding is to nearest, ties to even, on every adapter. WGSL leaves it to the driver, and some
// drivers truncate. Only f16 below 6.1e-5, where it has fewer bits, is left to the driver.

const LARGEST_F16 = 65504.0;

fn load_f16(stored: vec2u) -> vec4f {
    return vec4f(unpack2x16float(stored.x), unpack2x16float(stored.y));
}

fn store_f16(value: vec4f) -> vec2u {
    let bits = bitcast<vec4u>(clamp(value, vec4f(-LARGEST_F16), vec4f(LARGEST_F16)));
    let rounded =
        bitcast<vec4f>((bits + 0xfffu + ((bits >> vec4u(13u)) & vec4u(1u))) & vec4u(0xffffe000u));
    return vec2u(pack2x16float(rounded.xy), pack2x16float(rounded.zw));
}

fn load_bf16(stored: vec2u) -> vec4f {
    return bitcast<vec4f>(vec4u(stored.x << 16u, stored.x & 0xffff0000u, stored.y << 16u,
        stored.y & 0xffff0000u));
}

fn store_bf16(value: vec4f) -> vec2u {
    let bits = bitcast<vec4u>(value);
    let rounded = (bits + 0x7fffu + ((bits >> vec4u(16u)) & vec4u(1u))) >> vec4u(16u);
    return vec2u(rounded.x | (rounded.y << 16u), rounded.z | (rounded.w << 16u));
}

@if(input_f16 || input_bf16) alias Input = vec2u;
@if(input_u8 || input_i8) alias Input = u32;
@if(!input_f16 && !input_bf16 && !input_u8 && !input_i8) alias Input = vec4f;

fn load_input(stored: Input) -> vec4f {
    @if(input_f16) return load_f16(stored);
    @if(input_bf16) return load_bf16(stored);
    @if(input_u8) return vec4f(unpack4xU8(stored));
    @if(input_i8) return vec4f(unpack4xI8(stored));
    @if(!input_f16 && !input_bf16 && !input_u8 && !input_i8) return stored;
}

// The same for a format of integers.
@if(input_u8 || input_i8) fn load_levels(stored: u32) -> vec4i {
    @if(input_u8) return vec4i(unpack4xU8(stored));
    @if(input_i8) return unpack4xI8(stored);
}

fn store_input(value: vec4f) -> Input {
    @if(input_f16) return store_f16(value);
    @if(input_bf16) return store_bf16(value);
    @if(input_u8) return pack4xU8(vec4u(value));
    @if(input_i8) return pack4xI8(vec4i(value));
    @if(!input_f16 && !input_bf16 && !input_u8 && !input_i8) return value;
}

@if(output_f16 || output_bf16) alias Output = vec2u;
@if(output_u8 || output_i8) alias Output = u32;
@if(!output_f16 && !output_bf16 && !output_u8 && !output_i8) alias Output = vec4f;

fn load_output(stored: Output) -> vec4f {
    @if(output_f16) return load_f16(stored);
    @if(output_bf16) return load_bf16(stored);
    @if(output_u8) return vec4f(unpack4xU8(stored));
    @if(output_i8) return vec4f(unpack4xI8(stored));
    @if(!output_f16 && !output_bf16 && !output_u8 && !output_i8) return stored;
}

fn store_output(value: vec4f) -> Output {
    @if(output_f16) return store_f16(value);
    @if(output_bf16) return store_bf16(value);
    @if(output_u8) return pack4xU8(vec4u(value));
    @if(output_i8) return pack4xI8(vec4i(value));
    @if(!output_f16 && !output_bf16 && !output_u8 && !output_i8) return value;
}

// A value after storing and loading it.
fn as_stored_output(value: vec4f) -> vec4f {
    @if(output_f16 || output_bf16) return load_output(store_output(value));
    @if(!output_f16 && !output_bf16) return value;
}

@if(state_f16 || state_bf16) alias State = vec2u;
@if(state_u8 || state_i8) alias State = u32;
@if(!state_f16 && !state_bf16 && !state_u8 && !state_i8) alias State = vec4f;

fn load_state(stored: State) -> vec4f {
    @if(state_f16) return load_f16(stored);
    @if(state_bf16) return load_bf16(stored);
    @if(state_u8) return vec4f(unpack4xU8(stored));
    @if(state_i8) return vec4f(unpack4xI8(stored));
    @if(!state_f16 && !state_bf16 && !state_u8 && !state_i8) return stored;
}
