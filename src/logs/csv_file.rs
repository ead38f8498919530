//! `metrics.csv`: the numbers of `metrics.jsonl` with a fixed set of columns.

use std::{
    fs::{File, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
};

use crate::{
    Error, Result,
    files::write_atomically,
    train::{EpochLine, StepLine},
};

/// Name of the file in a run folder.
pub(super) const NAME: &str = "metrics.csv";

const COLUMNS: [&str; 18] = [
    "kind",
    "step",
    "epoch",
    "loss",
    "ce",
    "kl",
    "distill",
    "align",
    "accuracy",
    "lr",
    "train_loss",
    "train_accuracy",
    "test_accuracy",
    "test_loss",
    "validation_accuracy",
    "validation_loss",
    "seconds",
    "images_per_second",
];

/// A growing `metrics.csv`.
pub(super) struct CsvFile {
    path: PathBuf,
    file: File,
    waiting: String,
}

impl CsvFile {
    /// The file of the run in `folder`, with the lines that the run has already.
    pub fn create(folder: &Path, steps: &[StepLine], epochs: &[EpochLine]) -> Result<CsvFile> {
        let path = folder.join(NAME);
        let mut text = COLUMNS.join(",") + "\n";
        // A step's line stands before that of the epoch that it ends.
        let mut epochs = epochs.iter().peekable();
        for line in steps {
            while let Some(epoch) = epochs.next_if(|epoch| epoch.step < line.step) {
                text += &epoch_row(epoch);
            }
            text += &step_row(line);
        }
        epochs.for_each(|epoch| text += &epoch_row(epoch));
        write_atomically(&path, text.as_bytes())?;
        let file = OpenOptions::new().append(true).open(&path);
        let file = file.map_err(Error::io("cannot write", &path))?;
        Ok(CsvFile { path, file, waiting: String::new() })
    }

    pub fn step(&mut self, line: &StepLine) {
        self.waiting += &step_row(line);
    }

    pub fn epoch(&mut self, line: &EpochLine) {
        self.waiting += &epoch_row(line);
    }

    /// Bytes that are not in the file yet.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Writes the lines so far.
    pub fn flush(&mut self) -> Result<()> {
        let written = self.file.write_all(self.waiting.as_bytes());
        written.map_err(Error::io("cannot write", &self.path))?;
        self.waiting.clear();
        Ok(())
    }
}

fn step_row(line: &StepLine) -> String {
    let StepLine { step, loss, ce, kl, distill, align, accuracy, lr, .. } = line;
    let (distill, align) = (cell(*distill), cell(*align));
    format!("step,{step},,{loss},{ce},{kl},{distill},{align},{accuracy},{lr},,,,,,,,\n")
}

fn epoch_row(line: &EpochLine) -> String {
    let validation = [cell(line.validation_accuracy), cell(line.validation_loss)].join(",");
    format!(
        "epoch,{},{},,{},{},{},{},,,{},{},{},{},{validation},{},{}\n",
        line.step,
        line.epoch,
        line.train_ce,
        line.train_kl,
        cell(line.train_distill),
        cell(line.train_align),
        line.train_loss,
        line.train_accuracy,
        line.test_accuracy,
        line.test_loss,
        line.seconds,
        line.images_per_second
    )
}

fn cell(value: Option<f64>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(step: u64) -> StepLine {
        StepLine {
            step,
            loss: 1.5,
            ce: 1.0,
            kl: 0.5,
            distill: None,
            align: Some(0.25),
            accuracy: 0.5,
            lr: 0.1,
            quantizers: Default::default(),
        }
    }

    #[test]
    fn rows_have_all_columns_and_the_order_of_the_run() {
        let folder = tempfile::tempdir().unwrap();
        let epochs = [1, 2].map(|epoch| EpochLine {
            epoch,
            step: 2 * epoch,
            test_accuracy: 0.75,
            validation_loss: Some(2.0),
            ..EpochLine::default()
        });
        let steps: Vec<StepLine> = (1..=4).map(step).collect();
        let mut file = CsvFile::create(folder.path(), &steps[..3], &epochs[..1]).unwrap();
        file.step(&steps[3]);
        file.epoch(&epochs[1]);
        file.flush().unwrap();
        let text = std::fs::read_to_string(folder.path().join(NAME)).unwrap();
        let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split(',').collect()).collect();
        assert!(rows.iter().all(|row| row.len() == COLUMNS.len()), "{text}");
        let kinds: Vec<_> = rows.iter().map(|row| (row[0], row[1])).collect();
        assert_eq!(
            kinds[1..],
            [
                ("step", "1"),
                ("step", "2"),
                ("epoch", "2"),
                ("step", "3"),
                ("step", "4"),
                ("epoch", "4")
            ]
        );
        assert_eq!(
            (rows[1][3], rows[1][7], rows[3][12], rows[3][15]),
            ("1.5", "0.25", "0.75", "2")
        );
        assert_eq!(COLUMNS[12], "test_accuracy");
    }
}
