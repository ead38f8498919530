//! One dispatch of a kernel as its launcher describes it.

use super::{Binding, Gpu, Recording};
use crate::{Result, shaders::Specialization};

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
}

impl<'a> Launch<'a> {
    /// One workgroup of the kernel in `shaders/{kernel}.wgsl`, without buffers.
    pub fn new(kernel: &'static str, specialization: Specialization) -> Launch<'a> {
        let (bindings, work) = (Vec::new(), Work::default());
        Launch { kernel, specialization, bindings, workgroups: [1; 3], work }
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

    /// With what it has to do.
    #[must_use]
    pub fn doing(self, work: Work) -> Launch<'a> {
        Launch { work, ..self }
    }
}

/// A typed launcher: a kernel's buffers and sizes as fields.
pub trait Launcher {
    /// The dispatch.
    fn launch(&self) -> Launch<'_>;

    /// Adds the dispatch to `recording`; `label` says what it does there, e.g. `conv2 forward`.
    ///
    /// # Errors
    /// As [`Recording::launch`].
    fn record(&self, gpu: &Gpu, recording: &mut Recording, label: impl Into<String>) -> Result<()>
    where
        Self: Sized,
    {
        recording.launch(gpu, label, self.launch())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Error,
        gpu::{Abilities, Buffer},
    };

    /// Binds one buffer under every name of a list.
    struct Ratio<'a> {
        buffer: &'a Buffer,
        names: &'a [&'static str],
    }

    impl Launcher for Ratio<'_> {
        fn launch(&self) -> Launch<'_> {
            let specialization = Specialization::new().constant("ELEMENTS", 1u32);
            let launch = Launch::new("relevance_ratio", specialization);
            self.names.iter().fold(launch, |launch, &name| launch.bind(name, self.buffer))
        }
    }

    /// Launches with each of `lists` in turn, on one device.
    fn launched(lists: &[&[&'static str]]) -> Result<()> {
        let gpu = Gpu::noop(true, Abilities::default());
        let buffer = gpu.uniform("buffer", 16)?;
        let mut recording = Recording::new();
        for names in lists {
            Ratio { buffer: &buffer, names }.record(&gpu, &mut recording, "ratio")?;
        }
        recording.prepare(&gpu)
    }

    const NAMES: [&str; 4] = ["images", "input", "output", "multiplier"];

    #[test]
    fn launchers_bind_what_their_kernel_declares() {
        launched(&[&NAMES, &NAMES]).unwrap();
        launched(&[&["output", "multiplier", "images", "input"]]).unwrap();
        // A wrong name, one too few, one too many, one twice in place of another.
        let wrong: [&[&'static str]; 4] = [
            &["images", "input", "outputs", "multiplier"],
            &NAMES[..3],
            &["images", "input", "output", "multiplier", "parameters"],
            &["images", "input", "input", "multiplier"],
        ];
        for names in wrong {
            let Err(Error::Bindings { kernel, given, declared }) = launched(&[names]) else {
                panic!("{names:?} are not refused")
            };
            assert_eq!(kernel, "relevance_ratio");
            assert!(given == names && declared == NAMES, "{given:?} {declared:?}");
        }
    }

    /// The pipeline knows one order of names.
    #[test]
    fn launches_of_a_kernel_bind_alike() {
        let other = ["output", "multiplier", "images", "input"];
        assert!(matches!(launched(&[&NAMES, &other]), Err(Error::Bindings { .. })));
    }
}
