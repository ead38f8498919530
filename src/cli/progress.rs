//! Progress bars on standard error: only on a terminal, and never with `--quiet` or `--json`.

use std::{io::IsTerminal, time::Duration};

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
}

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
        Progress { bar, quiet: output.quiet }
    }

    /// A bar over `total` training steps, of which `done` were taken before a `--resume`.
    pub fn training(output: &Output, total: u64, done: u64) -> Progress {
        let progress = Progress::new(output, Some(total), TRAINING);
        progress.bar.set_position(done);
        progress.bar.reset_eta();
        progress
    }

    /// A bar over `total` items of some kind, such as images.
    pub fn items(output: &Output, what: &str, total: u64) -> Progress {
        let progress = Progress::new(output, Some(total), ITEMS);
        progress.bar.set_prefix(crate::plain(what));
        progress
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
    }

    /// Advances the position.
    pub fn advance(&self, by: u64) {
        self.bar.inc(by);
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

const TRAINING: &str = "{bar:24} step {pos}/{len}  {msg}  {eta} left";
const ITEMS: &str = "{prefix} {bar:24} {pos}/{len}  {eta} left";
const BYTES: &str = "{prefix} {bar:24} {bytes}/{total_bytes}  {bytes_per_sec}  {eta} left";
const BYTES_UNKNOWN: &str = "{prefix} {spinner} {bytes}  {bytes_per_sec}";
const SPINNER: &str = "{spinner} {prefix} {elapsed}";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_parse() {
        for template in [TRAINING, ITEMS, BYTES, BYTES_UNKNOWN, SPINNER] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }
}
