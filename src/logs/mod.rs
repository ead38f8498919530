//! Logs of a run besides `metrics.jsonl`: TensorBoard's event files, `metrics.csv`, the newest
//! saliency maps, and the view of `saliq watch`.

mod csv_file;
mod maps;
mod run_logs;
mod tensorboard;
mod view;

pub use maps::{MAPS_FILE, NewestMaps};
pub use run_logs::RunLogs;
pub use tensorboard::{Event, Histogram, Image, SessionLog, Summary, Value, read_events};
pub use view::{RunView, ViewOptions};
