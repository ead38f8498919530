//! Launcher of `shaders/align_maps.wgsl`.

use super::common::{ImageRange, per_image};
use crate::gpu::{Binding, Buffer, Launch, Launcher};

/// The distance 1 − cos of the student's map of every image from the teacher's, and the gradient of
/// their weighted mean with respect to the student's.
#[derive(Clone, Copy, Debug)]
pub struct AlignMaps<'a> {
    /// Images to work on.
    pub images: ImageRange<'a>,
    /// The teacher's maps, [image, group] vec4; 0 in the padding.
    pub teacher: Binding<'a>,
    /// The student's, likewise, which the gradients replace.
    pub student: Binding<'a>,
    /// `[image]` vec4: y becomes the distance.
    pub sums: &'a Buffer,
    /// Groups of 4 values per image.
    pub elements: u32,
    /// Weight of the mean.
    pub weight: f32,
}

impl Launcher for AlignMaps<'_> {
    fn launch(&self) -> Launch<'_> {
        let specialization =
            per_image().constant("ELEMENTS", self.elements).constant("WEIGHT", self.weight);
        Launch::new("align_maps", specialization)
            .bind("images", self.images)
            .bind("teacher", self.teacher)
            .bind("student", self.student)
            .bind("sums", self.sums)
            .over([self.images.most, 1, 1])
    }
}
