//! The samples of an image in an attribution method (shaders/common/samples.wgsl).

use crate::shaders::{Specialization, kinds::sampling};

/// How parts of an image are replaced by its baseline.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Hiding {
    /// One window of `side` pixels per sample, every `stride` pixels; sample 0 is the image itself
    /// (occlusion).
    Window {
        /// Height and width in pixels.
        side: u32,
        /// Stride between windows in pixels.
        stride: u32,
    },
    /// One random mask per sample (RISE).
    Mask {
        /// Number of nodes of its lattice per axis.
        grid: u32,
        /// Share of the nodes that show the image.
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

/// How a sample is made from an image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sampling {
    /// The image itself.
    Clean,
    /// The image with normal noise.
    Noisy {
        /// Its standard deviation as a share of the image's max − min.
        noise: f32,
    },
    /// A point on the path from a baseline.
    OnPath,
    /// A random point on the path from a random baseline to a noisy copy.
    OnRandomPath {
        /// As for [`Sampling::Noisy`].
        noise: f32,
    },
    /// The image with parts replaced by a baseline.
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
