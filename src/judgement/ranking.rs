//! The order of the features of many images by value, on the GPU.

use crate::{
    Result,
    gpu::{Buffer, Gpu, Recording},
    kernels::ImageRange,
    shaders::Specialization,
};

/// Invocations of a workgroup that works on one image.
pub(super) const WORKGROUP: u32 = 64;

/// Adds one workgroup of `kernel` an image of `range`.
pub(super) fn record_per_image(
    gpu: &Gpu,
    recording: &mut Recording,
    kernel: &'static str,
    specialization: Specialization,
    range: ImageRange<'_>,
    buffers: &[&Buffer],
) -> Result<()> {
    let kernel_name = kernel;
    let kernel = gpu.kernel(kernel, specialization.tile("WORKGROUP", WORKGROUP))?;
    let mut bindings = vec![range.binding];
    bindings.extend(buffers.iter().map(|&buffer| crate::gpu::Binding::from(buffer)));
    recording.dispatch(gpu, kernel_name, kernel, &bindings, [range.most, 1, 1])
}

/// What a feature's place in a ranking depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Order {
    /// Planes (channels) whose values are added up to a feature's.
    pub planes: u32,
    /// By |value|.
    pub magnitude: bool,
    /// Largest first.
    pub descending: bool,
}

/// Buffers of a ranking of up to `most` images.
pub(super) struct Ranking {
    /// [image, feature]: place, from 0; ties in the order of the features.
    pub positions: Buffer,
    /// [image, feature]: rank, from 1; ties share their average.
    pub ranks: Buffer,
    workspace: Buffer,
    /// Features an image.
    pub features: u32,
    order: Order,
}

impl Ranking {
    /// Room for the features of `most` images.
    pub fn new(gpu: &Gpu, most: u32, features: u32, order: Order) -> Result<Ranking> {
        let bytes = u64::from(most) * u64::from(features) * 4;
        Ok(Ranking {
            positions: gpu.buffer("places in the ranking", bytes)?,
            ranks: gpu.buffer("ranks", bytes)?,
            workspace: gpu.buffer("workspace of the ranking", 3 * bytes)?,
            features,
            order,
        })
    }

    /// Adds the ranking of `values`, [image, plane, feature].
    pub fn record(
        &self,
        gpu: &Gpu,
        recording: &mut Recording,
        range: ImageRange<'_>,
        values: &Buffer,
    ) -> Result<()> {
        let specialization = Specialization::new()
            .constant("FEATURES", self.features)
            .constant("PLANES", self.order.planes)
            .constant("MAGNITUDE", u32::from(self.order.magnitude))
            .constant("DESCENDING", u32::from(self.order.descending));
        let buffers = [values, &self.workspace, &self.positions, &self.ranks];
        record_per_image(gpu, recording, "rank_values", specialization, range, &buffers)
    }
}
