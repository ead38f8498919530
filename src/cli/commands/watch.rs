//! `saliq watch`.

use std::{
    io::IsTerminal,
    time::{Duration, Instant},
};

use crate::{
    Error, Result,
    cli::{
        args::{GlobalArgs, WatchArgs},
        signals,
    },
    logs::{RunView, ViewOptions},
};

/// Clears the terminal and goes to its upper left corner.
const CLEAR: &str = "\x1b[2J\x1b[H";
/// Rows of the curve.
const ROWS: usize = 10;

/// Shows a run until it is finished.
///
/// # Errors
/// [`Error::Io`] where there is no run; [`Error::Interrupted`] after a signal.
pub fn run(args: &WatchArgs, global: &GlobalArgs) -> Result<()> {
    let output = global.output();
    let columns = std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok()).unwrap_or(100);
    let options = ViewOptions { columns, rows: ROWS, color: output.is_colored() };
    let once = args.once || output.json || !std::io::stdout().is_terminal();
    signals::install();
    loop {
        let view = RunView::read(&args.run)?;
        if output.json {
            return output.result(&view, String::new);
        }
        let text = view.to_text(&options);
        if once {
            return output.raw(text.trim_end());
        }
        output.raw(&format!("{CLEAR}{}", text.trim_end()))?;
        if view.finished {
            return Ok(());
        }
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(args.every) {
            if let Some(signal) = signals::interrupted() {
                return Err(Error::Interrupted { signal });
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}
