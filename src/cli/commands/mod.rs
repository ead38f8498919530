//! One thin function a command.

pub mod bench;
pub mod check;
pub mod data;
pub mod demo;
pub mod devices;
pub mod eval;
pub mod explain;
pub mod train;
