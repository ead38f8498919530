//! What the samples of an image are that an attribution method looks at
//! (shaders/common/samples.wgsl).

use crate::shaders::{Specialization, kinds::sampling};

/// What hides parts of an image behind its baseline.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Hiding {
    /// A window of `side` pixels a sample, every `stride` pixels; sample 0 is the image itself
    /// (occlusion).
    Window {
        /// Height and width in pixels.
        side: u32,
        /// Step between windows in pixels.
        stride: u32,
    },
    /// A random mask a sample (RISE).
    Mask {
        /// Nodes of its lattice along an axis.
        grid: u32,
        /// Share of the nodes that let the image through.
        share: f32,
    },
}

impl Hiding {
    /// KIND of the kernels.
    pub(in crate::kernels) fn number(self) -> u32 {
        match self {
            Hiding::Window { .. } => sampling::COVERED,
            Hiding::Mask { .. } => sampling::MASKED,
        }
    }

    /// `specialization` with its sizes.
    pub(in crate::kernels) fn specialize(self, specialization: Specialization) -> Specialization {
        match self {
            Hiding::Window { side, stride } => {
                specialization.constant("WINDOW", side).constant("STRIDE", stride)
            }
            Hiding::Mask { grid, share } => {
                specialization.constant("GRID", grid).constant("SHARE", share)
            }
        }
    }
}

/// What a sample makes of an image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sampling {
    /// The image itself.
    Clean,
    /// With normal noise.
    Noisy {
        /// Its deviation as a share of the image's max − min.
        noise: f32,
    },
    /// A point on the path from a baseline.
    OnPath,
    /// A random point on the path from a random baseline to a noisy copy.
    OnRandomPath {
        /// As of [`Sampling::Noisy`].
        noise: f32,
    },
    /// With parts behind a baseline.
    Hidden(Hiding),
}

impl Sampling {
    /// KIND of the kernels.
    pub(in crate::kernels) fn number(self) -> u32 {
        match self {
            Sampling::Clean => sampling::CLEAN,
            Sampling::Noisy { .. } => sampling::NOISY,
            Sampling::OnPath => sampling::ON_PATH,
            Sampling::OnRandomPath { .. } => sampling::ON_RANDOM_PATH,
            Sampling::Hidden(hiding) => hiding.number(),
        }
    }
}
