//! A recorded step: a list of dispatches and copies over buffers that exist already, built once, submitted many times.

use std::sync::Arc;

use super::{Binding, Buffer, Gpu, Kernel};
use crate::{Error, Result};

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
            self.commands.push(Command::Dispatch { kernel, bind_group, workgroups, label });
        }
        Ok(())
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
