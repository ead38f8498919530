//! Progress on standard error: bars on a terminal, never with `--quiet` or `--json`; and one line
//! that says how long a command will take, once that is known.

use std::{
    cell::Cell,
    io::IsTerminal,
    rc::Rc,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::output::Output;

/// The values that the training bar shows next to steps and time.
#[derive(Clone, Copy, Debug, Default)]
pub struct StepStatus {
    /// Loss of the step (ce + λ·kl), a mean over the batch.
    pub loss: f32,
    /// Its KL term; absent in plain training.
    pub kl: Option<f32>,
    /// Share of the batch that was classified correctly, 0..=1.
    pub accuracy: f32,
    /// Throughput in images per second.
    pub images_per_second: f32,
}

/// A progress bar that may be hidden; all methods are then cheap and have no effect.
#[derive(Clone, Debug)]
pub struct Progress {
    bar: ProgressBar,
    quiet: bool,
    /// What [`Self::items`] are; the line about the time begins with it.
    what: Rc<str>,
    pace: Rc<Cell<Pace>>,
    /// The work of all parts that have begun.
    begun: Rc<Cell<u64>>,
}

/// A part of the work of a [`Progress`].
#[derive(Debug)]
pub struct Part<'a> {
    whole: &'a Progress,
    before: u64,
    size: u64,
    count: u64,
}

impl Part<'_> {
    /// Sets how many of its items are done.
    pub fn set(&self, done: u64) {
        self.whole.set(self.before + self.size * done / self.count.max(1));
    }
}

/// Estimates the time of a command from the speed of its beginning.
#[derive(Clone, Copy, Debug, Default)]
enum Pace {
    /// Nothing is done: pipelines are made, which happens once.
    #[default]
    Unknown,
    /// When the first items were done, and how many.
    Since(Instant, u64),
    Said,
}

impl Pace {
    /// Seconds that are left when `done` of `all` items are done, once and only if they are many.
    fn seconds_left(&mut self, now: Instant, done: u64, all: u64) -> Option<f64> {
        match *self {
            Pace::Unknown if done > 0 => *self = Pace::Since(now, done),
            Pace::Since(first, before) if done > before && now >= first + MEASURED => {
                *self = Pace::Said;
                let one = (now - first).as_secs_f64() / (done - before) as f64;
                let seconds = one * all.saturating_sub(done) as f64;
                return Some(seconds).filter(|&seconds| seconds >= LONG);
            }
            _ => {}
        }
        None
    }
}

/// Time of which a speed is measured: adapters take some work before they have done it.
const MEASURED: Duration = Duration::from_secs(2);
/// Seconds that are worth a line.
const LONG: f64 = 20.0;

