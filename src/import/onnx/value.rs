//! What names in a graph stand for: constants, and values that depend on the images.

use std::rc::Rc;

use super::{Fallible, constant::Constant, layout::Layout};
use crate::config::Shape;

/// What a name stands for.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// Known numbers.
    Constant(Rc<Constant>),
    /// Numbers an image.
    Live(Live),
    /// A factor that may be part of an activation, which is a layer only where it is not.
    Gate(Gate),
    /// Levels between a QuantizeLinear and its DequantizeLinear.
    Quantized(Quantized),
}

/// round(x / scale) + zero, between the ends of `range`.
#[derive(Clone, Debug)]
pub(super) struct Quantized {
    pub(super) of: Live,
    pub(super) scale: f32,
    pub(super) zero: i64,
    pub(super) range: [i64; 2],
    /// Whether x is scale·(level − zero) already.
    pub(super) is_on_grid: bool,
}

/// What a layer makes of the images, or these.
#[derive(Clone, Debug)]
pub(super) struct Live {
    /// The layer; none for the images.
    pub(super) source: Option<usize>,
    /// Shape of an image of it.
    pub(super) shape: Shape,
    /// How the tensor's axes stand for it.
    pub(super) layout: Layout,
    /// Zeros around it, above, left, below, right, that the next layer takes over.
    pub(super) pads: [u32; 4],
    /// Whether the layer has other readers.
    pub(super) is_shared: bool,
    /// Whether a softmax behind the layer was left out.
    pub(super) is_probability: bool,
}

/// A sigmoid, or one of straight lines, of a value.
#[derive(Clone, Debug)]
pub(super) struct Gate {
    /// Of what.
    pub(super) of: Live,
    /// Of which function.
    pub(super) kind: GateKind,
    /// The name of its layer.
    pub(super) name: String,
}

/// The function of a gate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum GateKind {
    /// 1/(1 + e^−x).
    Sigmoid,
    /// min(max(αx + β, 0), 1).
    Hard { alpha: f64, beta: f64 },
}

impl Live {
    /// What layer `source` makes, [batch, channels, rows, columns].
    pub(super) fn images(source: Option<usize>, shape: Shape) -> Live {
        Live {
            source,
            shape,
            layout: Layout::images(shape),
            pads: [0; 4],
            is_shared: false,
            is_probability: false,
        }
    }

    /// The same tensor out of layer `source`.
    pub(super) fn made_by(&self, source: usize) -> Live {
        Live { source: Some(source), is_shared: false, ..self.clone() }
    }

    /// The same numbers with other axes.
    pub(super) fn laid_out(&self, layout: Layout) -> Live {
        Live { layout, ..self.clone() }
    }

    /// Whether both are the same tensor.
    pub(super) fn is_same(&self, other: &Live) -> bool {
        (self.source, &self.layout, self.pads) == (other.source, &other.layout, other.pads)
    }

    /// Refuses what is padded, where nothing takes the padding over.
    pub(super) fn unpadded(self) -> Fallible<Live> {
        match self.pads {
            [0, 0, 0, 0] => Ok(self),
            _ => Err("a Pad is supported in front of Conv, MaxPool and AveragePool".into()),
        }
    }

    /// The layer that made it, with nothing around it that is still to be added.
    pub(super) fn unpadded_source(&self) -> Option<usize> {
        self.source.filter(|_| self.pads == [0; 4])
    }

    /// Refuses other axes than [batch, channels, rows, columns].
    pub(super) fn in_order(self) -> Fallible<Live> {
        match self.layout == Layout::images(self.shape) {
            true => Ok(self),
            false => Err("it does not read [batch, channels, rows, columns]".into()),
        }
    }

    /// A constant that is broadcast to it as one number, or one a channel.
    pub(super) fn per_channel(&self, constant: &Constant) -> Fallible<Vec<f64>> {
        let rank = self.layout.rank();
        for (behind, &size) in constant.shape.iter().rev().enumerate() {
            let is_channel = rank.checked_sub(behind + 1).is_some_and(|place| {
                self.layout.channel_axis() == Some(place) && size == self.shape.channels as usize
            });
            if size != 1 && !is_channel {
                return Err(format!(
                    "a constant of shape {:?} is neither a number nor one a channel",
                    constant.shape
                ));
            }
        }
        Ok(constant.numbers())
    }
}
