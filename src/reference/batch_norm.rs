//! Batch norm, torch.nn.BatchNorm2d: y = γ(x − μ)/√(σ² + ε) + β for every channel, as (z −
//! center)·scale + shift of the layer's z = s·x (shaders/common/batch_norm.wgsl). The activation
//! that the kernel applies on top is [`super::activation`].

use crate::config::Shape;

/// Of a channel: x̂ = (z − center)·normalize, y = (z − center)·scale + shift.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Coefficients {
    /// Mean of z.
    pub center: f64,
    /// 1/(s·σ).
    pub normalize: f64,
    /// γ/(s·σ).
    pub scale: f64,
    /// β.
    pub shift: f64,
}

/// 1/s, and 0 where s vanishes.
pub fn reciprocal(factor: f64) -> f64 {
    if factor.abs() < 1e-12 { 0.0 } else { 1.0 / factor }
}

/// y of `z`, NCHW.
pub fn batch_norm(z: &[f64], shape: Shape, coefficients: &[Coefficients]) -> Vec<f64> {
    let channel = |index: usize| index / shape.pixels() as usize % shape.channels as usize;
    let of = |(index, z): (usize, &f64)| {
        let Coefficients { center, scale, shift, .. } = coefficients[channel(index)];
        (z - center) * scale + shift
    };
    z.iter().enumerate().map(of).collect()
}

/// Calls `term` with (channel, index into NCHW) for the rows `rows`, counted over images and then
/// pixels.
pub(super) fn for_each_value(
    shape: Shape,
    rows: std::ops::Range<usize>,
    mut term: impl FnMut(usize, usize),
) {
    let (channels, pixels) = (shape.channels as usize, shape.pixels() as usize);
    for row in rows {
        for channel in 0..channels {
            term(channel, (row / pixels * channels + channel) * pixels + row % pixels);
        }
    }
}