impl Progress {
    fn new(output: &Output, length: Option<u64>, template: &str) -> Progress {
        let visible = !output.quiet && !output.json && std::io::stderr().is_terminal();
        let target = if visible {
            ProgressDrawTarget::stderr_with_hz(10)
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(length, target);
        // The templates are constants that a test parses; the default style of indicatif is the
        // fallback.
        bar.set_style(
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        let pace = Rc::new(Cell::new(Pace::Said));
        Progress { bar, quiet: output.quiet, what: "".into(), pace, begun: Rc::default() }
    }

    /// A bar over `total` training steps, of which `done` were taken before a `--resume`.
    pub fn training(output: &Output, total: u64, done: u64) -> Progress {
        let progress = Progress::new(output, Some(total), TRAINING);
        progress.bar.set_position(done);
        progress.bar.reset_eta();
        progress
    }

    /// A bar over `total` items of some kind, such as images. If they take long, a line says so as
    /// soon as some are done: `what: about 2 min left`.
    pub fn items(output: &Output, what: &str, total: u64) -> Progress {
        let progress = Progress::new(output, Some(total), ITEMS);
        progress.bar.set_prefix(crate::plain(what));
        Progress { what: what.into(), pace: Rc::default(), ..progress }
    }

    /// The next part of the work: `size` of the whole's items, reported as `count` of its own.
    pub fn part(&self, what: &str, size: u64, count: u64) -> Part<'_> {
        let before = self.begun.replace(self.begun.get() + size);
        self.bar.set_prefix(crate::plain(what));
        Part { whole: self, before, size, count }
    }

    /// A bar over a download of `total` bytes, if that is known.
    pub fn bytes(output: &Output, what: &str, total: Option<u64>) -> Progress {
        let progress =
            Progress::new(output, total, if total.is_some() { BYTES } else { BYTES_UNKNOWN });
        progress.bar.set_prefix(crate::plain(what));
        progress
    }

    /// A spinner for work of unknown length, such as compiling kernels.
    pub fn spinner(output: &Output, what: &str) -> Progress {
        let progress = Progress::new(output, None, SPINNER);
        progress.bar.set_prefix(crate::plain(what));
        if !progress.bar.is_hidden() {
            progress.bar.enable_steady_tick(Duration::from_millis(120));
        }
        progress
    }

    /// Shows step `step` of a training bar.
    pub fn step(&self, step: u64, status: &StepStatus) {
        if self.bar.is_hidden() {
            return;
        }
        let kl = status.kl.map_or(String::new(), |kl| format!("  kl {kl:.4}"));
        self.bar.set_message(format!(
            "loss {:.4}{kl}  accuracy {:.1} %  {:.0} images/s",
            status.loss,
            100.0 * status.accuracy,
            status.images_per_second
        ));
        self.bar.set_position(step);
    }

    /// Sets the position, in the bar's unit.
    pub fn set(&self, position: u64) {
        self.bar.set_position(position);
        let mut pace = self.pace.get();
        let all = self.bar.length().unwrap_or_default();
        if let Some(seconds) = pace.seconds_left(Instant::now(), position, all) {
            self.note(&format!("{}: about {} left", self.what, duration(seconds)));
        }
        self.pace.set(pace);
    }

    /// Advances the position.
    pub fn advance(&self, by: u64) {
        self.set(self.bar.position() + by);
    }

    /// Prints a line above the bar (on standard error if there is no bar), unless `--quiet`.
    pub fn note(&self, text: &str) {
        let text = crate::plain_lines(text);
        if self.bar.is_hidden() {
            if !self.quiet {
                use std::io::Write;
                let _ = writeln!(std::io::stderr(), "{text}");
            }
        } else {
            self.bar.println(text);
        }
    }

    /// Removes the bar.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// A time in words.
pub fn duration(seconds: f64) -> String {
    match seconds {
        seconds if seconds < 90.0 => format!("{seconds:.0} s"),
        seconds if seconds < 5400.0 => format!("{:.0} min", seconds / 60.0),
        seconds => format!("{:.1} h", seconds / 3600.0),
    }
}

const TRAINING: &str = "{bar:24} step {pos}/{len}  {msg}  {eta} left";
const ITEMS: &str = "{prefix} {bar:24} {pos}/{len}  {eta} left";
const BYTES: &str = "{prefix} {bar:24} {bytes}/{total_bytes}  {bytes_per_sec}  {eta} left";
const BYTES_UNKNOWN: &str = "{prefix} {spinner} {bytes}  {bytes_per_sec}";
const SPINNER: &str = "{spinner} {prefix} {elapsed}";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_estimated_once_from_what_is_behind_the_start() {
        let mut pace = Pace::default();
        let begin = Instant::now();
        let after = |seconds: u64| begin + Duration::from_secs(seconds);
        // The first 10 of 1,000 items took a minute, with what happens once; then 5 a second.
        assert_eq!(pace.seconds_left(after(0), 0, 1000), None);
        assert_eq!(pace.seconds_left(after(60), 10, 1000), None);
        assert_eq!(pace.seconds_left(after(61), 15, 1000), None, "too early");
        assert_eq!(pace.seconds_left(after(62), 20, 1000), Some(196.0));
        assert_eq!(pace.seconds_left(after(63), 25, 1000), None, "said");
        let mut short = Pace::Since(begin, 10);
        assert_eq!(short.seconds_left(after(2), 500, 1000), None);
    }

    #[test]
    fn parts_make_up_the_whole() {
        let output = Output::new(false, true, false);
        let whole = Progress::items(&output, "comparing", 40);
        let first = whole.part("explaining", 30, 3);
        first.set(1);
        assert_eq!(whole.bar.position(), 10);
        let second = whole.part("removing", 10, 0);
        second.set(0);
        assert_eq!(whole.bar.position(), 30);
        assert_eq!([89.4, 90.0, 7200.0].map(duration), ["89 s", "2 min", "2.0 h"]);
    }

    #[test]
    fn templates_parse() {
        for template in [TRAINING, ITEMS, BYTES, BYTES_UNKNOWN, SPINNER] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }
}
