//! Handles steps whose numbers are NaN or infinite. The device does not apply their update
//! (`shaders/judge_step.wgsl`). The host reports them and decides whether the run continues.

use super::{
    checkpoint::Checkpoint,
    lines::{Line, SkippedLine},
    outcome::Observer,
    running::Running,
    session::Session,
    skips::Skips,
};
use crate::{
    Error, Phrase, Result, config::OnNonFinite, error::phrase, graph::Parameter, sgt::Cause,
};

/// Number of skipped steps in a row after which a run is not expected to recover.
const MOST_IN_A_ROW: u64 = 32;

/// Records that the next step does not count; `mean` is its cross entropy. Ends the run if the
/// policy says so, or if too many steps were skipped.
pub(super) async fn take_in_bad_step(
    session: &Session<'_>,
    running: &mut Running<'_>,
    cause: Cause,
    index: u32,
    mean: f64,
    observer: &mut dyn Observer,
) -> Result<()> {
    let step = running.collected + 1;
    let name = session
        .network
        .graph
        .layout
        .parameters
        .iter()
        .find(|parameter| parameter.range().contains(&(index as usize)));
    let name = name.map(|parameter| parameter.name.as_str());
    let what = match (cause, name) {
        (Cause::Exploded, _) => format!("the loss has exploded to {mean:.3e}"),
        (Cause::Gradient, Some(name)) => {
            format!("the gradient of {name} is not a finite number")
        }
        (Cause::Update, Some(name)) => format!("the update of {name} is not a finite number"),
        _ => "the loss is not a finite number".into(),
    };
    if session.config.on_non_finite == OnNonFinite::Stop {
        let place = match name {
            Some(_) => String::new(),
            None => format!(", {}", place(session, step, running).await?),
        };
        keep_last_good(session, running, observer).await?;
        return Err(non_finite(
            session,
            step,
            &format!("{what}{place}"),
            phrase!("lower <lr> or raise <warmup-steps>"),
        ));
    }
    running.collected = step;
    let before = running.skips;
    let rate_factor = before.rate_factor
        * if session.config.on_non_finite == OnNonFinite::LowerLr { 0.5 } else { 1.0 };
    running.skips = Skips { total: before.total + 1, in_a_row: before.in_a_row + 1, rate_factor };
    let line = SkippedLine { step, reason: what.clone(), lr: session.rate(step, before) };
    running.folder.write(&Line::Skipped(&line))?;
    let lowered =
        if rate_factor == before.rate_factor { "" } else { " and the learning rate halved" };
    observer.note(&format!("step {step} was skipped{lowered}: {what}"));
    if running.skips.in_a_row < MOST_IN_A_ROW {
        return Ok(());
    }
    // The device may have recovered by now, so its state is not that of this moment. The
    // checkpoints are.
    running.write_lines(observer);
    running.writer.finish().iter().for_each(|said| observer.note(said));
    Err(non_finite(
        session,
        step,
        &format!("{what}, the {MOST_IN_A_ROW}th time in a row"),
        phrase!("begin again with a lower <lr>"),
    ))
}

fn non_finite(session: &Session<'_>, step: u64, what: &str, advice: Phrase) -> Error {
    let [checkpoint, _] = Checkpoint::files(&session.config.out);
    let kept = if checkpoint.exists() {
        format!("; {} is from before", checkpoint.display())
    } else {
        String::new()
    };
    Error::NonFinite(phrase!("step {}: {}; ", step, what).then(advice).then(kept.into()))
}

/// Writes the state after the last step that counts; the device has changed nothing since then.
async fn keep_last_good(
    session: &Session<'_>,
    running: &mut Running<'_>,
    observer: &mut dyn Observer,
) -> Result<()> {
    running.write_lines(observer);
    running.writer.finish().iter().for_each(|said| observer.note(said));
    if running.writer.written() != Some(running.collected) {
        let bytes = u64::from(session.network.graph.layout.padded_length());
        let mut state = session.parameters().await?;
        for buffer in &session.optimizer.states {
            state.extend(session.gpu.read::<f32>(buffer, 0, bytes).await?);
        }
        running.write_checkpoint(session.parameter_length(), &state, observer);
    }
    running.writer.finish_last().iter().for_each(|said| observer.advise(said));
    Ok(())
}

/// Where the numbers of step `step` stop being finite: the first activation that is not finite,
/// else the largest parameter. The step is computed again from the same parameters and without an
/// update, because the device has halted.
async fn place(session: &Session<'_>, step: u64, running: &Running<'_>) -> Result<String> {
    let (epoch, in_epoch) =
        ((step - 1) / session.steps_per_epoch, (step - 1) % session.steps_per_epoch);
    let table = session.table(epoch, in_epoch, &running.masking);
    for record in table.iter().take_while(|record| u64::from(record.log_slot) == in_epoch) {
        session.train.stage(session.gpu, &[*record], session.config.shuffle);
        session.batch.write_table(session.gpu, &[*record]);
        session.step.submit(session.gpu, 1)?;
        let images = record.count * if session.batch.twins { 2 } else { 1 };
        for (name, ..) in session.network.activations() {
            let values = session.network.read_activation(session.gpu, name, images).await?;
            if values.iter().any(|value| !value.is_finite()) {
                return Ok(format!("first in the output of {name}"));
            }
        }
    }
    let parameters = session.parameters().await?;
    let magnitude = |parameter: &Parameter| {
        parameters[parameter.range()].iter().fold(0.0f32, |most, value| most.max(value.abs()))
    };
    let layout = &session.network.graph.layout.parameters;
    let largest = layout.iter().max_by(|a, b| magnitude(a).total_cmp(&magnitude(b)));
    Ok(largest.map_or(String::new(), |largest| {
        format!("largest values in {}: {:.3e}", largest.name, magnitude(largest))
    }))
}
