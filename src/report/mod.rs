//! Figures and reports from plain numbers: image grids (PNG), charts (SVG, PNG), tables (text,
//! Markdown, HTML) and a self-contained `report.html`. Nothing here needs a GPU.

mod canvas;
mod colormap;
mod colormap_tables;
mod curves;
mod filmstrip;
mod grid;
mod histograms;
mod html;
mod picture;
mod quantizers;
mod raster;
mod style;
mod table;
mod text;

pub(crate) use crate::files::write_atomically;
pub use colormap::{ColorMap, SaliencyScale};
pub use curves::{ChartStack, DotChart, Dots, LineChart, Quantity, Series};
pub use filmstrip::Filmstrip;
pub use grid::{Grid, GridColumn};
pub use histograms::DistributionChart;
pub use html::{Block, Report, Section};
pub use picture::{Ground, Picture, parse_picture, read_picture};
pub use quantizers::{QuantizerTrace, quantizer_charts};
pub use table::{ResultRow, Table, result_table, result_terms};
pub(crate) use table::{
    bytes, counted, csv_field, fixed, markdown_text, plus_minus, signed, thousands,
};
