//! The start of a run, from initial parameters or from a checkpoint.

use std::path::Path;

use super::{
    calibration::{BATCHES, CalibrationStart, calibrate_activations},
    checkpoint::Checkpoint,
    folder::RunFolder,
    lock::RunLock,
    outcome::{Observer, Record, Start},
    ranges::QuantizerHistory,
    running::Running,
    session::Session,
};
use crate::{Error, Phrase, Result, error::phrase, graph::ParameterLayout, model::ModelFile};

/// Locks the run folder and writes the parameters for the first step.
pub(super) async fn begin<'r>(
    session: &Session<'_>,
    init: Option<ModelFile>,
    start: Start,
    record: &'r mut Record,
    observer: &mut dyn Observer,
) -> Result<Running<'r>> {
    let folder = &session.config.out;
    let take = || {
        std::fs::create_dir_all(folder).map_err(Error::io("cannot create", folder))?;
        RunLock::take(folder)
    };
    let quantizers =
        QuantizerHistory::new(session.gpu, &session.network, session.config.log_every)?;
    let settings = session.settings()?;
    let mut replace = start == Start::Replace;
    let mut lock = None;
    if start == Start::Resume {
        let held = take()?;
        match resume_point(session, &settings, observer)? {
            Ok(checkpoint) => {
                restore(session, &checkpoint);
                let folder =
                    RunFolder::reopen(&session.config, checkpoint.progress.metrics_bytes, held)?;
                return Ok(Running::new(
                    folder,
                    Some(&checkpoint.progress),
                    quantizers,
                    settings,
                    record,
                ));
            }
            Err(reason) => {
                observer.note(&format!("no usable checkpoint, starting over: {reason}"));
                (replace, lock) = (true, Some(held));
            }
        }
    }
    // Done before the folder is made, so that a model that cannot be read leaves no folder.
    initialize(session, init, observer).await?;
    let lock = lock.map_or_else(take, Ok)?;
    Ok(Running::new(
        RunFolder::create(&session.config, replace, lock)?,
        None,
        quantizers,
        settings,
        record,
    ))
}

/// The newest good checkpoint. If it is the previous one, a message says so and it gets the name of
/// the newest. The inner error says why there is none; starting over then loses no work.
///
/// # Errors
/// Errors for a checkpoint that is good but does not belong to this run as requested, or that may
/// be good and cannot be read.
fn resume_point(
    session: &Session<'_>,
    settings: &str,
    observer: &mut dyn Observer,
) -> Result<Result<Checkpoint, Error>> {
    let [newest, before] = Checkpoint::files(&session.config.out);
    let first = match usable(session, &newest, settings)? {
        Ok(checkpoint) => return Ok(Ok(checkpoint)),
        Err(error) => error,
    };
    let Ok(checkpoint) = usable(session, &before, settings)? else { return Ok(Err(first)) };
    let step = checkpoint.progress.step;
    observer.note(&format!("{first}; continuing from the previous checkpoint, of step {step}"));
    std::fs::rename(&before, &newest).map_err(Error::io("cannot replace", &newest))?;
    Ok(Ok(checkpoint))
}

/// The checkpoint in `path`; the inner error if there is none or it is damaged.
fn usable(session: &Session<'_>, path: &Path, settings: &str) -> Result<Result<Checkpoint, Error>> {
    let checkpoint = match Checkpoint::load(path) {
        Ok(checkpoint) => checkpoint,
        Err(error @ Error::Format { .. }) => return Ok(Err(error)),
        Err(error) if !path.exists() => return Ok(Err(error)),
        Err(error) => return Err(error),
    };
    let refused = |reason: Phrase| {
        Err(Error::Settings(phrase!("<resume>: {} ", path.display()).then(reason)))
    };
    if checkpoint.progress.settings != settings {
        return refused(phrase!(
            "was made with other settings or data; only <epochs>, <steps> and logging options may \
             change"
        ));
    }
    let layout = &session.network.graph.layout;
    if !has_arrays_of(session, &checkpoint) {
        return refused("is of another network or optimizer".into());
    }
    for parameter in &layout.parameters {
        if let Err(reason) =
            ParameterLayout::check(parameter, &checkpoint.parameters[parameter.range()])
        {
            return Ok(Err(Error::format(path, format!("not a usable checkpoint: {reason}"))));
        }
    }
    let step = checkpoint.progress.step;
    if step > session.total_steps {
        return refused(phrase!(
            "is of step {}, and the run would end at step {}",
            step,
            session.total_steps
        ));
    }
    let (expected, found) =
        (checkpoint.progress.metrics_bytes, RunFolder::metrics_length(&session.config.out));
    if found < expected {
        return refused(phrase!(
            "belongs to {} bytes of metrics.jsonl, of which {} are there; put that file back, or \
             begin again with <force>",
            expected,
            found
        ));
    }
    Ok(Ok(checkpoint))
}

/// Whether the arrays of `checkpoint` have the number and the length of those of `session`.
pub(super) fn has_arrays_of(session: &Session<'_>, checkpoint: &Checkpoint) -> bool {
    let length = session.parameter_length();
    let mut arrays = std::iter::once(&checkpoint.parameters).chain(&checkpoint.states);
    checkpoint.states.len() == session.optimizer.states.len()
        && arrays.all(|array| array.len() == length)
}

pub(super) fn restore(session: &Session<'_>, checkpoint: &Checkpoint) {
    let rate_factor = checkpoint.progress.skips.rate_factor;
    session.optimizer.begin(session.gpu, &session.network, &checkpoint.parameters, rate_factor);
    for (buffer, state) in session.optimizer.states.iter().zip(&checkpoint.states) {
        session.gpu.write(buffer, 0, state);
    }
}

/// Initial parameters: those of `--init` (read unless they are in memory), or random ones. Each α
/// comes from `--alpha-init`, else from the file, else from calibration.
pub(super) async fn initialize(
    session: &Session<'_>,
    init: Option<ModelFile>,
    observer: &mut dyn Observer,
) -> Result<()> {
    let layout = &session.network.graph.layout;
    let quantization = &session.config.quantization;
    let mut parameters = layout.initialize(session.config.seed, session.config.weight_init);
    let mut missing: Vec<String> =
        layout.calibrated().chain(layout.offsets()).map(|own| own.name.clone()).collect();
    if let Some(path) = &session.config.init {
        let mut file = init.map_or_else(|| ModelFile::open(path), Ok)?;
        if let Some(said) =
            quantization.scale_warning(&file.quantization(), &session.config.network)
        {
            observer.advise(&phrase!("warning: <init {}>: ", file.path().display()).then(said));
        }
        (parameters, missing) = file.start(layout)?;
    }
    if let Some(alpha) = quantization.alpha_init {
        for parameter in layout.alphas() {
            parameters[parameter.offset as usize] = alpha;
        }
    } else if !missing.is_empty() {
        let live = session.config.freeze_bn_after != Some(0);
        let start = CalibrationStart {
            layout,
            parameters: &parameters,
            live,
            batch_size: session.config.batch_size,
        };
        let (network, normalization) = (&session.config.network, session.normalization);
        let images = BATCHES.saturating_mul(session.config.batch_size);
        for (name, value) in calibrate_activations(
            session.gpu,
            network,
            quantization,
            &start,
            &session.train.first(session.gpu, images)?,
            normalization,
        )
        .await?
        {
            if let Some(parameter) = layout.find(&name).filter(|_| missing.contains(&name)) {
                parameters[parameter.offset as usize] = value;
            }
        }
    }
    session.optimizer.begin(session.gpu, &session.network, &parameters, 1.0);
    Ok(())
}
