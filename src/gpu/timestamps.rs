//! Times of single dispatches, by the device's own clock.

use super::{
    context::Gpu,
    readback::Staging,
    recording::{Command, Recording},
};
use crate::Result;

/// Runs `recording` once and returns the milliseconds of each of its commands, in order; none of a
/// clearing. `None` where the adapter has no timestamps.
///
/// # Errors
/// Those of [`Recording::prepare`] and of the device.
pub async fn time_dispatches(recording: &Recording, gpu: &Gpu) -> Result<Option<Vec<Option<f64>>>> {
    let is_dispatch = |command: &&Command| matches!(command, Command::Dispatch { .. });
    let count = 2 * recording.commands().iter().filter(is_dispatch).count() as u32;
    if count == 0
        || count > wgpu::QUERY_SET_MAX_QUERIES
        || !gpu.features().contains(wgpu::Features::TIMESTAMP_QUERY)
    {
        return Ok(None);
    }
    recording.prepare(gpu)?;
    let ty = wgpu::QueryType::Timestamp;
    let set = gpu.device.create_query_set(&wgpu::QuerySetDescriptor {
        label: Some("timestamps"),
        ty,
        count,
    });
    let usage = wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC;
    let resolved = gpu.create_buffer("timestamps", 8 * u64::from(count), usage)?;
    let mut encoder = gpu.encoder();
    let mut query = 0;
    for command in recording.commands() {
        match command {
            Command::Clear(buffer) => encoder.clear_buffer(&buffer.inner, 0, None),
            Command::Dispatch { label, .. } => {
                let writes = wgpu::ComputePassTimestampWrites {
                    query_set: &set,
                    beginning_of_pass_write_index: Some(query),
                    end_of_pass_write_index: Some(query + 1),
                };
                query += 2;
                let descriptor = wgpu::ComputePassDescriptor {
                    label: Some(label),
                    timestamp_writes: Some(writes),
                };
                let mut pass = encoder.begin_compute_pass(&descriptor);
                command.encode(&mut pass)?;
            }
        }
    }
    encoder.resolve_query_set(&set, 0..count, &resolved.inner, 0);
    gpu.submit(encoder)?;
    let ticks: Vec<[u64; 2]> =
        Staging::start(gpu, &resolved, 0, 8 * u64::from(count))?.finish(gpu).await?;
    let period = f64::from(gpu.queue.get_timestamp_period());
    let times = ticks.iter().map(|[start, end]| end.saturating_sub(*start) as f64 * period / 1e6);
    Ok(Some(by_command(recording.commands(), times)))
}

/// The `times` of dispatches, in order, beside the commands they are of.
fn by_command(commands: &[Command], mut times: impl Iterator<Item = f64>) -> Vec<Option<f64>> {
    let of = |command: &Command| match command {
        Command::Dispatch { .. } => times.next(),
        Command::Clear(_) => None,
    };
    commands.iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        gpu::{Abilities, Launch},
        shaders::Specialization,
    };

    #[test]
    fn a_clearing_does_not_take_the_time_of_a_dispatch() {
        let gpu = Gpu::noop(true, Abilities::default());
        let buffer = gpu.buffer("buffer", 16).unwrap();
        let mut recording = Recording::new();
        let dispatch = |recording: &mut Recording| {
            let launch = Launch::new("begin_step", Specialization::new());
            recording.launch(&gpu, "step", launch).unwrap()
        };
        dispatch(&mut recording);
        recording.clear(&buffer);
        dispatch(&mut recording);
        assert_eq!(
            by_command(recording.commands(), [1.0, 2.0].into_iter()),
            [Some(1.0), None, Some(2.0)]
        );
    }
}
