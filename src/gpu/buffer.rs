//! Buffers and the ranges of them that kernels are bound to.

/// Device memory. Clones share the memory.
#[derive(Clone, Debug)]
pub struct Buffer {
    pub(super) inner: wgpu::Buffer,
    label: &'static str,
    size: u64,
}

impl Buffer {
    pub(super) fn new(inner: wgpu::Buffer, label: &'static str, size: u64) -> Self {
        Buffer { inner, label, size }
    }

    /// What it holds.
    pub fn label(&self) -> &'static str {
        self.label
    }

    /// Size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The bytes from `offset` on, `size` of them. The offset must be a multiple of 256.
    pub fn range(&self, offset: u64, size: u64) -> Binding<'_> {
        Binding { buffer: self, offset, size: Some(size) }
    }
}

/// A buffer, or a range of it, as a kernel's argument.
#[derive(Clone, Copy, Debug)]
pub struct Binding<'a> {
    pub(super) buffer: &'a Buffer,
    pub(super) offset: u64,
    pub(super) size: Option<u64>,
}

impl<'a> From<&'a Buffer> for Binding<'a> {
    fn from(buffer: &'a Buffer) -> Self {
        Binding { buffer, offset: 0, size: None }
    }
}

impl Binding<'_> {
    pub(super) fn resource(&self) -> wgpu::BindingResource<'_> {
        wgpu::BindingResource::Buffer(wgpu::BufferBinding {
            buffer: &self.buffer.inner,
            offset: self.offset,
            size: self.size.and_then(wgpu::BufferSize::new),
        })
    }
}
