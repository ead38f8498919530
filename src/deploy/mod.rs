//! A trained model on its way to a device: what other runtimes and formats are made from, as plain
//! data.
//!
//! [`DeployableModel`] is a model file without its batch norms and dropouts, with the integer
//! levels of its quantized weights ([`WeightLevels`]) and the grids of its quantized activations
//! ([`ActivationGrid`]). [`pack_codes`] puts codes of 1 to 8 bits side by side. [`IntegerPlan`] is
//! the model as steps on integers, [`c_header`] those as a C header.

mod activation;
mod c_header;
mod c_program;
mod integer;
mod model;
pub mod onnx;
mod packed;
mod rounding;
mod verification;
mod weights;

pub use crate::quant::{pack_codes, packed_bytes, unpack_codes};
pub use activation::{ActivationGrid, DeployableActivation};
pub use c_header::{
    CHeader, COptions, Edges, PixelOrder, Rescale, c_header, c_header_with, c_identifier,
};
pub use c_program::{CFinding, CProgram};
pub use integer::{
    Encoding, IntegerPlan, IntegerStep, Margin, StepOperation, StepWeights, WeightedStep,
};
pub use model::{DeployableLayer, DeployableModel, DeployableWeights, Operation};
pub use packed::packed_file;
pub(crate) use rounding::{FUNCTION, UNIT};
pub(crate) use verification::first_highest;
pub use verification::{Finding, LayerVerification, TOLERANCE, UNDECIDED, Verification};
pub use weights::{LevelGrid, WeightLevels};
