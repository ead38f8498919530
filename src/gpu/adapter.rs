//! Adapters: what is there, which one is picked, and why.

use serde::Serialize;

use crate::{Error, Result};

/// What to say when there is nothing to run on.
const INSTALL_HINT: &str = "install a GPU driver with Vulkan, Metal or DX12 support, or a software \
                            driver (Debian/Ubuntu: apt-get install mesa-vulkan-drivers libvulkan1; \
                            Fedora: dnf install mesa-vulkan-drivers; Arch: pacman -S \
                            vulkan-swrast)";

/// The features and limits a device is created with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceProfile {
    /// The adapter's own limits and the optional features that saliq can use.
    #[default]
    Full,
    /// WebGPU's default limits and no optional feature: what every browser grants. The kernels are
    /// those of a browser.
    WebGpuDefaults,
}

/// One adapter, as `saliq devices` shows it.
#[derive(Clone, Debug, Serialize)]
pub struct AdapterReport {
    /// Position in the list, usable as `--adapter INDEX`.
    pub index: usize,
    /// Marketing name.
    pub name: String,
    /// vulkan, metal, dx12 or gl.
    pub backend: String,
    /// discrete-gpu, integrated-gpu, virtual-gpu, cpu or other.
    pub kind: String,
    /// Driver name and version.
    pub driver: String,
    /// Optional features that saliq could use here.
    pub features: Vec<&'static str>,
    /// Largest storage buffer a kernel can be given, in bytes.
    pub max_storage_binding_bytes: u64,
    /// Largest buffer, in bytes.
    pub max_buffer_bytes: u64,
    /// Workgroup memory in bytes.
    pub max_workgroup_memory_bytes: u32,
    /// Largest number of invocations in a workgroup.
    pub max_workgroup_invocations: u32,
    /// Lanes of a subgroup, smallest and largest; 0 where unknown.
    pub subgroup_sizes: [u32; 2],
    /// Whether this one would run.
    pub picked: bool,
    /// Why, or why not.
    pub reason: String,
}

/// Optional features saliq can make use of, with their names in `saliq devices`.
const USEFUL_FEATURES: [(&str, wgpu::Features); 5] = [
    ("f16", wgpu::Features::SHADER_F16),
    ("subgroups", wgpu::Features::SUBGROUP),
    ("cooperative-matrix", wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX),
    ("timestamps", wgpu::Features::TIMESTAMP_QUERY),
    ("pipeline-cache", wgpu::Features::PIPELINE_CACHE),
];

pub(super) fn instance(selector: &str) -> wgpu::Instance {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    // OpenGL is used only when named: its compute support is too uneven to be picked silently.
    descriptor.backends = wgpu::Backends::VULKAN | wgpu::Backends::METAL | wgpu::Backends::DX12;
    if matches!(selector.to_ascii_lowercase().as_str(), "gl" | "gles" | "opengl") {
        descriptor.backends |= wgpu::Backends::GL;
    }
    if cfg!(target_family = "wasm") {
        descriptor.backends = wgpu::Backends::BROWSER_WEBGPU;
    }
    descriptor.flags = wgpu::InstanceFlags::empty().with_env();
    wgpu::Instance::new(descriptor)
}

fn backend_name(backend: wgpu::Backend) -> String {
    backend.to_str().to_ascii_lowercase()
}

fn kind_name(kind: wgpu::DeviceType) -> &'static str {
    match kind {
        wgpu::DeviceType::DiscreteGpu => "discrete-gpu",
        wgpu::DeviceType::IntegratedGpu => "integrated-gpu",
        wgpu::DeviceType::VirtualGpu => "virtual-gpu",
        wgpu::DeviceType::Cpu => "cpu",
        wgpu::DeviceType::Other => "other",
    }
}

/// Discrete before integrated before virtual before others before software; a stable order, so ties
/// go to the first.
fn rank(kind: wgpu::DeviceType) -> u8 {
    match kind {
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::IntegratedGpu => 1,
        wgpu::DeviceType::VirtualGpu => 2,
        wgpu::DeviceType::Other => 3,
        wgpu::DeviceType::Cpu => 4,
    }
}

