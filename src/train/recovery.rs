//! Continues a run whose device is lost, on another device from the last checkpoint.

use super::{
    checkpoint::Checkpoint,
    outcome::{Observer, Outcome, Record, Start},
    run::attempt,
    session::Session,
};
use crate::{Error, Result, model::ModelFile};

/// Number of devices that may be lost in a row without a checkpoint in between.
const MOST_LOSSES: u32 = 3;

/// Implements [`super::Trainer::run`].
pub(super) async fn run(
    session: &Session<'_>,
    init: Option<ModelFile>,
    start: Start,
    observer: &mut dyn Observer,
) -> Result<Outcome> {
    let mut record = Record::default();
    let mut result = attempt(session, init, start, &mut record, observer).await;
    let mut most_images = session.part_images;
    let (mut losses, mut from) = (0, None);
    while let Err(Error::DeviceLost(loss)) = &result {
        losses = if record.begun_at > from { 1 } else { losses + 1 };
        from = record.begun_at;
        if losses > MOST_LOSSES {
            break;
        }
        // Drivers report exhausted memory as a lost device too; smaller parts need less memory.
        if loss.out_of_memory {
            most_images = (most_images / 2).max(1);
        }
        let start = start_again(session, start, &record);
        let next =
            if start == Start::Resume { "from the last checkpoint" } else { "from the beginning" };
        observer
            .note(&format!("the GPU device was lost: {loss}; continuing {next} with a new one"));
        result = on_another_device(session, most_images, start, &mut record, observer).await;
    }
    result
}

async fn on_another_device(
    session: &Session<'_>,
    most_images: u32,
    start: Start,
    record: &mut Record,
    observer: &mut dyn Observer,
) -> Result<Outcome> {
    let gpu = session.gpu.reopen().await?;
    let data = (session.dataset, session.teacher.as_ref());
    let next = Session::fitting(&gpu, &session.config, data, most_images)?;
    attempt(&next, None, start, record, observer).await
}

/// How to begin after an attempt that began with `start`.
fn start_again(session: &Session<'_>, start: Start, record: &Record) -> Start {
    match record.begun_at {
        // The attempt had not changed the folder yet.
        None => start,
        Some(_) if Checkpoint::files(&session.config.out).iter().any(|file| file.exists()) => {
            Start::Resume
        }
        Some(_) => Start::Replace,
    }
}
