//! Writes the logs that a run's settings ask for.

use std::{fs, path::PathBuf};

use super::{
    csv_file::{self, CsvFile},
    maps::{MAPS_FILE, NewestMaps},
    tensorboard::{EventFile, Histogram, Image, PREFIX, Value},
};
use crate::{
    Result,
    config::{LogFormat, RunConfig, Shape},
    graph::{Parameter, ParameterLayout},
    train::{EpochLine, RunFolder, Snapshot, StepLine},
};

/// Bytes that wait at most before they are written.
const WAITING: usize = 1 << 16;

/// The logs of a run. A log that cannot be written, as on a full disk, does not stop the training:
/// [`Self::failure`] says so once.
pub struct RunLogs {
    folder: PathBuf,
    shape: Shape,
    log_every: u64,
    snapshots: bool,
    wants: Vec<LogFormat>,
    events: Option<EventFile>,
    csv: Option<CsvFile>,
    failure: Option<String>,
    failed: bool,
}

impl RunLogs {
    /// The logs of a run with these settings; nothing is written yet.
    pub fn new(config: &RunConfig) -> RunLogs {
        RunLogs {
            folder: config.out.clone(),
            shape: config.network.input,
            log_every: config.log_every.into(),
            snapshots: config.snapshot_every > 0,
            wants: config.log.clone(),
            events: None,
            csv: None,
            failure: None,
            failed: false,
        }
    }

    /// Whether there are event files, which have maps and the distributions of weights.
    pub fn has_events(&self) -> bool {
        self.wants.contains(&LogFormat::Tensorboard)
    }

    /// Begins or continues the logs after `steps` steps. Logs of a replaced run are removed.
    pub fn begin(&mut self, steps: u64) {
        if steps == 0 {
            for old in self.old_files() {
                let _ = fs::remove_file(old);
            }
        }
        let begun = self.open(steps);
        self.check(begun);
    }

    fn open(&mut self, steps: u64) -> Result<()> {
        (self.events, self.csv) = (None, None);
        if self.has_events() {
            self.events = Some(EventFile::create(&self.folder, steps)?);
        }
        if self.wants.contains(&LogFormat::Csv) {
            let (before, epochs) = RunFolder::read_metrics(&self.folder)?;
            self.csv = Some(CsvFile::create(&self.folder, &before, &epochs)?);
        }
        Ok(())
    }

    /// The files of an earlier run in the folder.
    fn old_files(&self) -> Vec<PathBuf> {
        let is_events = |path: &PathBuf| {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
            name.is_some_and(|name| name.starts_with(PREFIX))
        };
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let events = entries.map(|entry| entry.path()).filter(is_events);
        events.chain([csv_file::NAME, MAPS_FILE].map(|name| self.folder.join(name))).collect()
    }

    /// Takes a step.
    pub fn step(&mut self, line: &StepLine) {
        if self.log_every == 0 || !line.step.is_multiple_of(self.log_every) {
            return;
        }
        if let Some(csv) = &mut self.csv {
            csv.step(line);
        }
        if let Some(events) = &mut self.events {
            events.add(line.step, step_values(line));
        }
        self.flush(WAITING);
    }

    /// Takes an epoch.
    pub fn epoch(&mut self, line: &EpochLine) {
        if let Some(csv) = &mut self.csv {
            csv.epoch(line);
        }
        if let Some(events) = &mut self.events {
            events.add(line.step, epoch_values(line));
        }
        self.flush(0);
    }

    /// Takes all parameters at the end of an epoch: their distributions.
    pub fn parameters(&mut self, step: u64, layout: &ParameterLayout, values: &[f32]) {
        let Some(events) = &mut self.events else { return };
        let of = |parameter: &Parameter| {
            let own = values.get(parameter.range())?;
            let histo = (own.len() > 1).then(|| Histogram::of(own))?;
            let tag = format!("parameters/{}", parameter.name);
            Some(Value { tag, histo: Some(histo), ..Value::default() })
        };
        events.add(step, layout.parameters.iter().filter_map(of).collect());
        self.flush(0);
    }

    /// Takes saliency maps; `images` are their places in the test set.
    pub fn snapshot(&mut self, snapshot: &Snapshot, images: &[usize]) {
        let maps = NewestMaps::of(snapshot, self.shape);
        if self.snapshots || self.has_events() {
            let written = maps.write(&self.folder);
            self.check(written);
        }
        if self.events.is_none() {
            return;
        }
        let mut values = Vec::new();
        for (index, image) in images.iter().enumerate().take(maps.count()) {
            match maps.png(index) {
                Ok((height, width, encoded_image_string)) => values.push(Value {
                    tag: format!("saliency/test image {image}"),
                    image: Some(Image {
                        height: height as i32,
                        width: width as i32,
                        colorspace: 3,
                        encoded_image_string,
                    }),
                    ..Value::default()
                }),
                Err(error) => self.check(Err(error)),
            }
        }
        if let Some(events) = &mut self.events {
            events.add(snapshot.step, values);
        }
        self.flush(0);
    }

    fn flush(&mut self, most: usize) {
        let events = self.events.as_mut().filter(|events| events.waiting() > most);
        let written = events.map_or(Ok(()), EventFile::flush);
        self.check(written);
        let csv = self.csv.as_mut().filter(|csv| csv.waiting() > most);
        let written = csv.map_or(Ok(()), CsvFile::flush);
        self.check(written);
    }

    fn check(&mut self, written: Result<()>) {
        if let Err(error) = written
            && !self.failed
        {
            self.failed = true;
            self.failure = Some(format!("a log was not written: {error}; training continues"));
        }
    }

    /// What went wrong, once.
    pub fn failure(&mut self) -> Option<String> {
        self.failure.take()
    }
}

impl Drop for RunLogs {
    fn drop(&mut self) {
        self.flush(0);
    }
}

fn step_values(line: &StepLine) -> Vec<Value> {
    let mut values = vec![
        Value::scalar("step/loss", line.loss),
        Value::scalar("step/ce", line.ce),
        Value::scalar("step/kl", line.kl),
        Value::scalar("step/accuracy", line.accuracy),
        Value::scalar("step/lr", line.lr),
    ];
    values.extend(line.distill.map(|value| Value::scalar("step/distill", value)));
    values.extend(line.align.map(|value| Value::scalar("step/align", value)));
    values
}

fn epoch_values(line: &EpochLine) -> Vec<Value> {
    let named = [
        ("train/loss", Some(line.train_loss)),
        ("train/ce", Some(line.train_ce)),
        ("train/kl", Some(line.train_kl)),
        ("train/distill", line.train_distill),
        ("train/align", line.train_align),
        ("train/accuracy", Some(line.train_accuracy)),
        ("test/accuracy", Some(line.test_accuracy)),
        ("test/loss", Some(line.test_loss)),
        ("validation/accuracy", line.validation_accuracy),
        ("validation/loss", line.validation_loss),
        ("speed/images_per_second", Some(line.images_per_second)),
    ];
    let numbers = named.into_iter().filter_map(|(tag, value)| Some(Value::scalar(tag, value?)));
    let learned =
        [("alpha", &line.alpha), ("step_size", &line.step_size), ("offset", &line.offset)];
    let learned = learned.into_iter().flat_map(|(kind, own)| {
        own.iter()
            .map(move |(name, &value)| Value::scalar(&format!("{kind}/{name}"), f64::from(value)))
    });
    numbers.chain(learned).collect()
}
