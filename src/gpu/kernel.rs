//! A kernel: one file of `shaders/`, linked, specialised and compiled to a pipeline.

use std::sync::OnceLock;

use super::{Gpu, shaders, trusted};
use crate::{Error, Result};

/// What a kernel is specialised by: tile sizes and features that the linker sees, and pipeline
/// constants (shapes, bit widths). Ordered, so that equal specializations compare equal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Specialization {
    tiles: Vec<(&'static str, u32)>,
    features: Vec<(&'static str, bool)>,
    extensions: Vec<&'static str>,
    constants: Vec<(&'static str, u64)>,
}

impl Specialization {
    /// No tiles, features or constants.
    pub fn new() -> Self {
        Specialization::default()
    }

    /// With tile size `name`, a module constant imported as `constants::name`.
    pub fn tile(mut self, name: &'static str, value: u32) -> Self {
        self.tiles.push((name, value));
        self
    }

    /// With the conditional-compilation feature `name` on or off.
    pub fn feature(mut self, name: &'static str, enabled: bool) -> Self {
        self.features.push((name, enabled));
        self
    }

    /// With the language extension `name` enabled.
    pub fn extension(mut self, name: &'static str) -> Self {
        self.extensions.push(name);
        self
    }

    /// With pipeline constant (`override`) `name`.
    pub fn constant(mut self, name: &'static str, value: impl Into<f64>) -> Self {
        self.constants.push((name, value.into().to_bits()));
        self
    }

    /// Tile sizes.
    pub fn tiles(&self) -> impl Iterator<Item = (&'static str, u32)> + '_ {
        self.tiles.iter().copied()
    }

    /// Features.
    pub fn features(&self) -> impl Iterator<Item = (&'static str, bool)> + '_ {
        self.features.iter().copied()
    }

    /// Language extensions.
    pub fn extensions(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.extensions.iter().copied()
    }

    /// Tiles, the features that are on, and extensions, for people: `columns 12, groups 4,
    /// subgroups`.
    pub fn variant(&self) -> String {
        let tiles = self.tiles().map(|(name, value)| {
            format!("{} {value}", name.to_ascii_lowercase().replace('_', " "))
        });
        let features = self.features().filter(|(_, enabled)| *enabled).map(|(name, _)| name);
        let named = features.chain(self.extensions()).map(|name| name.replace('_', " "));
        tiles.chain(named).collect::<Vec<_>>().join(", ")
    }

    /// Pipeline constants.
    pub fn constants(&self) -> impl Iterator<Item = (&'static str, f64)> + '_ {
        self.constants.iter().map(|&(name, bits)| (name, f64::from_bits(bits)))
    }
}

/// A kernel with its specialization; its pipeline is created when it is first needed.
#[derive(Debug)]
pub struct Kernel {
    name: &'static str,
    specialization: Specialization,
    pipeline: OnceLock<(wgpu::ComputePipeline, wgpu::BindGroupLayout)>,
}

impl Kernel {
    pub(super) fn new(name: &'static str, specialization: Specialization) -> Self {
        Kernel { name, specialization, pipeline: OnceLock::new() }
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

    /// Links the kernel and creates its pipeline, unless it exists. Kernels can be created on
    /// several threads at once.
    ///
    /// # Errors
    /// [`Error::Shader`] if linker, validator or driver refuse it.
    pub fn create(&self, gpu: &Gpu) -> Result<()> {
        self.layout(gpu).map(|_| ())
    }

    /// The pipeline, if it was created.
    pub(super) fn pipeline(&self) -> Option<&wgpu::ComputePipeline> {
        self.pipeline.get().map(|(pipeline, _)| pipeline)
    }

    /// What its bindings must look like.
    pub(super) fn layout(&self, gpu: &Gpu) -> Result<&wgpu::BindGroupLayout> {
        if let Some((_, layout)) = self.pipeline.get() {
            return Ok(layout);
        }
        let pipeline = create_pipeline(gpu, self.name, &self.specialization)?;
        let layout = pipeline.get_bind_group_layout(0);
        Ok(&self.pipeline.get_or_init(|| (pipeline, layout)).1)
    }
}

fn create_pipeline(
    gpu: &Gpu,
    name: &'static str,
    specialization: &Specialization,
) -> Result<wgpu::ComputePipeline> {
    let source = shaders::link(name, specialization)?;
    let module = trusted::own_shader_module(&gpu.device, name, source);
    let constants: Vec<_> = specialization.constants().collect();
    let pipeline = gpu.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some(name),
        layout: None,
        module: &module,
        entry_point: Some("main"),
        compilation_options: wgpu::PipelineCompilationOptions {
            constants: &constants,
            ..Default::default()
        },
        cache: gpu.pipeline_cache.get(),
    });
    gpu.check().map_err(|error| match error {
        Error::Gpu(reason) => Error::Shader { kernel: name.into(), reason },
        other => other,
    })?;
    Ok(pipeline)
}
