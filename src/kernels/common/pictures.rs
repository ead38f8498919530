//! Sizes of images and of rows of logits.

use crate::{
    config::Shape,
    layout::{groups, padded},
    shaders::Specialization,
};

/// Workgroups of `lanes` in a kernel with one pixel, or one group of 4 of its values, per
/// invocation.
pub(in crate::kernels) fn picture(lanes: u32, shape: Shape) -> Specialization {
    Specialization::new()
        .tile("LANES", lanes)
        .constant("HEIGHT", shape.height)
        .constant("WIDTH", shape.width)
        .constant("CHANNELS", shape.channels)
}

/// `specialization` with the shape of a layer that is enlarged to the image.
pub(in crate::kernels) fn layer_of(specialization: Specialization, layer: Shape) -> Specialization {
    specialization
        .constant("LAYER_HEIGHT", layer.height)
        .constant("LAYER_WIDTH", layer.width)
        .constant("LAYER_GROUPS", groups(layer.channels))
}

/// As [`picture`], for a kernel that does not distinguish rows and columns.
pub(in crate::kernels) fn flat_picture(lanes: u32, shape: Shape) -> Specialization {
    Specialization::new()
        .tile("LANES", lanes)
        .constant("PIXELS", shape.pixels())
        .constant("CHANNELS", shape.channels)
}

/// Groups of 4 values of an image.
pub(in crate::kernels) fn elements(shape: Shape) -> u32 {
    shape.pixels() * groups(shape.channels)
}

/// Workgroups of `lanes` in a kernel with the logits of one image per invocation.
pub(in crate::kernels) fn class_rows(lanes: u32, classes: u32) -> Specialization {
    Specialization::new()
        .tile("LANES", lanes)
        .constant("CLASSES", classes)
        .constant("CLASS_STRIDE", padded(classes))
}
