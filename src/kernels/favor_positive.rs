//! Launcher of `shaders/favor_positive.wgsl`.

use super::common::{ELEMENTWISE, grid};
use crate::{
    gpu::{Buffer, Launch, Launcher},
    shaders::Specialization,
};

/// values ← values + γ·max(values, 0), in place.
#[derive(Clone, Copy, Debug)]
pub struct FavorPositive<'a> {
    /// Groups of 4 f32, all of the buffer.
    pub values: &'a Buffer,
    /// γ.
    pub gamma: f32,
}

impl Launcher for FavorPositive<'_> {
    fn launch(&self) -> Launch<'_> {
        let count = (self.values.size() / 16) as u32;
        let specialization =
            Specialization::new().constant("COUNT", count).constant("GAMMA", self.gamma);
        Launch::new("favor_positive", specialization)
            .bind("values", self.values)
            .over(grid(count.div_ceil(ELEMENTWISE)))
    }
}
