//! Launcher of `shaders/positive_part.wgsl`.

use super::common::{ELEMENTWISE, grid};
use crate::{
    gpu::{Buffer, Launch, Launcher},
    shaders::Specialization,
};

/// values ← max(values, 0), in place.
#[derive(Clone, Copy, Debug)]
pub struct PositivePart<'a> {
    /// Groups of 4 f32, all of the buffer.
    pub values: &'a Buffer,
}

impl Launcher for PositivePart<'_> {
    fn launch(&self) -> Launch<'_> {
        let count = (self.values.size() / 16) as u32;
        Launch::new("positive_part", Specialization::new().constant("COUNT", count))
            .bind("values", self.values)
            .over(grid(count.div_ceil(ELEMENTWISE)))
    }
}
