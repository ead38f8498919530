//! What a typed launcher is; `kernels` has one for each kernel.

use super::{context::Gpu, launch::Launch, recording::Recording};
use crate::Result;

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
        shaders::Specialization,
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
