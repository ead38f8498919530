//! Medians of repeated runs.

use std::time::Instant;

use crate::{
    Result,
    gpu::{Gpu, Recording},
    train::Trainer,
};

/// Number of runs of each dispatch, whose median is used.
pub(super) const REPEATS: usize = 5;

/// Time of another first step of the trainer, in milliseconds.
pub(super) fn time_step(gpu: &Gpu, trainer: &Trainer<'_>) -> Result<f64> {
    trainer.rewind();
    let start = Instant::now();
    trainer.submit_step()?;
    gpu.wait()?;
    Ok(start.elapsed().as_secs_f64() * 1e3)
}

/// The median; the times are sorted for it.
pub(super) fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Median time of one submission of `recording` in milliseconds. The recording is repeated inside
/// the submission until it takes long enough to be timed.
pub(super) fn time(gpu: &Gpu, recording: &Recording) -> Result<f64> {
    let run = |count: u32| -> Result<f64> {
        let start = Instant::now();
        let mut encoder = gpu.encoder();
        for _ in 0..count {
            recording.encode(gpu, &mut encoder)?;
        }
        gpu.submit(encoder)?;
        gpu.wait()?;
        Ok(start.elapsed().as_secs_f64() * 1e3)
    };
    run(1)?;
    let once = run(1)?.max(1e-3);
    let count = (5.0 / once).ceil().clamp(1.0, 1000.0) as u32;
    let mut times =
        (0..REPEATS).map(|_| Ok(run(count)? / f64::from(count))).collect::<Result<Vec<_>>>()?;
    Ok(median(&mut times))
}
