//! The tensors between operations.

use super::ids::{OpId, ValueId};
use crate::{config::Shape, quant::ActivationPlan};

/// One tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct Value {
    /// Its place.
    pub id: ValueId,
    /// Channels, rows and columns of one image.
    pub shape: Shape,
    /// What its numbers are levels of; none for floats and for images.
    pub quantizer: Option<ValueQuantizer>,
    /// The operation that makes it; none for images.
    pub producer: Option<OpId>,
    /// The operations that read it, in order.
    pub consumers: Vec<OpId>,
}

/// The activation whose levels a value holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ValueQuantizer {
    /// The activation.
    pub activation: OpId,
    /// Bits of a level.
    pub bits: u32,
    /// What kernels know of it.
    pub plan: ActivationPlan,
}
