//! Buffers and the ranges of them that kernels are bound to.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// Bytes in buffers: now, at most so far, and at most allowed.
#[derive(Debug)]
pub(super) struct Memory {
    pub allocated: AtomicU64,
    pub peak: AtomicU64,
    pub limit: AtomicU64,
}

impl Default for Memory {
    fn default() -> Self {
        Memory {
            allocated: AtomicU64::new(0),
            peak: AtomicU64::new(0),
            limit: AtomicU64::new(u64::MAX),
        }
    }
}

/// A buffer's share of the [`Memory`], given back with its last clone.
#[derive(Debug)]
struct Share {
    memory: Arc<Memory>,
    bytes: u64,
}

impl Drop for Share {
    fn drop(&mut self) {
        self.memory.allocated.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Device memory. Clones share the memory.
#[derive(Clone, Debug)]
pub struct Buffer {
    pub(super) inner: wgpu::Buffer,
    label: &'static str,
    size: u64,
    share: Arc<Share>,
}

impl Buffer {
    pub(super) fn new(
        inner: wgpu::Buffer,
        label: &'static str,
        size: u64,
        memory: &Arc<Memory>,
    ) -> Self {
        let allocated = memory.allocated.fetch_add(size, Ordering::Relaxed) + size;
        memory.peak.fetch_max(allocated, Ordering::Relaxed);
        Buffer {
            inner,
            label,
            size,
            share: Arc::new(Share { memory: Arc::clone(memory), bytes: size }),
        }
    }

    /// What it holds.
    pub fn label(&self) -> &'static str {
        self.label
    }

    /// Size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Whether both are the same memory.
    pub fn is(&self, other: &Buffer) -> bool {
        Arc::ptr_eq(&self.share, &other.share)
    }

    /// The bytes from `offset` on, `size` of them. The offset must be a multiple of 256.
    pub fn range(&self, offset: u64, size: u64) -> Binding<'_> {
        Binding { buffer: self, offset, size: Some(size) }
    }
}

/// A buffer, or a range of it, as a kernel's argument.
#[derive(Clone, Copy, Debug)]
pub struct Binding<'a> {
    buffer: &'a Buffer,
    offset: u64,
    size: Option<u64>,
}

impl Binding<'_> {
    /// From `bytes` later on, a multiple of 256.
    #[must_use]
    pub fn skip(self, bytes: u64) -> Self {
        let size = self.size.map_or(self.buffer.size() - self.offset, |size| size) - bytes;
        Binding {
            offset: self.offset + bytes,
            size: (bytes > 0).then_some(size).or(self.size),
            ..self
        }
    }

    /// The buffer.
    pub fn buffer(&self) -> &Buffer {
        self.buffer
    }

    /// Where it begins in the buffer, in bytes.
    pub fn offset(&self) -> u64 {
        self.offset
    }
}

impl<'a> From<&'a Buffer> for Binding<'a> {
    fn from(buffer: &'a Buffer) -> Self {
        Binding { buffer, offset: 0, size: None }
    }
}

/// A [`Binding`] that keeps its buffer alive.
#[derive(Clone, Debug)]
pub struct OwnedBinding {
    buffer: Buffer,
    offset: u64,
    size: Option<u64>,
}

impl From<Binding<'_>> for OwnedBinding {
    fn from(Binding { buffer, offset, size }: Binding<'_>) -> Self {
        OwnedBinding { buffer: buffer.clone(), offset, size }
    }
}

impl OwnedBinding {
    pub(super) fn resource(&self) -> wgpu::BindingResource<'_> {
        wgpu::BindingResource::Buffer(wgpu::BufferBinding {
            buffer: &self.buffer.inner,
            offset: self.offset,
            size: self.size.and_then(wgpu::BufferSize::new),
        })
    }
}
