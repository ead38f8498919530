//! A kernel: one file of `shaders/`, linked, specialised and compiled to a pipeline.

use std::sync::{Arc, OnceLock};

use super::device::Device;
use crate::{
    Error, Result,
    shaders::{self, Bound, Linked, Specialization},
};

/// A kernel with its specialization; its pipeline is created when it is first needed.
#[derive(Debug)]
pub struct Kernel {
    name: &'static str,
    specialization: Specialization,
    /// The names that launches bind; the first launch says them.
    names: OnceLock<Vec<&'static str>>,
    pipeline: OnceLock<Pipeline>,
}

#[derive(Debug)]
struct Pipeline {
    inner: wgpu::ComputePipeline,
    layout: wgpu::BindGroupLayout,
    /// Numbers of [`Kernel::names`], in their order.
    numbers: Vec<u32>,
}

impl Kernel {
    pub(super) fn new(name: &'static str, specialization: Specialization) -> Self {
        Kernel { name, specialization, names: OnceLock::new(), pipeline: OnceLock::new() }
    }

    /// Its file's name without extension.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// What it is specialised by.
    pub fn specialization(&self) -> &Specialization {
        &self.specialization
    }

    /// Whether the pipeline exists.
    pub fn is_created(&self) -> bool {
        self.pipeline.get().is_some()
    }

    /// The names that launches of it bind, in the order of their launcher; none before the first.
    pub fn names(&self) -> &[&'static str] {
        self.names.get().map_or(&[], Vec::as_slice)
    }

    /// Notes the names that a launch binds: they are the same in every launch.
    pub(super) fn bind_names(&self, names: Vec<&'static str>) -> Result<()> {
        if *self.names.get_or_init(|| names.clone()) == names {
            return Ok(());
        }
        let given = names.iter().map(|&name| name.into()).collect();
        let declared = self.names().iter().map(|&name| name.into()).collect();
        Err(Error::Bindings { kernel: self.name, given, declared })
    }

    /// Links the kernel and creates its pipeline, unless it exists. Kernels can be created on
    /// several threads at once.
    ///
    /// # Errors
    /// [`Error::Shader`] if linker, validator or driver refuse it; [`Error::Bindings`] if launches
    /// bind other buffers than it declares.
    pub fn create(&self, device: &Device) -> Result<()> {
        self.created(device).map(|_| ())
    }

    /// As [`Self::create`], for devices whose errors arrive later.
    ///
    /// # Errors
    /// As [`Self::create`].
    pub async fn created_on(&self, device: &Device) -> Result<()> {
        self.create(device)?;
        device.settled().await.map_err(|error| self.refused(error))
    }

    fn refused(&self, error: Error) -> Error {
        match error {
            Error::Gpu(reason) => Error::Shader { kernel: self.name.into(), reason },
            other => other,
        }
    }

    /// The pipeline, if it was created.
    pub(super) fn pipeline(&self) -> Option<&wgpu::ComputePipeline> {
        self.pipeline.get().map(|pipeline| &pipeline.inner)
    }

    /// What its bindings must look like, and the numbers of [`Self::names`].
    pub(super) fn layout(&self, device: &Device) -> Result<(&wgpu::BindGroupLayout, &[u32])> {
        self.created(device).map(|pipeline| (&pipeline.layout, pipeline.numbers.as_slice()))
    }

    fn created(&self, device: &Device) -> Result<&Pipeline> {
        if let Some(pipeline) = self.pipeline.get() {
            return Ok(pipeline);
        }
        let linked = shaders::link(self.name, &self.specialization)?;
        let numbers = numbers(self.name, &linked.bindings, self.names())?;
        let inner = create_pipeline(device, self.name, &linked, &self.specialization);
        device.check().map_err(|error| self.refused(error))?;
        device.counters.count_pipeline();
        let layout = inner.get_bind_group_layout(0);
        Ok(self.pipeline.get_or_init(|| Pipeline { inner, layout, numbers }))
    }
}

/// The numbers that a linked kernel, which declares `declared`, gives to `names`: each of what it
/// declares has one name.
///
/// # Errors
/// [`Error::Bindings`] where the names are not those that it declares.
pub fn numbers(
    kernel: &'static str,
    declared: &[Bound],
    names: &[&'static str],
) -> Result<Vec<u32>> {
    let number = |name: &&str| declared.iter().find(|own| own.name == *name).map(|own| own.binding);
    let found: Option<Vec<u32>> = names.iter().map(number).collect();
    let is_whole = declared.iter().all(|own| names.contains(&own.name.as_str()));
    found.filter(|found| is_whole && found.len() == declared.len()).ok_or_else(|| Error::Bindings {
        kernel,
        given: names.iter().map(|&name| name.into()).collect(),
        declared: declared.iter().map(|own| own.name.clone()).collect(),
    })
}

fn create_pipeline(
    device: &Device,
    name: &'static str,
    linked: &Arc<Linked>,
    specialization: &Specialization,
) -> wgpu::ComputePipeline {
    let module = device.module(name, linked);
    let constants: Vec<_> = specialization.constants().collect();
    device.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some(name),
        layout: None,
        module: &module,
        entry_point: Some("main"),
        compilation_options: wgpu::PipelineCompilationOptions {
            constants: &constants,
            ..Default::default()
        },
        cache: device.pipeline_cache.get(),
    })
}
