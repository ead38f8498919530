//! A recorded step: a list of dispatches and copies over buffers that exist already, built once,
//! submitted many times.

use std::sync::{Arc, OnceLock};

use super::{
    buffer::{Buffer, OwnedBinding},
    context::Gpu,
    kernel::Kernel,
    launch::{Launch, Work},
};
use crate::{Error, Result};

/// One entry of a [`Recording`].
#[derive(Clone, Debug)]
pub enum Command {
    /// Run a kernel.
    Dispatch {
        /// What runs.
        kernel: Arc<Kernel>,
        /// Its buffers.
        bindings: Vec<OwnedBinding>,
        /// The buffers bound, once the recording is prepared.
        bind_group: OnceLock<wgpu::BindGroup>,
        /// Workgroups in x, y, z.
        workgroups: [u32; 3],
        /// What it does here, e.g. `conv2 forward`.
        label: String,
        /// The work of the dispatch.
        work: Work,
    },
    /// Set a buffer to zero.
    Clear(Buffer),
}

impl Command {
    /// Adds a dispatch to `pass`; a clearing is none of a pass's commands.
    ///
    /// # Errors
    /// [`Error::Gpu`] for a dispatch that was not prepared: without it the results would be wrong.
    pub(super) fn encode(&self, pass: &mut wgpu::ComputePass<'_>) -> Result<()> {
        let Command::Dispatch { kernel, bind_group, workgroups: [x, y, z], label, .. } = self
        else {
            return Ok(());
        };
        let (Some(pipeline), Some(group)) = (kernel.pipeline(), bind_group.get()) else {
            return Err(Error::Gpu(format!(
                "{label} ({}) has no pipeline: it was not prepared",
                kernel.name()
            )));
        };
        pass.set_pipeline(pipeline);
        pass.set_bind_group(0, group, &[]);
        pass.dispatch_workgroups(*x, *y, *z);
        Ok(())
    }
}

/// A list of commands. Recording needs no pipeline: they are created when the list is prepared, at
/// the latest by its first submission. After that encoding it allocates nothing on the device.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    commands: Vec<Command>,
}

impl Recording {
    /// An empty list.
    pub fn new() -> Self {
        Recording::default()
    }

    /// Adds a dispatch. One of no workgroups has nothing to do and is left out.
    ///
    /// # Errors
    /// [`Error::Workgroups`] if the workgroup counts exceed the device's limits,
    /// [`Error::Iterations`] if the driver would end its loops,
    /// [`Error::Bindings`] if another launch of the kernel bound other buffers.
    pub fn launch(
        &mut self,
        gpu: &Gpu,
        label: impl Into<String>,
        launch: Launch<'_>,
    ) -> Result<()> {
        let Launch { kernel, specialization, bindings, workgroups, work, iterations } = launch;
        let label = label.into();
        let limit = gpu.limits().max_compute_workgroups_per_dimension;
        if workgroups.iter().any(|&count| count > limit) {
            return Err(Error::Workgroups { label, workgroups, limit });
        }
        if let Some(limit) = gpu.most_iterations().filter(|&limit| iterations > limit) {
            return Err(Error::Iterations { label, iterations, limit });
        }
        let kernel = gpu.kernel(kernel, specialization)?;
        kernel.bind_names(bindings.iter().map(|&(name, _)| name).collect())?;
        if workgroups.iter().all(|&count| count > 0) {
            let bindings = bindings.into_iter().map(|(_, binding)| binding.into()).collect();
            let bind_group = OnceLock::new();
            self.commands.push(Command::Dispatch {
                kernel,
                bindings,
                bind_group,
                workgroups,
                label,
                work,
            });
        }
        Ok(())
    }

    /// Creates the pipelines and binds the buffers of all dispatches, where that was not done yet.
    ///
    /// # Errors
    /// [`Error::Shader`] for a kernel that is refused, [`Error::Gpu`] if bindings do not fit their
    /// kernel.
    pub fn prepare(&self, gpu: &Gpu) -> Result<()> {
        for command in &self.commands {
            let Command::Dispatch { kernel, bindings, bind_group, label, .. } = command else {
                continue;
            };
            if bind_group.get().is_some() {
                continue;
            }
            let (layout, numbers) = kernel.layout(gpu)?;
            let numbered = bindings.iter().zip(numbers.iter().copied());
            let entries: Vec<_> = numbered
                .map(|(own, binding)| wgpu::BindGroupEntry { binding, resource: own.resource() })
                .collect();
            let group = wgpu::BindGroupDescriptor { label: Some(label), layout, entries: &entries };
            let group = gpu.device.create_bind_group(&group);
            gpu.check().map_err(|error| match error {
                Error::Gpu(reason) => Error::Gpu(format!("{label} ({}): {reason}", kernel.name())),
                other => other,
            })?;
            bind_group.get_or_init(|| group);
        }
        Ok(())
    }

