//! ONNX files: float models, and quantized ones as QDQ and QCDQ.
//!
//! - The input `image` is f32 [batch, C, H, W] in 0..1, normalised within the graph
//!   ([`OnnxInput::Image`]), or already normalised; the output is `logits`, [batch, classes]. The
//!   batch's size is free.
//! - Quantized weights are integer constants behind a `DequantizeLinear`: (level − zero
//!   point)·scale, one scale or one an output channel (axis 0).
//! - Quantized activations are `QuantizeLinear` → `Clip` → `DequantizeLinear` (QCDQ) on bytes;
//!   without the `Clip` where the byte's own ends saturate alike (QDQ). ONNX rounds half to even,
//!   as saliq does. Biases and everything else stay in f32, as they are in training.
//! - With [`OnnxOptions::on_integers`], layers between quantized activations are QLinearConv and
//!   QGemm.
//! - Batch norms are folded, dropouts gone.
//!
//! The file asks for no newer operator set than it needs: 13, 21 where it has constants of 4 or 16
//! bits, 25 where it has some of 2 bits.

mod expansion;
mod following;
mod graph;
mod interpreter;
mod operators;
mod qoperator;
mod tensor;

pub use crate::import::onnx::schema;
pub use following::{Followed, FollowedActivation, follow};
pub use graph::{OnnxInput, OnnxOptions, onnx_model};
pub use interpreter::{Interpreter, Outcome};
pub use tensor::{Elements, Tensor};
