//! What a run does when its device is lost: another device, the last checkpoint, and on.

use super::{Checkpoint, Observer, Outcome, Start, Trainer, outcome::Record};
use crate::{Error, Result};

/// Devices that may be lost one after the other with no checkpoint between them.
const MOST_LOSSES: u32 = 3;

impl Trainer<'_> {
    /// Runs to the end, or until `observer` says that a signal came. Where the device is lost, the
    /// run goes on from its last checkpoint on another one that is opened in the same way; what the
    /// caller has on the old one is lost then.
    ///
    /// # Errors
    /// [`Error::Interrupted`] after writing a checkpoint; [`Error::NonFinite`] naming step and
    /// layer; [`Error::Locked`] for a folder that another run is writing to; [`Error::DeviceLost`]
    /// where that happens again and again; errors of files and the device.
    pub async fn run(&mut self, start: Start, observer: &mut dyn Observer) -> Result<Outcome> {
        let mut record = Record::default();
        let mut result = self.attempt(start, &mut record, observer).await;
        let mut most_images = self.part_images();
        let (mut losses, mut from) = (0, None);
        while let Err(Error::DeviceLost(loss)) = &result {
            losses = if record.begun_at > from { 1 } else { losses + 1 };
            from = record.begun_at;
            if losses > MOST_LOSSES {
                break;
            }
            // Drivers also report so that memory has run out: smaller parts need less.
            if loss.out_of_memory {
                most_images = (most_images / 2).max(1);
            }
            let start = self.start_again(start, &record);
            let next = if start == Start::Resume {
                "from the last checkpoint"
            } else {
                "from the beginning"
            };
            observer
                .note(&format!("the GPU device was lost: {loss}; going on {next} with a new one"));
            result = self.on_another_device(most_images, start, &mut record, observer).await;
        }
        result
    }

    async fn on_another_device(
        &self,
        most_images: u32,
        start: Start,
        record: &mut Record,
        observer: &mut dyn Observer,
    ) -> Result<Outcome> {
        let gpu = self.gpu.reopen().await?;
        let trainer = Trainer::fitting(&gpu, &self.config, self.dataset, most_images)?;
        trainer.attempt(start, record, observer).await
    }

    /// How to begin after an attempt that began with `start`.
    fn start_again(&self, start: Start, record: &Record) -> Start {
        match record.begun_at {
            // It had not touched the folder yet.
            None => start,
            Some(_) if Checkpoint::files(&self.config.out).iter().any(|file| file.exists()) => {
                Start::Resume
            }
            Some(_) => Start::Replace,
        }
    }
}