    /// The kernels of all dispatches.
    pub fn kernels(&self) -> impl Iterator<Item = &Arc<Kernel>> {
        self.commands.iter().filter_map(|command| match command {
            Command::Dispatch { kernel, .. } => Some(kernel),
            Command::Clear(_) => None,
        })
    }

    /// Each command as a list of its own.
    pub fn split(&self) -> impl Iterator<Item = Recording> + '_ {
        self.commands.iter().map(|command| Recording { commands: vec![command.clone()] })
    }

    /// Adds setting `buffer` to zero.
    pub fn clear(&mut self, buffer: &Buffer) {
        self.commands.push(Command::Clear(buffer.clone()));
    }

    /// Appends all of `other`.
    pub fn extend(&mut self, other: &Recording) {
        self.commands.extend(other.commands.iter().cloned());
    }

    /// The commands, in order.
    pub fn commands(&self) -> &[Command] {
        &self.commands
    }

    /// Writes the list into `encoder`: consecutive dispatches share one compute pass.
    ///
    /// # Errors
    /// As [`Self::prepare`], for a list that was not prepared.
    pub fn encode(&self, gpu: &Gpu, encoder: &mut wgpu::CommandEncoder) -> Result<()> {
        self.prepare(gpu)?;
        gpu.counters.count_dispatches(self.kernels().count() as u64);
        self.encode_prepared(encoder)
    }

    fn encode_prepared(&self, encoder: &mut wgpu::CommandEncoder) -> Result<()> {
        let mut commands = self.commands.iter().peekable();
        while let Some(command) = commands.peek() {
            if let Command::Clear(buffer) = command {
                encoder.clear_buffer(&buffer.inner, 0, None);
                commands.next();
                continue;
            }
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            let is_dispatch = |command: &&Command| matches!(command, Command::Dispatch { .. });
            while let Some(dispatch) = commands.next_if(is_dispatch) {
                dispatch.encode(&mut pass)?;
            }
        }
        Ok(())
    }

    /// Encodes and submits the list once.
    pub fn submit(&self, gpu: &Gpu) -> Result<()> {
        let mut encoder = gpu.encoder();
        self.encode(gpu, &mut encoder)?;
        gpu.submit(encoder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{gpu::Abilities, shaders::Specialization};

    const WORK: [Work; 2] = [Work { flops: 1, bytes: 2 }, Work { flops: 3, bytes: 4 }];

    fn gpu() -> Gpu {
        Gpu::noop(true, Abilities::default())
    }

    fn launch(gpu: &Gpu, recording: &mut Recording, workgroups: [u32; 3], work: Work) {
        let launch = Launch::new("begin_step", Specialization::new()).over(workgroups).doing(work);
        recording.launch(gpu, "first", launch).unwrap();
    }

    fn works(recording: &Recording) -> Vec<Work> {
        let work = |command: &Command| match command {
            Command::Dispatch { work, .. } => Some(*work),
            Command::Clear(_) => None,
        };
        recording.commands().iter().filter_map(work).collect()
    }

    #[test]
    fn a_dispatch_that_has_nothing_to_do_is_left_out_with_its_work() {
        let gpu = gpu();
        let mut recording = Recording::new();
        launch(&gpu, &mut recording, [1, 1, 1], WORK[0]);
        launch(&gpu, &mut recording, [1, 0, 1], WORK[1]);
        assert_eq!(works(&recording), [WORK[0]]);
        launch(&gpu, &mut recording, [1, 1, 1], WORK[1]);
        assert_eq!(works(&recording), WORK);
        let mut longer = Recording::new();
        longer.extend(&recording);
        assert_eq!(works(&longer), WORK);
    }

    #[test]
    fn a_dispatch_that_was_not_prepared_is_an_error() {
        let gpu = gpu();
        let mut recording = Recording::new();
        launch(&gpu, &mut recording, [1, 1, 1], WORK[0]);
        let error = recording.encode_prepared(&mut gpu.encoder()).unwrap_err();
        assert!(
            matches!(&error, Error::Gpu(reason) if reason.starts_with("first (begin_step)")),
            "{error}"
        );
    }
}
