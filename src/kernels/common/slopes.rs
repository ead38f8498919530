//! Sizes of a PReLU.

use crate::{config::Shape, layout::groups, shaders::Specialization};

/// A PReLU over values of a shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PreluShape {
    /// Of input and output.
    pub shape: Shape,
    /// Index of the first slope in the flat array.
    pub slope_index: u32,
    /// Whether every channel has a slope of its own.
    pub per_channel: bool,
}

impl PreluShape {
    /// Groups of 4 values an image.
    pub(in crate::kernels) fn elements(self) -> u32 {
        self.shape.pixels() * groups(self.shape.channels)
    }

    /// The constants of its kernels.
    pub(in crate::kernels) fn constants(self) -> Specialization {
        Specialization::new()
            .constant("ELEMENTS", self.elements())
            .constant("GROUPS", groups(self.shape.channels))
            .constant("CHANNELS", self.shape.channels)
            .constant("SLOPE_INDEX", self.slope_index)
            .constant("PER_CHANNEL", u32::from(self.per_channel))
    }
}
