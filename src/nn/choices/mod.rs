//! Which kernel family and which tiles for which adapter: the one table.

mod family;
mod matrices;
mod strips;
mod table;

pub use family::ConvolutionFamily;
pub use strips::StripShape;
pub use table::TileTable;