fn matches(info: &wgpu::AdapterInfo, index: usize, selector: &str) -> bool {
    if let Ok(wanted) = selector.parse::<usize>() {
        return wanted == index;
    }
    let needle = selector.to_ascii_lowercase();
    if matches!(needle.as_str(), "gl" | "gles" | "opengl") {
        return info.backend == wgpu::Backend::Gl;
    }
    info.name.to_ascii_lowercase().contains(&needle) || backend_name(info.backend).contains(&needle)
}

/// The error for a machine without any adapter.
pub fn no_adapter() -> Error {
    Error::NoAdapter(format!("no GPU adapter found; {INSTALL_HINT}"))
}

/// Picks by `selector` (`auto`, an index, or a part of the name): index and reason.
fn pick(infos: &[wgpu::AdapterInfo], selector: &str) -> Result<(usize, String)> {
    if infos.is_empty() {
        return Err(no_adapter());
    }
    if selector.is_empty() || selector.eq_ignore_ascii_case("auto") {
        let best =
            (0..infos.len()).min_by_key(|&index| rank(infos[index].device_type)).unwrap_or(0);
        return Ok((
            best,
            format!("auto: the first {} adapter", kind_name(infos[best].device_type)),
        ));
    }
    let found = (0..infos.len()).find(|&index| matches(&infos[index], index, selector));
    match found {
        Some(index) => Ok((index, format!("matches `{selector}`"))),
        None => {
            let names: Vec<_> = infos
                .iter()
                .enumerate()
                .map(|(index, info)| format!("{index}: {}", info.name))
                .collect();
            Err(Error::NoAdapter(format!(
                "no adapter matches `{selector}`; to pick from, by number or name: {}",
                names.join(", ")
            )))
        }
    }
}

/// Every adapter, with the one that `selector` picks marked. An empty machine gives an empty list.
pub async fn adapters(selector: &str) -> Result<Vec<AdapterReport>> {
    let found = instance(selector).enumerate_adapters(wgpu::Backends::all()).await;
    let infos: Vec<_> = found.iter().map(wgpu::Adapter::get_info).collect();
    let picked = pick(&infos, selector);
    Ok(found
        .iter()
        .zip(&infos)
        .enumerate()
        .map(|(index, (adapter, info))| {
            let limits = adapter.limits();
            let features = adapter.features();
            let (is_picked, reason) = match &picked {
                Ok((best, why)) if *best == index => (true, why.clone()),
                Ok((best, _)) => (false, format!("adapter {best} comes first")),
                Err(error) => (false, error.to_string()),
            };
            AdapterReport {
                index,
                name: info.name.clone(),
                backend: backend_name(info.backend),
                kind: kind_name(info.device_type).into(),
                driver: format!("{} {}", info.driver, info.driver_info).trim().into(),
                features: USEFUL_FEATURES
                    .iter()
                    .filter(|(_, feature)| features.contains(*feature))
                    .map(|(name, _)| *name)
                    .collect(),
                max_storage_binding_bytes: limits.max_storage_buffer_binding_size,
                max_buffer_bytes: limits.max_buffer_size,
                max_workgroup_memory_bytes: limits.max_compute_workgroup_storage_size,
                max_workgroup_invocations: limits.max_compute_invocations_per_workgroup,
                subgroup_sizes: [info.subgroup_min_size, info.subgroup_max_size],
                picked: is_picked,
                reason,
            }
        })
        .collect())
}

pub(super) async fn select(selector: &str) -> Result<wgpu::Adapter> {
    let mut found = instance(selector).enumerate_adapters(wgpu::Backends::all()).await;
    let infos: Vec<_> = found.iter().map(wgpu::Adapter::get_info).collect();
    let (index, _) = pick(&infos, selector)?;
    Ok(found.swap_remove(index))
}
