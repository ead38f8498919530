// The network's parameters for kernels of batch norm, at binding 0 of the kernels that import this
// module; with `moves` they write running statistics too.

import package::common::channels::real_channels;

@if(moves) @group(0) @binding(0) var<storage, read_write> parameters: array<f32>;
@if(!moves) @group(0) @binding(0) var<storage, read> parameters: array<f32>;

// The parameters from `index` on that belong to group `group` of `count` channels, with zeros in
// the padding.
fn channels(index: u32, group: u32, count: u32) -> vec4f {
    let at = index + group * 4u;
    let values =
        vec4f(parameters[at], parameters[at + 1u], parameters[at + 2u], parameters[at + 3u]);
    return select(vec4f(), values, real_channels(group, count));
}
