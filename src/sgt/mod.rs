//! Saliency Guided Training on the device.

pub mod records;
