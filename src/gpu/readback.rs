//! Staged read-back: a copy into a mappable buffer, mapped asynchronously. For metrics, checkpoints
//! and pictures only.

use std::{
    future::poll_fn,
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
    task::{Poll, Waker},
};

use super::{buffer::Buffer, device::Device};
use crate::{Error, Result};

/// What came of mapping a buffer, and who waits for it.
#[derive(Default)]
struct Outcome {
    result: Option<Result<(), wgpu::BufferAsyncError>>,
    waiting: Option<Waker>,
}

/// A copy of device memory on its way to the host.
pub struct Staging {
    buffer: wgpu::Buffer,
    /// Where in the buffer what was asked for is: copies are of whole words.
    pieces: Vec<Range<usize>>,
    outcome: Arc<Mutex<Outcome>>,
}

impl Staging {
    /// Submits a copy of `bytes` from `offset` (a multiple of 4) of `source` and asks for it to be
    /// mapped.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`]; [`Error::Gpu`] for a range that the buffer does not have.
    pub fn start(device: &Device, source: &Buffer, offset: u64, bytes: u64) -> Result<Staging> {
        Staging::gather(device, &[(source, offset, bytes)])
    }

    /// As [`Self::start`], of several ranges (buffer, offset, bytes) in one submission: they arrive
    /// one behind the other, with nothing between them.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn gather(device: &Device, ranges: &[(&Buffer, u64, u64)]) -> Result<Staging> {
        Staging::gather_behind(device, device.encoder(), ranges)
    }

    /// As [`Self::gather`], behind the commands of `encoder`, in the submission that it becomes.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn gather_behind(
        device: &Device,
        mut encoder: wgpu::CommandEncoder,
        ranges: &[(&Buffer, u64, u64)],
    ) -> Result<Staging> {
        let padded = |bytes: u64| bytes.next_multiple_of(4);
        let size = ranges.iter().map(|&(_, _, bytes)| padded(bytes)).sum();
        let buffer = Staging::buffer(device, size)?;
        let (mut place, mut pieces) = (0, Vec::<Range<usize>>::new());
        for &(source, offset, bytes) in ranges {
            encoder.copy_buffer_to_buffer(&source.inner, offset, &buffer, place, padded(bytes));
            let piece = place as usize..(place + bytes) as usize;
            match pieces.last_mut() {
                Some(last) if last.end == piece.start => last.end = piece.end,
                _ => pieces.push(piece),
            }
            place += padded(bytes);
            device.counters.count_copy();
        }
        device.submit(encoder)?;
        let outcome = Arc::<Mutex<Outcome>>::default();
        let slot = Arc::clone(&outcome);
        buffer.map_async(wgpu::MapMode::Read, .., move |result| {
            let mut outcome = slot.lock().unwrap_or_else(PoisonError::into_inner);
            outcome.result = Some(result);
            if let Some(waiting) = outcome.waiting.take() {
                waiting.wake();
            }
        });
        device.counters.count_map();
        Ok(Staging { buffer, pieces, outcome })
    }

    /// Whether there is memory for a copy of `bytes` at this moment.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`]; a lost device.
    pub fn try_room(device: &Device, bytes: u64) -> Result<()> {
        Staging::buffer(device, bytes).map(drop)
    }

    fn buffer(device: &Device, bytes: u64) -> Result<wgpu::Buffer> {
        device.uncounted_buffer(
            "staging",
            bytes,
            wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
        )
    }

    /// Whether [`Self::finish`] has nothing to wait for any more. Later submissions bring this
    /// about.
    pub fn is_ready(&self) -> bool {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner).result.is_some()
    }

    /// The bytes as `T`s, once the device is done; waits for it where waiting is allowed.
    pub async fn finish<T: bytemuck::Pod>(self, device: &Device) -> Result<Vec<T>> {
        if !self.is_ready() {
            device.wait()?;
        }
        device.check()?;
        // Another thread's wait may have taken the callback over and not have called it yet.
        let mapped = poll_fn(|context| {
            let mut outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
            match outcome.result.take() {
                Some(result) => Poll::Ready(result),
                None => {
                    outcome.waiting = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        });
        mapped.await.map_err(|error| Error::Gpu(format!("reading back failed: {error}")))?;
        let view =
            self.buffer.get_mapped_range(..).map_err(|error| Error::Gpu(error.to_string()))?;
        let values = match &self.pieces[..] {
            [all] => bytemuck::pod_collect_to_vec(&view[all.clone()]),
            pieces => {
                let bytes: Vec<&[u8]> = pieces.iter().map(|piece| &view[piece.clone()]).collect();
                bytemuck::pod_collect_to_vec(&bytes.concat())
            }
        };
        drop(view);
        self.buffer.unmap();
        Ok(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::{Abilities, Gpu};

    #[test]
    fn pieces_arrive_whole_whatever_their_sizes() {
        let gpu = Gpu::noop(true, Abilities::default());
        let first = gpu.upload("first", &[1u8, 2, 3, 4, 5, 6]).unwrap();
        let second = gpu.upload("second", &[7u8, 8, 9]).unwrap();
        let gather = |ranges: &[(&Buffer, u64, u64)]| {
            let staging = Staging::gather(&gpu, ranges).unwrap();
            pollster::block_on(staging.finish::<u8>(&gpu)).unwrap()
        };
        assert_eq!(
            gather(&[(&first, 0, 6), (&second, 0, 3), (&first, 4, 1)]),
            [1, 2, 3, 4, 5, 6, 7, 8, 9, 5]
        );
        assert_eq!(gather(&[(&first, 0, 4), (&second, 0, 3)]), [1, 2, 3, 4, 7, 8, 9]);
        assert_eq!(gather(&[(&second, 0, 0), (&first, 4, 2), (&second, 0, 2)]), [5, 6, 7, 8]);
        let words = |ranges: &[(&Buffer, u64, u64)]| {
            let staging = Staging::gather(&gpu, ranges).unwrap();
            pollster::block_on(staging.finish::<u16>(&gpu)).unwrap()
        };
        assert_eq!(words(&[(&first, 0, 2), (&second, 0, 2)]), [0x0201, 0x0807]);
    }
}
