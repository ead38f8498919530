//! placeholder
pub const INITIALIZE: u32 = 9;
pub fn bits(_seed: u64, _step: u32, _stream: u32, index: [u32; 2]) -> [u32; 4] {
    [index[0].wrapping_mul(747796405), index[0].wrapping_mul(2891336453), 0, 0]
}
pub fn uniform01(bits: u32) -> f32 {
    (bits >> 8) as f32 / 16777216.0
}
