//! Launcher of `shaders/weight_scale.wgsl`.

use super::common::{ELEMENTWISE, quantized_levels};
use crate::{
    config::decimal,
    gpu::{Buffer, Launch, Launcher},
    quant::{SAWB_LEAST, WeightQuantizerPlan},
    shaders::Specialization,
};

/// Constants of a quantizer from the statistics of the weights.
#[derive(Clone, Copy, Debug)]
pub struct WeightScale<'a> {
    /// A vec4 an output channel, of [`super::WeightRange`].
    pub statistics: &'a Buffer,
    /// One vec4 of constants per output channel.
    pub quantizer: &'a Buffer,
    /// Output channels.
    pub channels: u32,
    /// The quantizer.
    pub plan: WeightQuantizerPlan,
}

impl Launcher for WeightScale<'_> {
    fn launch(&self) -> Launch<'_> {
        let (first, second) = self.plan.sawb_coefficients();
        let channels = Specialization::new().constant("OUT_CHANNELS", self.channels);
        let specialization = quantized_levels(channels, self.plan)
            .constant("PER_CHANNEL", u32::from(self.plan.is_per_channel()))
            .constant("SAWB_1", first)
            .constant("SAWB_SUM", decimal(first) + decimal(second))
            .constant("SAWB_LEAST", SAWB_LEAST);
        Launch::new("weight_scale", specialization)
            .bind("statistics", self.statistics)
            .bind("quantizer", self.quantizer)
            .over([self.channels.div_ceil(ELEMENTWISE), 1, 1])
    }
}
