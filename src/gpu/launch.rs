//! One dispatch of a kernel as its launcher describes it.

use super::buffer::Binding;
use crate::shaders::Specialization;

/// What a dispatch has to do, at most: for benchmarks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Floating-point operations; 0 where they do not matter.
    pub flops: u64,
    /// Bytes that must be read and written once each.
    pub bytes: u64,
}

/// A kernel, its specialization, its buffers under the names that the kernel gives them, and over
/// how many workgroups it runs.
#[derive(Clone, Debug)]
pub struct Launch<'a> {
    pub(super) kernel: &'static str,
    pub(super) specialization: Specialization,
    pub(super) bindings: Vec<(&'static str, Binding<'a>)>,
    pub(super) workgroups: [u32; 3],
    pub(super) work: Work,
    pub(super) iterations: u64,
}

impl<'a> Launch<'a> {
    /// One workgroup of the kernel in `shaders/{kernel}.wgsl`, without buffers.
    pub fn new(kernel: &'static str, specialization: Specialization) -> Launch<'a> {
        let (bindings, work) = (Vec::new(), Work::default());
        Launch { kernel, specialization, bindings, workgroups: [1; 3], work, iterations: 0 }
    }

    /// With `buffer` as what the kernel calls `name`.
    #[must_use]
    pub fn bind(mut self, name: &'static str, buffer: impl Into<Binding<'a>>) -> Launch<'a> {
        self.bindings.push((name, buffer.into()));
        self
    }

    /// As [`Self::bind`], where there is a buffer.
    #[must_use]
    pub fn bind_some(
        self,
        name: &'static str,
        buffer: Option<impl Into<Binding<'a>>>,
    ) -> Launch<'a> {
        match buffer {
            Some(buffer) => self.bind(name, buffer),
            None => self,
        }
    }

    /// The kernel's name.
    pub fn kernel(&self) -> &'static str {
        self.kernel
    }

    /// Workgroups in x, y, z.
    pub fn workgroups(&self) -> [u32; 3] {
        self.workgroups
    }

    /// Over `workgroups` in x, y, z.
    #[must_use]
    pub fn over(self, workgroups: [u32; 3]) -> Launch<'a> {
        Launch { workgroups, ..self }
    }

    /// With loops of `iterations` in all in an invocation, of kernels that go over a whole image or
    /// batch in one: drivers may end them ([`super::Device::most_iterations`]).
    #[must_use]
    pub fn looping(self, iterations: u64) -> Launch<'a> {
        Launch { iterations, ..self }
    }

    /// With what it has to do.
    #[must_use]
    pub fn doing(self, work: Work) -> Launch<'a> {
        Launch { work, ..self }
    }
}
