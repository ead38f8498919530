//! Which kernel family and which tiles for which adapter: the one table.

mod strips;
mod table;

pub use strips::StripShape;
pub use table::TileTable;
