//! Log lines on standard error: saliq's warnings always, its progress with `-v`, those of all
//! libraries with `-vv`.

use std::{io::Write, sync::OnceLock};

use log::{Level, LevelFilter, Log, Metadata, Record};

struct StderrLogger {
    own: LevelFilter,
    libraries: LevelFilter,
}

impl Log for StderrLogger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let target = metadata.target();
        let own = target == "saliq" || target.starts_with("saliq::");
        metadata.level() <= if own { self.own } else { self.libraries }
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let kind = match record.level() {
                Level::Error => "error",
                Level::Warn => "warning",
                Level::Info => "info",
                Level::Debug => "debug",
                Level::Trace => "trace",
            };
            let text = crate::plain_lines(&record.args().to_string());
            let _ = writeln!(std::io::stderr(), "{kind}: {text}");
        }
    }

    fn flush(&self) {}
}

/// Installs the logger for `verbose` times `-v`. wgpu and naga log at `-vv` (warnings) and `-vvv`
/// (everything).
pub(super) fn start(verbose: u8, quiet: bool) {
    let (own, libraries) = match verbose {
        0 if quiet => (LevelFilter::Off, LevelFilter::Off),
        0 => (LevelFilter::Warn, LevelFilter::Off),
        1 => (LevelFilter::Info, LevelFilter::Off),
        2 => (LevelFilter::Debug, LevelFilter::Warn),
        _ => (LevelFilter::Trace, LevelFilter::Debug),
    };
    static LOGGER: OnceLock<StderrLogger> = OnceLock::new();
    // A second start (tests in one process) leaves the first logger in place.
    if log::set_logger(LOGGER.get_or_init(|| StderrLogger { own, libraries })).is_ok() {
        log::set_max_level(own.max(libraries));
    }
}
