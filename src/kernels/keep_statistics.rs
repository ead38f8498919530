//! Launcher of `shaders/keep_statistics.wgsl`.

use crate::{
    gpu::{Buffer, Launch, Launcher},
    shaders::Specialization,
};

/// Saves the running statistics of a step that counts, or restores them after a step that does not.
#[derive(Clone, Copy, Debug)]
pub struct KeepStatistics<'a> {
    /// Whether the step counts (shaders/common/health.wgsl).
    pub health: &'a Buffer,
    /// The flat parameters with the statistics.
    pub parameters: &'a Buffer,
    /// Statistics after the last step that counted.
    pub kept: &'a Buffer,
    /// Index of the first statistic in the parameters.
    pub first: u32,
    /// Number of statistics.
    pub count: u32,
    /// Invocations of a workgroup.
    pub lanes: u32,
}

impl Launcher for KeepStatistics<'_> {
    fn launch(&self) -> Launch<'_> {
        let specialization = Specialization::new()
            .tile("LANES", self.lanes)
            .constant("FIRST", self.first)
            .constant("COUNT", self.count);
        Launch::new("keep_statistics", specialization)
            .bind("health", self.health)
            .bind("parameters", self.parameters)
            .bind("kept", self.kept)
            .over([self.count.div_ceil(self.lanes), 1, 1])
    }
}
