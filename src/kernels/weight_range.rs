//! Launcher of `shaders/weight_range.wgsl`.

use super::common::{ELEMENTWISE, WeightShape};
use crate::{
    gpu::{Buffer, Launch, Launcher},
    shaders::Specialization,
};

/// Range and sums of the weights of every output channel.
#[derive(Clone, Copy, Debug)]
pub struct WeightRange<'a> {
    /// The flat array with the weights.
    pub parameters: &'a Buffer,
    /// One vec4 per output channel.
    pub statistics: &'a Buffer,
    /// Sizes and indices.
    pub shape: WeightShape,
}

impl Launcher for WeightRange<'_> {
    fn launch(&self) -> Launch<'_> {
        let specialization = Specialization::new()
            .constant("OUT_CHANNELS", self.shape.out_channels)
            .constant("IN_ELEMENTS", self.shape.fan_in())
            .constant("WEIGHT_INDEX", self.shape.weight_index);
        // Three passes over 16 weights an iteration, two of them in blocks of 64.
        Launch::new("weight_range", specialization)
            .bind("parameters", self.parameters)
            .bind("statistics", self.statistics)
            .over([self.shape.out_channels.div_ceil(ELEMENTWISE), 1, 1])
            .looping(14 * u64::from(self.shape.fan_in().div_ceil(64)))
    }
}
