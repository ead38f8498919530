// Positions ky · KERNEL_WIDTH + kx of the maxima of a group's 4 channels in their pooling window,
// one byte each.

fn pack_positions(position: vec4u) -> u32 {
    return position.x | (position.y << 8u) | (position.z << 16u) | (position.w << 24u);
}

fn unpack_positions(packed: u32) -> vec4u {
    return (vec4u(packed) >> vec4u(0u, 8u, 16u, 24u)) & vec4u(0xffu);
}
