//! Staged read-back: a copy into a mappable buffer, mapped asynchronously. For metrics, checkpoints and pictures only.

use std::sync::mpsc::{Receiver, channel};

use super::{Buffer, Gpu};
use crate::{Error, Result};

/// A copy of device memory on its way to the host.
pub struct Staging {
    buffer: wgpu::Buffer,
    bytes: u64,
    outcome: Receiver<Result<(), wgpu::BufferAsyncError>>,
}

impl Staging {
    /// Submits a copy of `bytes` from `offset` of `source` (both multiples of 4) and asks for it to be mapped.
    pub fn start(gpu: &Gpu, source: &Buffer, offset: u64, bytes: u64) -> Result<Staging> {
        let size = bytes.next_multiple_of(4);
        let buffer = gpu.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("staging"),
            size,
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let mut encoder = gpu.encoder();
        encoder.copy_buffer_to_buffer(&source.inner, offset, &buffer, 0, size);
        gpu.counters.count_copy();
        gpu.submit(encoder)?;
        let (sender, outcome) = channel();
        buffer.map_async(wgpu::MapMode::Read, .., move |result| {
            // The receiver is gone if nobody wants the bytes any more.
            let _ = sender.send(result);
        });
        gpu.counters.count_map();
        Ok(Staging { buffer, bytes, outcome })
    }

    /// The bytes as `T`s, once the device is done; waits for it where waiting is allowed.
    pub async fn finish<T: bytemuck::Pod>(self, gpu: &Gpu) -> Result<Vec<T>> {
        gpu.wait()?;
        // Another thread's poll may be the one that runs the callback, a moment after this one's has returned.
        match self.outcome.recv() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(Error::Gpu(format!("reading back failed: {error}"))),
            Err(_) => return Err(Error::Gpu("reading back was given up".into())),
        }
        let view = self.buffer.get_mapped_range(..).map_err(|error| Error::Gpu(error.to_string()))?;
        let values = bytemuck::pod_collect_to_vec(&view[..self.bytes as usize]);
        drop(view);
        self.buffer.unmap();
        Ok(values)
    }
}

impl Gpu {
    /// Reads `count` elements from element `first` of `buffer`.
    pub async fn read<T: bytemuck::Pod>(&self, buffer: &Buffer, first: u64, count: u64) -> Result<Vec<T>> {
        let size = std::mem::size_of::<T>() as u64;
        Staging::start(self, buffer, first * size, count * size)?.finish(self).await
    }
}
