//! A recorded step: a list of dispatches and copies over buffers that exist already, built once, submitted many times.

use std::sync::Arc;

use super::{Binding, Buffer, Gpu, Kernel};
use crate::{Error, Result};

/// What a dispatch has to do, at most: for benchmarks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Floating-point operations; 0 where they do not matter.
    pub flops: u64,
    /// Bytes that must be read and written once each.
    pub bytes: u64,
}

/// One entry of a [`Recording`].
#[derive(Clone, Debug)]
pub enum Command {
    /// Run a kernel.
    Dispatch {
        /// The pipeline.
        kernel: Arc<Kernel>,
        /// Its buffers.
        bind_group: wgpu::BindGroup,
        /// Workgroups in x, y, z.
        workgroups: [u32; 3],
        /// What it does here, e.g. `conv2 forward`.
        label: String,
        /// What it has to do.
        work: Work,
    },
    /// Set a buffer to zero.
    Clear(Buffer),
}

/// A list of commands. Encoding it allocates nothing on the device.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    commands: Vec<Command>,
}

impl Recording {
    /// An empty list.
    pub fn new() -> Self {
        Recording::default()
    }

    /// Adds a dispatch of `kernel` over `workgroups`, with `bindings` as its bindings 0, 1, 2, … of group 0.
    ///
    /// # Errors
    /// [`Error::Gpu`] if the workgroup counts exceed the device's limits or the bindings do not fit the kernel.
    pub fn dispatch(
        &mut self,
        gpu: &Gpu,
        label: impl Into<String>,
        kernel: Arc<Kernel>,
        bindings: &[Binding<'_>],
        workgroups: [u32; 3],
    ) -> Result<()> {
        let label = label.into();
        let limit = gpu.limits().max_compute_workgroups_per_dimension;
        if workgroups.iter().any(|&count| count > limit) {
            return Err(Error::Gpu(format!("{label}: {workgroups:?} workgroups exceed {limit} a dimension; lower --batch-size")));
        }
        let entries: Vec<_> = bindings
            .iter()
            .zip(0..)
            .map(|(binding, index)| wgpu::BindGroupEntry { binding: index, resource: binding.resource() })
            .collect();
        let bind_group = gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(&label),
            layout: &kernel.layout,
            entries: &entries,
        });
        gpu.check().map_err(|error| match error {
            Error::Gpu(reason) => Error::Gpu(format!("{label} ({}): {reason}", kernel.name)),
            other => other,
        })?;
        if workgroups.iter().all(|&count| count > 0) {
            self.commands.push(Command::Dispatch { kernel, bind_group, workgroups, label, work: Work::default() });
        }
        Ok(())
    }

    /// Says what the dispatch added last has to do.
    pub fn note_work(&mut self, noted: Work) {
        if let Some(Command::Dispatch { work, .. }) = self.commands.last_mut() {
            *work = noted;
        }
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
    pub fn encode(&self, encoder: &mut wgpu::CommandEncoder) {
        let mut index = 0;
        while index < self.commands.len() {
            if let Command::Clear(buffer) = &self.commands[index] {
                encoder.clear_buffer(&buffer.inner, 0, None);
                index += 1;
                continue;
            }
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            while let Some(Command::Dispatch { kernel, bind_group, workgroups: [x, y, z], .. }) = self.commands.get(index) {
                pass.set_pipeline(&kernel.pipeline);
                pass.set_bind_group(0, bind_group, &[]);
                pass.dispatch_workgroups(*x, *y, *z);
                index += 1;
            }
        }
    }

    /// Encodes and submits the list once.
    pub fn submit(&self, gpu: &Gpu) -> Result<()> {
        let mut encoder = gpu.encoder();
        self.encode(&mut encoder);
        gpu.submit(encoder)
    }
}
