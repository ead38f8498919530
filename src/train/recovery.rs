//! What a run does when its device is lost: another device, the last checkpoint, and on.

use super::{
    checkpoint::Checkpoint,
    outcome::{Observer, Outcome, Record, Start},
    run::attempt,
    session::Session,
};
use crate::{Error, Result, model::ModelFile};

/// Devices that may be lost one after the other with no checkpoint between them.
const MOST_LOSSES: u32 = 3;

/// What [`super::Trainer::run`] does.
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
        // Drivers also report so that memory has run out: smaller parts need less.
        if loss.out_of_memory {
            most_images = (most_images / 2).max(1);
        }
        let start = start_again(session, start, &record);
        let next =
            if start == Start::Resume { "from the last checkpoint" } else { "from the beginning" };
        observer.note(&format!("the GPU device was lost: {loss}; going on {next} with a new one"));
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
    let next = Session::fitting(&gpu, &session.config, session.dataset, most_images)?;
    attempt(&next, None, start, record, observer).await
}

/// How to begin after an attempt that began with `start`.
fn start_again(session: &Session<'_>, start: Start, record: &Record) -> Start {
    match record.begun_at {
        // It had not touched the folder yet.
        None => start,
        Some(_) if Checkpoint::files(&session.config.out).iter().any(|file| file.exists()) => {
            Start::Resume
        }
        Some(_) => Start::Replace,
    }
}
